"""The clocks of the sidecar: what is measured, and what it is compared with.

A fence must hold across a suspended machine (so CLOCK_BOOTTIME, which goes on counting) and across a hypervisor
that restores an old boot time (so the wall clock too): the larger progress of the two counts.
"""

from __future__ import annotations

import time
from typing import NamedTuple


class Clock(NamedTuple):
    """A moment, in seconds of boot time and of wall time."""

    boot: float
    wall: float

    def since(self, earlier: Clock) -> float:
        """Seconds since `earlier`, on whichever clock made more progress."""
        return max(self.boot - earlier.boot, self.wall - earlier.wall)


def read_clock() -> Clock:
    return Clock(time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def read_boot_id() -> str:
    """Changes at every boot, so that a boot time from before a reboot is never compared with one after it."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 (pathlib costs memory)
        return file.read().strip()


def rfc3339_micro(wall: float) -> str:
    """The format of a Lease's times, such as `2026-01-31T12:00:00.000001Z`."""
    seconds, micros = divmod(round(wall * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{micros:06d}Z"
