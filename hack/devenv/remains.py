"""What a node leaves behind when its processes are gone: containers, mounts, cgroups, a bridge; and how it goes.

Nothing of containerd is asked for it, so that it works as well after a crash or a kill. Everything that is ours is
known by the node's folder: shims name a socket in it, mounts are below it, and so are the containers' bundles.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from devenv.errors import DevenvError
from devenv.network import Network, remove_network
from devenv.processes import ProcessRecord, boot_id, started_ticks, stop_process

_SHIM = "containerd-shim-runc-v2"
_CGROUPS = Path("/sys/fs/cgroup")
_LOG_LINKS = Path("/var/log/containers")
_CNI_CACHE = Path("/var/lib/cni/results")
_CGROUP_WAIT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class NodeRecord:
    """One node: its network's number and the folder of containerd and kubelet, which is nobody else's."""

    network: int
    folder: str

    @property
    def socket(self) -> Path:
        """Where containerd listens."""
        return Path(self.folder) / "containerd.sock"

    @property
    def bundles(self) -> Path:
        """Where each container that was not removed in order still has a folder of its own."""
        return Path(self.folder) / "run/io.containerd.runtime.v2.task/k8s.io"


def containers(record: NodeRecord) -> list[int]:
    """The pids of the shims, one a pod."""
    return [pid for pid, argv in _processes() if _is_shim(argv, record)]


def remove_node(record: NodeRecord) -> None:
    """Kill all containers and undo everything; containerd and kubelet must have been stopped before.

    Raises:
        DevenvError: something stays mounted, or a process outlived SIGKILL. Nothing below a mount is deleted.
    """
    _kill_containers(record)
    _unmount_below(Path(record.folder))
    _remove_cgroups(record)
    remove_network(record.network)
    _remove_links(record)
    shutil.rmtree(record.folder, ignore_errors=True)


def _kill_containers(record: NodeRecord) -> None:
    # The shims adopt what their containers leave behind, so everything is below one of them. Twice: one may have
    # been forking while we looked.
    for _ in range(2):
        shims = containers(record)
        for pid in (*_descendants(set(shims)), *shims):
            stop_process(
                ProcessRecord(
                    name="a container's process",
                    pid=pid,
                    started_ticks=started_ticks(pid) or 0,
                    boot=boot_id(),
                    stop_signal=signal.SIGKILL,
                )
            )


def _is_shim(argv: list[str], record: NodeRecord) -> bool:
    return bool(argv) and Path(argv[0]).name == _SHIM and str(record.socket) in argv


def _processes() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            yield int(entry.name), [word.decode(errors="replace") for word in words]


def _descendants(parents: set[int]) -> list[int]:
    """The deepest last. Threads and zombies do not matter."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = sorted(parents)
    while waiting:
        below = children.get(waiting.pop(0), [])
        found += below
        waiting += below
    return found


def _unmount_below(folder: Path) -> None:
    for point in reversed(_mounts_below(folder)):
        # Lazily: what a dying process still holds is no reason to leave it in everybody's sight.
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
    if left := _mounts_below(folder):
        raise DevenvError(f"still mounted: {', '.join(left)}; `umount` them, then `make down` again")


def _mounts_below(folder: Path) -> list[str]:
    """In the order in which they were made; spaces and the like are written as octal numbers there."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if Path(point).is_relative_to(folder):
            points.append(point)
    return points


def _remove_cgroups(record: NodeRecord) -> None:
    names = [path.name for path in record.bundles.iterdir()] if record.bundles.is_dir() else []
    # Version 1 has a tree for each controller, version 2 only one.
    for parent in (top / "k8s.io" for top in (_CGROUPS, *_CGROUPS.glob("*"))):
        for root in (parent / name for name in names):
            for folder, _, _ in os.walk(root, topdown=False):
                _remove_cgroup(Path(folder))
        # Everybody's: it goes with the last container.
        with suppress(OSError):
            parent.rmdir()


def _remove_cgroup(path: Path) -> None:
    deadline = time.monotonic() + _CGROUP_WAIT_S
    while path.exists():
        try:
            path.rmdir()
        except OSError as error:
            # Its last process is dead and not yet gone.
            if time.monotonic() > deadline:
                raise DevenvError(f"{path} cannot be removed: {error}") from error
            time.sleep(0.05)


def _remove_links(record: NodeRecord) -> None:
    """The kubelet and the CNI library have two fixed places outside of any folder that they are told."""
    if _LOG_LINKS.is_dir():
        for link in _LOG_LINKS.iterdir():
            if link.is_symlink() and str(link.readlink()).startswith(f"{record.folder}/"):
                link.unlink(missing_ok=True)
    if _CNI_CACHE.is_dir():
        for result in _CNI_CACHE.glob(f"{Network(number=record.network).bridge}-*"):
            result.unlink(missing_ok=True)
