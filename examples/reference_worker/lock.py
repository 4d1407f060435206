"""One worker a config folder, provably: the kernel frees the lock when the process is gone, however it went."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from pathlib import Path

_log = logging.getLogger(__name__)
_TRY_EVERY_S = 0.05


def hold(path: Path) -> int:
    """Wait for the exclusive lock and hold it until this process ends; the open descriptor.

    The wait covers a worker before this one that is still dying, and a sidecar that tries the lock for a moment.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    said = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not said:
                _log.warning("%s is held by another process; waiting", path.name)
                said = True
            time.sleep(_TRY_EVERY_S)
        else:
            return descriptor
