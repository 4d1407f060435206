"""A container's process as the node sees it, to be killed there: no runtime takes part, and nobody is told."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from .manifests import Object


def kill(pod: Object, container: str) -> None:
    """SIGKILL to the process that the container is. Skips where the node's processes are not this machine's."""
    identifier = container_status(pod, container)["containerID"].rpartition("://")[2]
    pid = _process_of(identifier)
    if pid is None or os.geteuid() != 0:
        pytest.skip("the nodes' processes are not this machine's, or not ours to kill")
    os.kill(pid, signal.SIGKILL)


def container_status(pod: Object, container: str) -> Object:
    status = pod["status"]
    for each in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        if each["name"] == container:
            found: Object = each
            return found
    raise KeyError(container)


def _process_of(container_id: str) -> int | None:
    """The container's first process: a group's name has the container's id, and in its own namespace it is process 1."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if container_id in (entry / "cgroup").read_text() and _own_pid(entry) == 1:
                return int(entry.name)
    return None


def _own_pid(entry: Path) -> int:
    lines = (entry / "status").read_text(errors="replace").splitlines()
    return next(int(line.split()[-1]) for line in lines if line.startswith("NSpid:"))
