"""Stopping exactly the processes that we started, also from another process and much later.

A pid alone is no name: it is recycled, and after a reboot it means somebody else. A record therefore holds the
start time and the boot too, and signals go through a pidfd that was opened before the record was checked.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from devenv.errors import DevenvError

_KILL_WAIT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class ProcessRecord:
    """One started process: who it is, how it is stopped, and what `status` shows of it."""

    name: str
    pid: int
    started_ticks: int
    boot: str
    stop_signal: int = signal.SIGTERM
    grace_s: float = 10.0
    port: int | None = None
    log: str = ""


def boot_id() -> str:
    """Differs from boot to boot: start times are counted from the boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def started_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since the boot; None when it is gone or only a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command's name in parentheses and may itself hold blanks and parentheses.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_alive(record: ProcessRecord) -> bool:
    return record.boot == boot_id() and started_ticks(record.pid) == record.started_ticks


def uptime_s(record: ProcessRecord) -> float:
    """How long the process has been running, by the clock that its start time is counted on."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - record.started_ticks / os.sysconf("SC_CLK_TCK")


def stop_process(record: ProcessRecord) -> None:
    """Send the stop signal, and SIGKILL when the grace is over; what is gone already is no error.

    Raises:
        DevenvError: the process outlived even SIGKILL (it hangs in the kernel).
    """
    pidfd = _open(record)
    if pidfd is None:
        return
    try:
        _send(pidfd, record.stop_signal)
        if _exited(pidfd, record.grace_s):
            return
        _send(pidfd, signal.SIGKILL)
        if not _exited(pidfd, _KILL_WAIT_S):
            raise DevenvError(
                f"{record.name} (pid {record.pid}) still runs after SIGKILL; `ps -o stat,wchan -p {record.pid}` says "
                "what it waits for"
            )
    finally:
        os.close(pidfd)


def _open(record: ProcessRecord) -> int | None:
    try:
        pidfd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return None
    # Checked after opening: from here on the descriptor can only mean this process.
    if is_alive(record):
        return pidfd
    os.close(pidfd)
    return None


def _send(pidfd: int, number: int) -> None:
    with suppress(ProcessLookupError):  # It ended by itself.
        signal.pidfd_send_signal(pidfd, number)


def _exited(pidfd: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout_s) * 1000))
