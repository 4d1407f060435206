"""Runs one command for an owner and makes sure that it does not outlive the owner, however the owner ends.

PR_SET_PDEATHSIG set by the owner itself would follow the *thread* that started the child and would need code
between fork and exec of a process that may have threads. So the owner starts this small single-threaded process
instead: it sees the owner's end by the end of its standard input (or by a new parent), stops the command with
its stop signal and a deadline, and, should it be killed itself, takes the command along by PR_SET_PDEATHSIG.

Run as a file with `python -I -S`, so it imports nothing but the standard library.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import select
import signal
import subprocess
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_ENDING = (signal.SIGQUIT, signal.SIGINT, signal.SIGTERM)
"""Whatever a command is ended with."""
_LOOK_EVERY_S = 0.5


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--owner", type=int, required=True)
    parser.add_argument("--stop-signal", type=int, required=True)
    parser.add_argument("--grace-s", type=float, required=True)
    parser.add_argument("--user")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()

    # Signals only wake the loop; the one that asks us to stop is remembered.
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: asked.append(received))
    signal.signal(signal.SIGCHLD, lambda _received, _frame: None)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)

    child = subprocess.Popen(
        options.command,
        stdin=subprocess.DEVNULL,
        user=options.user,
        group=_group(options.user),
        extra_groups=None if options.user is None else [],
        preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - this process has one thread
    )
    while child.poll() is None and not asked and os.getppid() == options.owner:
        readable, _, _ = select.select([sys.stdin.buffer, wake_read], [], [], _LOOK_EVERY_S)
        if wake_read in readable:
            os.read(wake_read, 4096)
        if sys.stdin.buffer in readable and not os.read(sys.stdin.fileno(), 4096):
            break
    if child.poll() is None:
        child.send_signal(options.stop_signal)
        try:
            child.wait(options.grace_s)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def _group(user: str | None) -> int | None:
    if user is None:
        return None
    return pwd.getpwnam(user).pw_gid


def _die_with(guard: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None)

    def before_exec() -> None:
        # A shell without job control ignores SIGINT and SIGQUIT for what it runs in the background, and whoever
        # inherits that ignores them too.
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)
        # After the change of user, which would clear it. SIGQUIT ends Go programs at once, and PostgreSQL too,
        # which on SIGKILL would leave its shared memory behind.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
        if os.getppid() != guard:
            os._exit(1)

    return before_exec


if __name__ == "__main__":
    sys.exit(main())
