"""Real files: what is left when a disk is full, a folder is no folder, a file is torn."""

from __future__ import annotations

import contextlib
import fcntl
import json
import resource
import subprocess
import sys

import pytest

from fingerv7.contract import Fence, Timing
from fingerv7_sidecar.assignment import emptied_config
from fingerv7_sidecar.events import WriteConfig
from fingerv7_sidecar.files import ConfigFolder, explain
from fingerv7_sidecar.runtime import write_config

EMPTIED = emptied_config("radio", "w1", "pod/n", 1)


@contextlib.contextmanager
def full_disk(limit=0):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_written_config_is_found_again(tmp_path):
    folder = ConfigFolder(str(tmp_path))
    folder.write_config(EMPTIED.payload)
    found = folder.find()
    assert found.used
    assert (found.config.hash, found.config.streams) == (EMPTIED.hash, 0)
    document = json.loads((tmp_path / "assignment.json").read_bytes())
    assert document == {
        "version": 1,
        "pool": "radio",
        "worker": "w1",
        "epoch": 0,
        "hash": EMPTIED.hash,
        "streams": [],
    }
    assert (tmp_path / "assignment.json").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["assignment.json"]


def test_a_torn_config_counts_as_one_with_streams(tmp_path):
    (tmp_path / "assignment.json").write_text('{"version": 1, "str')
    assert ConfigFolder(str(tmp_path)).find().config.streams


def test_an_untouched_folder_is_not_used(tmp_path):
    assert not ConfigFolder(str(tmp_path)).find().used


def test_a_full_disk_keeps_the_last_assignment(tmp_path):
    folder = ConfigFolder(str(tmp_path))
    folder.write_config(b"good")
    with full_disk():
        result = write_config(folder, WriteConfig(1, EMPTIED, unlink_on_failure=False))
    assert result.outcome == "failed"
    assert (tmp_path / "assignment.json").read_bytes() == b"good"
    assert [path.name for path in tmp_path.iterdir()] == ["assignment.json"]


def test_a_config_that_must_go_is_unlinked_on_a_full_disk(tmp_path):
    folder = ConfigFolder(str(tmp_path))
    folder.write_config(b"good")
    with full_disk():
        result = write_config(folder, WriteConfig(1, EMPTIED, unlink_on_failure=True))
    assert result.outcome == "unlinked"
    assert not (tmp_path / "assignment.json").exists()


def test_the_fence_is_overwritten_in_place_on_a_full_disk(tmp_path):
    folder = ConfigFolder(str(tmp_path))
    folder.write_fence(Fence(1000.0, 12.0, "boot"))
    blocker = tmp_path / ".fence.tmp"
    with full_disk(limit=0), pytest.raises(OSError, match="File too large"):
        folder.write_fence(Fence(1005.0, 12.0, "boot"))  # this limit forbids writing in place as well
    assert Fence.parse((tmp_path / "fence").read_text()) == Fence(1000.0, 12.0, "boot")
    assert not blocker.exists()
    folder._overwrite("fence", str(Fence(1005.0, 9.0, "b")).encode())
    assert Fence.parse((tmp_path / "fence").read_text()) == Fence(1005.0, 9.0, "b")


def test_a_folder_that_is_a_file_is_explained(tmp_path):
    (tmp_path / "config").write_text("")
    folder = ConfigFolder(str(tmp_path / "config"))
    result = write_config(folder, WriteConfig(1, EMPTIED, unlink_on_failure=True))
    assert result.outcome == "failed"
    assert "CONFIG_DIR must be a folder" in result.reason


def test_a_missing_folder_is_explained(tmp_path):
    with pytest.raises(OSError) as raised:
        ConfigFolder(str(tmp_path / "no")).write_config(b"")
    assert "create the folder" in explain(raised.value)


def test_the_pod_uid_survives_a_restart(tmp_path):
    folder = ConfigFolder(str(tmp_path))
    assert folder.pod_uid() == ConfigFolder(str(tmp_path)).pod_uid()


def test_the_workers_lock_is_freed_by_the_kernel(tmp_path):
    folder = ConfigFolder(str(tmp_path))
    assert folder.worker_lock_held() is None
    script = f"import fcntl,sys;f=open({str(tmp_path / 'worker.lock')!r},'w');fcntl.flock(f,fcntl.LOCK_EX);print('held',flush=True);sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        assert folder.worker_lock_held() is True
        process.kill()
        process.wait()
    assert folder.worker_lock_held() is False
    with (tmp_path / "worker.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_folder_has_one_sidecar(tmp_path):
    assert ConfigFolder(str(tmp_path)).lock_sidecar()
    assert not ConfigFolder(str(tmp_path)).lock_sidecar()


def test_the_fence_file_holds_until_its_deadline_only():
    fence = Fence(1000.0, Timing().fence_after_ms / 1000, "boot")
    assert fence.holds(now_s=1011.9, boot_id="boot")
    assert not fence.holds(now_s=1012.0, boot_id="boot")
