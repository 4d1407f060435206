"""Starting a process that either belongs to this process or is to outlive it, and waiting until it is ready.

Tests and the demo own what they start: it ends with them, whatever ends them (`guard.py`). `up` detaches: the
processes stay, and their records are the only way back to them.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devenv import guard
from devenv.errors import StartupError
from devenv.processes import ProcessRecord, boot_id, is_alive, started_ticks, stop_process
from devenv.progress import Progress, step

_LOOK_EVERY_S = 0.1
_GUARD_EXTRA_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run: in which folder (its log goes there too), as whom, and how it is stopped."""

    name: str
    argv: tuple[str, ...]
    folder: Path
    stop_signal: int = signal.SIGTERM
    grace_s: float = 10.0
    user: str | None = None
    port: int | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"


class Daemon:
    """A started command."""

    def __init__(self, command: Command, record: ProcessRecord, process: subprocess.Popen[bytes]) -> None:
        self.command = command
        self.record = record
        self._process = process

    def is_alive(self) -> bool:
        return is_alive(self.record)

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, or None when it still runs after the timeout."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """Stop and reap it; what has ended already is only reaped."""
        stop_process(self.record)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


Launch = Callable[[Command], Daemon]


def launch_owned(command: Command) -> Daemon:
    """Start a command that ends with this process, however this process ends."""
    as_user = () if command.user is None else ("--user", command.user)
    argv = (
        *(sys.executable, "-I", "-S", guard.__file__),
        *("--owner", str(os.getpid()), "--stop-signal", str(int(command.stop_signal))),
        *("--grace-s", str(command.grace_s), *as_user, "--", *command.argv),
    )
    return _launch(command, argv, stdin=subprocess.PIPE, grace_s=command.grace_s + _GUARD_EXTRA_S)


def launch_detached(command: Command) -> Daemon:
    """Start a command that outlives this process; keep the record."""
    return _launch(command, command.argv, stdin=subprocess.DEVNULL, grace_s=command.grace_s, user=command.user)


def run_to_end(command: Command, what: str, progress: Progress, *, failed: str = "") -> None:
    """Run a command that ends by itself, and with this process, telling `what` it does.

    Raises:
        StartupError: it failed; named as `failed`, or as `what` it did, with the end of its log.
    """
    daemon = launch_owned(command)
    try:
        with step(progress, what) as tick:
            while (code := daemon.wait(0.5)) is None:
                tick()
            if code != 0:
                raise StartupError(failed or what, f"failed with exit code {code}", command.log)
    finally:
        daemon.stop()


def wait_ready(daemon: Daemon, ready: Callable[[], bool], *, timeout_s: float, progress: Progress) -> None:
    """Wait until `ready` answers True.

    Raises:
        StartupError: the process ended or the time is over; with the end of its log.
    """
    name = daemon.command.name
    deadline = time.monotonic() + timeout_s
    with step(progress, f"starting {name}") as tick:
        while not ready():
            if not daemon.is_alive():
                raise StartupError(name, f"ended with exit code {daemon.wait(1.0)}", daemon.command.log)
            if time.monotonic() > deadline:
                raise StartupError(name, f"was not ready after {timeout_s:.0f} s", daemon.command.log)
            tick()
            time.sleep(_LOOK_EVERY_S)


def _launch(
    command: Command, argv: tuple[str, ...], *, stdin: int, grace_s: float, user: str | None = None
) -> Daemon:
    # Appended: a restarted server's log still shows why it was stopped.
    with command.log.open("ab") as log:
        process = subprocess.Popen(
            argv,
            cwd=command.folder,
            stdin=stdin,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A session of its own: Ctrl-C reaches the owner only, which stops everything in order.
            start_new_session=True,
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
        )
    record = ProcessRecord(
        name=command.name,
        pid=process.pid,
        started_ticks=started_ticks(process.pid) or 0,
        boot=boot_id(),
        # The guard passes the command's own stop signal on.
        stop_signal=signal.SIGTERM if stdin == subprocess.PIPE else command.stop_signal,
        grace_s=grace_s,
        port=command.port,
        log=str(command.log),
    )
    return Daemon(command, record, process)
