"""Becomes another program that dies with the process that started it.

PR_SET_PDEATHSIG survives exec, so nothing stands between the fleet and its processes: a SIGKILL or SIGSTOP hits the
sidecar or the worker itself. Run as a file with `python -I -S`; standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    owner, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have died before the line above.
    if os.getppid() != owner:
        sys.exit("the process that started this one is gone")
    os.execvp(command[0], command)  # noqa: S606 - to become it is the purpose


if __name__ == "__main__":
    main()
