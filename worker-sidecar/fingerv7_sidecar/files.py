"""The config folder, shared with the worker: `assignment.json`, `applied`, `fence`, and the locks.

A reader must see either the old or the new content, whatever is killed in between: temporary file, fsync, rename,
fsync of the folder. When a disk is full or read-only, what must not stay is removed, and what must be kept short
(the fence) is overwritten in place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import uuid

from fingerv7.contract import Fence
from fingerv7_sidecar.assignment import found_config
from fingerv7_sidecar.identity import Found

CONFIG, APPLIED, FENCE, WORKER_LOCK = "assignment.json", "applied", "fence", "worker.lock"
SIDECAR_LOCK, SIDECAR_PORT, POD_UID = "sidecar.lock", "sidecar.port", "pod-uid"

_CONFIRMATION_LIMIT = 256


class ConfigFolder:
    """All methods raise OSError unless they say otherwise; `explain` turns one into a sentence."""

    def __init__(self, path: str, *, file_mode: int = 0o644) -> None:
        self.path = path
        self._mode = file_mode

    def at(self, name: str) -> str:
        return os.path.join(self.path, name)  # noqa: PTH118 (pathlib costs memory)

    def find(self) -> Found:
        """What an earlier process of this pod left. A file that cannot be read is taken for the worst."""
        config = None
        try:
            payload = self._read(CONFIG)
            config = None if payload is None else found_config(payload)
        except OSError:
            config = found_config(b"")
        applied = self.read_confirmation()
        try:
            fence_text = self._read(FENCE)
        except OSError:
            fence_text = b""
        return Found(
            config=config,
            applied=applied,
            fence=Fence.parse((fence_text or b"").decode("ascii", "replace")),
            used=bool(config or applied or fence_text is not None),
        )

    def write_config(self, payload: bytes) -> None:
        self._replace(CONFIG, payload, durable=True)

    def remove_config(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.at(CONFIG))  # noqa: PTH108
        self._sync_folder()

    def write_fence(self, fence: Fence) -> None:
        """Not synced: after a crash of the machine the boot id invalidates it anyway."""
        line = str(fence).encode("ascii")
        try:
            self._replace(FENCE, line, durable=False)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            self._overwrite(FENCE, line)

    def remove_fence(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.at(FENCE))  # noqa: PTH108

    def read_confirmation(self) -> str:
        """The hash that the worker confirmed, or nothing. Never raises."""
        try:
            return (self._read(APPLIED, _CONFIRMATION_LIMIT) or b"").decode("ascii", "replace").strip()
        except OSError:
            return ""

    def write_port(self, port: int) -> None:
        self._replace(SIDECAR_PORT, f"{port}\n".encode(), durable=False)

    def pod_uid(self) -> str:
        """An identity that survives a restart of the sidecar, for processes outside of any pod."""
        known = (self._read(POD_UID, _CONFIRMATION_LIMIT) or b"").decode("ascii", "replace").strip()
        if known and "/" not in known:
            return known
        made = str(uuid.uuid4())
        self._replace(POD_UID, made.encode() + b"\n", durable=True)
        return made

    def lock_sidecar(self) -> bool:
        """Take the folder for this process's life; False when another sidecar has it."""
        descriptor = os.open(self.at(SIDECAR_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _try_lock(descriptor):
            return True  # kept open until the process ends
        os.close(descriptor)
        return False

    def worker_lock_held(self) -> bool | None:
        """Whether a worker lives: obtaining its lock, and giving it back at once, proves that none does.

        None when there is no lock file, which proves nothing. It is the worker's to create, under its own user. One
        that cannot be read counts as held.
        """
        try:
            descriptor = os.open(self.at(WORKER_LOCK), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError:
            return True
        try:
            return not _try_lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def _read(self, name: str, limit: int = 16 << 20) -> bytes | None:
        try:
            with open(self.at(name), "rb") as file:  # noqa: PTH123
                return file.read(limit)
        except FileNotFoundError:
            return None

    def _replace(self, name: str, content: bytes, *, durable: bool) -> None:
        target, temporary = self.at(name), self.at(f".{name}.tmp")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, self._mode)
            try:
                os.fchmod(descriptor, self._mode)
                view = memoryview(content)
                while view:
                    view = view[os.write(descriptor, view) :]
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, target)  # noqa: PTH105
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            raise
        if durable:
            self._sync_folder()

    def _overwrite(self, name: str, line: bytes) -> None:
        """One short write into blocks that the file has already."""
        descriptor = os.open(self.at(name), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, line, 0)
            os.ftruncate(descriptor, len(line))
        finally:
            os.close(descriptor)

    def _sync_folder(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def explain(error: OSError) -> str:
    """What is wrong with the folder and what would be right."""
    advice = {
        errno.EROFS: "mount it writable for the sidecar",
        errno.EACCES: "let the sidecar's user write there",
        errno.EPERM: "let the sidecar's user write there",
        errno.ENOSPC: "free some space",
        errno.EDQUOT: "free some space",
        errno.ENOENT: "create the folder, or set CONFIG_DIR",
        errno.ENOTDIR: "CONFIG_DIR must be a folder",
    }.get(error.errno or 0)
    said = f"{error.strerror or error}: {error.filename}" if error.filename else str(error.strerror or error)
    return f"{said}; {advice}" if advice else said


def _try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
