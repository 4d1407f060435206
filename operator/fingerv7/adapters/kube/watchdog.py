"""A thread that ends the process at a deadline, because a blocked event loop cannot end itself.

Logging is avoided on that path: the loop's thread may hold a lock, or block on a full pipe, that a log line needs.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from typing import Final, NoReturn

_LOOK_AGAIN_S: Final = 0.25
"""Waiting follows the monotonic clock, which stands still while the machine sleeps; `clock` may not."""


def boot_time() -> float:
    """Seconds since boot, time asleep included; the plain monotonic clock where there is no such clock."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)  # Linux only
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def exit_process(message: str) -> NoReturn:
    """Say why on standard error if that is possible at once, and be gone without any cleaning up."""
    line = f"{message}\n".encode()[: select.PIPE_BUF]
    try:
        if select.select([], [2], [], 0)[1]:
            os.write(2, line)
    finally:
        os._exit(1)


class Watchdog:
    """Calls `on_expired` once in its own thread when `clock` reaches the deadline that was last set."""

    def __init__(self, on_expired: Callable[[], object], *, clock: Callable[[], float]) -> None:
        self._on_expired = on_expired
        self._clock = clock
        self._deadline: float | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, deadline: float) -> None:
        """Set or move the deadline, a moment of `clock`."""
        with self._changed:
            self._deadline = deadline
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="leader-watchdog", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._deadline = self._thread = None
            self._changed.notify_all()

    def _run(self) -> None:
        me = threading.current_thread()
        with self._changed:
            while self._thread is me and self._deadline is not None:
                left = self._deadline - self._clock()
                if left <= 0:
                    self._thread = self._deadline = None
                    break
                self._changed.wait(min(left, _LOOK_AGAIN_S))
            else:
                return
        self._on_expired()
