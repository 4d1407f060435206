from __future__ import annotations

import io

import pytest

from devenv.progress import PrintProgress, step


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_one_line_rewritten() -> None:
    terminal = Terminal()
    progress = PrintProgress(terminal)
    for second in range(10):
        progress("building it", second)
    progress("building it", 100, done=True)
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().split("\r")[-1] == "==> building it: done in 100 s\n"


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end() -> None:
    log = io.StringIO()
    progress = PrintProgress(log)
    for second in range(60):
        progress("building it", second)
    progress("building it", 60, done=True)
    seconds = [line.split(": ")[1] for line in log.getvalue().splitlines()]
    assert seconds == ["2 s", "17 s", "32 s", "47 s", "done in 60 s"]


def test_a_step_that_fails_is_not_called_done() -> None:
    log = io.StringIO()
    with pytest.raises(ValueError, match="broken"), step(PrintProgress(log), "building it"):
        raise ValueError("broken")
    assert "done" not in log.getvalue()
