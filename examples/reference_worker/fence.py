"""Whether the worker may run at all: its sidecar proved recently enough that it is alive.

The sidecar writes one line, `<sent> <fence_after> <boot id>`: the boot time at which it sent its last acknowledged
renewal, for how many seconds that counts, and which boot it was. A few lines in any language, and no clock but the
machine's own.
"""

from __future__ import annotations

import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Fence:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._boot_id = _BOOT_ID.read_text(encoding="ascii").strip()

    def holds(self) -> bool:
        """A missing, torn or foreign file allows nothing."""
        try:
            sent, fence_after, boot_id = self._path.read_text(encoding="ascii").split()
            age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - float(sent)
            return boot_id == self._boot_id and 0 <= age_s < float(fence_after)
        except (OSError, ValueError):
            return False
