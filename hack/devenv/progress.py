"""Saying what a long step is doing: one line rewritten on a terminal, a line now and then in a log.

A first start compiles Kubernetes for some minutes; somebody who sees nothing for that long presses Ctrl-C.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

_FIRST_LINE_S = 2.0
_LINE_EVERY_S = 15.0


class Progress(Protocol):
    """Called about once a second while `what` goes on, and once with `done` when it is over."""

    def __call__(self, what: str, elapsed_s: float, *, done: bool = False) -> None: ...


class PrintProgress:
    """Writes to a terminal or a log, whichever `stream` is."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._what = ""
        self._width = 0
        self._next_line_s = _FIRST_LINE_S

    def __call__(self, what: str, elapsed_s: float, *, done: bool = False) -> None:
        # Looked up on each call: pytest replaces sys.stderr for each test.
        stream = self._stream or sys.stderr
        if what != self._what:
            self._what = what
            self._next_line_s = _FIRST_LINE_S
        text = f"==> {what}: {'done in ' if done else ''}{elapsed_s:.0f} s"
        if stream.isatty():
            # The padding wipes what a longer text left on the line.
            stream.write("\r" + text.ljust(self._width) + ("\n" if done else ""))
            self._width = 0 if done else len(text)
        elif done or elapsed_s >= self._next_line_s:
            self._next_line_s = elapsed_s + _LINE_EVERY_S
            stream.write(text + "\n")
        else:
            return
        stream.flush()


print_progress: Progress = PrintProgress()


def no_progress(what: str, elapsed_s: float, *, done: bool = False) -> None:
    """For callers that report by themselves."""


@contextmanager
def step(progress: Progress, what: str) -> Iterator[Callable[[], None]]:
    """Times one step; the caller calls the yielded function whenever it wakes up from waiting."""
    begin = time.monotonic()
    progress(what, 0.0)
    yield lambda: progress(what, time.monotonic() - begin)
    progress(what, time.monotonic() - begin, done=True)
