"""Faults on the real API server, PostgreSQL and processes; each test ends with the journal checker's verdict.

The table at the end of a run says what was seen. README.md says which fault is tried where.
"""

from __future__ import annotations

import os

import pytest

from .seen import FINDINGS


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes more than half a minute; `make faults` runs it")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not FINDINGS:
        return
    terminalreporter.section("what the journal says")
    for each in FINDINGS:
        terminalreporter.write_line(
            f"{each.fault:<72} on nobody {each.longest_gap_s:6.2f} s of {each.allowed_gap_s:5.1f} s,"
            f" {each.overlaps} overlaps, {each.refusals} refused"
        )
    # No margin is laid on a limit, so a machine that is busy with something else can exceed one.
    terminalreporter.write_line(f"load {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores")
