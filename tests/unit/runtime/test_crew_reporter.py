"""What is told of a fleet, and how often."""

from __future__ import annotations

from types import SimpleNamespace

from fingerv7.api.conditions import WorkersReady as Reason
from fingerv7.core.managed.report import Report
from fingerv7.runtime.crew_reporter import CrewReporter

from .managed_pools import a_pool


async def test_what_comes_and_goes_is_told_once_a_minute():
    told, now = [], [0.0]

    async def record(*_, message, **__):
        told.append((now[0], message))

    office = SimpleNamespace(
        recorder=SimpleNamespace(record=record), metrics=None, clocks=SimpleNamespace(monotonic=lambda: now[0])
    )
    reporter = CrewReporter(("music", "radio"), office, SimpleNamespace())
    for at in range(0, 120, 10):
        now[0] = float(at)
        troubles = [(Reason.CRASHING, "it crashes")] if at % 20 == 0 else []
        await reporter.tell(a_pool(), Report(None, {}, troubles))
    assert told == [(0.0, "it crashes"), (80.0, "it crashes")]
