from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devenv import remains
from devenv.errors import DevenvError
from devenv.processes import started_ticks
from devenv.remains import NodeRecord, containers, remove_node


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeRecord:
    """A node's folder on a machine whose cgroups, links and network are other folders."""
    for name in ("_CGROUPS", "_LOG_LINKS", "_CNI_CACHE"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setattr(remains, name, folder)
    monkeypatch.setattr(remains, "remove_network", lambda _: None)
    folder = tmp_path / "node"
    folder.mkdir()
    return NodeRecord(network=7, folder=str(folder))


def shim(folder: Path, node: NodeRecord) -> subprocess.Popen[bytes]:
    """A process that is called as a shim is and has a child that outlives nothing by itself."""
    program = folder / "containerd-shim-runc-v2"
    program.unlink(missing_ok=True)
    program.symlink_to(sys.executable)
    code = "import subprocess, sys; subprocess.run(['sleep', '600'])"
    argv = [str(program), "-c", code, "-address", str(node.socket)]
    return subprocess.Popen(argv, env={**os.environ, "PYTHONHOME": sys.base_prefix})


def inside(shim: subprocess.Popen[bytes]) -> int:
    """Its child, once that is no copy of the shim any more."""
    while True:
        assert shim.poll() is None
        for pid in Path(f"/proc/{shim.pid}/task/{shim.pid}/children").read_text().split():
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"):
                return int(pid)


def test_containers_of_this_node_die_and_those_of_others_live(node: NodeRecord, tmp_path: Path) -> None:
    other = NodeRecord(network=8, folder=str(tmp_path / "other"))
    with shim(tmp_path, node) as ours, shim(tmp_path, other) as theirs:
        pids = [inside(ours), inside(theirs)]
        try:
            assert containers(node) == [ours.pid]
            remove_node(node)
            assert started_ticks(ours.pid) is None
            assert started_ticks(pids[0]) is None
            assert theirs.poll() is None
        finally:
            for pid in (ours.pid, theirs.pid, *pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
    assert not Path(node.folder).exists()


def test_the_links_and_results_that_lie_elsewhere_go_and_others_stay(node: NodeRecord) -> None:
    (remains._LOG_LINKS / "ours.log").symlink_to(f"{node.folder}/pod-logs/0.log")
    (remains._LOG_LINKS / "theirs.log").symlink_to("/var/log/pods/0.log")
    (remains._CNI_CACHE / "fingerv7-7-abc-eth0").touch()
    (remains._CNI_CACHE / "fingerv7-77-abc-eth0").touch()
    remove_node(node)
    assert [each.name for each in remains._LOG_LINKS.iterdir()] == ["theirs.log"]
    assert [each.name for each in remains._CNI_CACHE.iterdir()] == ["fingerv7-77-abc-eth0"]


def test_the_cgroups_of_containers_that_were_not_removed_in_order_go(node: NodeRecord) -> None:
    (node.bundles / "abc").mkdir(parents=True)
    ours, theirs = (remains._CGROUPS / "memory/k8s.io" / each for each in ("abc", "def"))
    (ours / "nested").mkdir(parents=True)
    theirs.mkdir()
    remove_node(node)
    assert not ours.exists()
    assert theirs.exists()


def test_nothing_is_deleted_below_a_mount_that_stays(node: NodeRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Path(node.folder) / "kept"
    secret.touch()
    monkeypatch.setattr(remains, "_mounts_below", lambda _: [f"{node.folder}/kubelet/volume"])
    monkeypatch.setattr(remains.subprocess, "run", lambda *_, **__: None)
    with pytest.raises(DevenvError, match="still mounted"):
        remove_node(node)
    assert secret.exists()


def test_removing_twice_is_no_error(node: NodeRecord) -> None:
    remove_node(node)
    remove_node(node)
