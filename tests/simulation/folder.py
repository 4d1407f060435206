"""The config folder of a pod, in memory: the sidecar's own code on it, without a disk.

What survives in it is what survives in an emptyDir: everything, until the pod is gone. The worker's lock is freed by
the kernel when the worker dies. A disk that is full or read-only refuses writes.
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable

from fingerv7.contract import Fence
from fingerv7_sidecar.files import APPLIED, CONFIG, FENCE, ConfigFolder


class MemoryFolder(ConfigFolder):
    def __init__(self) -> None:
        super().__init__("/config")
        self._files: dict[str, bytes] = {}
        self.on_change: Callable[[], None] = lambda: None
        self.lock_exists = False
        self.locked = False
        """By a worker that lives."""
        self.error = 0
        """The errno with which every write fails."""

    def read(self, name: str) -> bytes | None:
        return self._files.get(name)

    @property
    def config(self) -> bytes | None:
        return self._files.get(CONFIG)

    @property
    def fence(self) -> Fence | None:
        return _fence(self._files.get(FENCE, b""))

    def confirm(self, digest: str) -> None:
        """The worker's hand."""
        self._files[APPLIED] = digest.encode() + b"\n"

    # --- the sidecar's hand -------------------------------------------------------------------------------

    def remove_config(self) -> None:
        self._remove(CONFIG)

    def remove_fence(self) -> None:
        self._remove(FENCE)

    def lock_sidecar(self) -> bool:
        return True

    def worker_lock_held(self) -> bool | None:
        return self.locked if self.lock_exists else None

    def _remove(self, name: str) -> None:
        if self.error == errno.EROFS:
            raise OSError(self.error, "read-only", name)
        if self._files.pop(name, None) is not None:
            self.on_change()

    def _read(self, name: str, limit: int = 16 << 20) -> bytes | None:
        return self._files.get(name)

    def _replace(self, name: str, content: bytes, *, durable: bool) -> None:
        if self.error:
            raise OSError(self.error, "the disk refuses", name)
        self._files[name] = content
        self.on_change()

    def _overwrite(self, name: str, line: bytes) -> None:
        if self.error == errno.EROFS:
            raise OSError(self.error, "read-only", name)
        self._files[name] = line
        self.on_change()


@functools.lru_cache(maxsize=64)
def _fence(line: bytes) -> Fence | None:
    return Fence.parse(line.decode("ascii", "replace"))
