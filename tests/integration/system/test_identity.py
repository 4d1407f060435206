"""Who a worker is, when somebody interferes: with its name, its FingerWorker, its Lease or its folder.

The Lease's holder decides who may run a worker's streams. Whatever is done to it is silence at worst, never a
permission: a stream may rest for a while, but no two workers process it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.fleet import assignment
from devenv.fleet_api import Object, fingerv7, leases
from devenv.fleet_objects import WorkerSpec
from devenv.streams import invent
from fingerv7.contract import format_token

pytestmark = pytest.mark.integration

TAKEOVER_S = 10
STOP_S = 3
HEEDLESS_S = (TAKEOVER_S + STOP_S) * 1.05 / 0.95
"""A worker that does not follow goes on until its sidecar gave up waiting for it, and it was stopped."""
FENCE_S = 5
MARGIN_S = 3
"""For a test machine whose two cores are everything's."""
NAME = "fingerv7-000"


@pytest.fixture
def system(start_shared_system, shared_systems):
    """Three workers, of which any one has room for all; balanced at the start of every test."""
    if not shared_systems:
        balancing = {"cooldown": "1s", "maxMovesPerRoundPercent": 100}
        start_shared_system(workers=3, max_streams=90, pool_spec={"balancing": balancing})
    system = shared_systems[0]
    _await_shares(system)
    return system


# --- one name, two sidecars -------------------------------------------------------------------------------


def test_a_second_sidecar_of_one_name_waits_and_says_so(system):
    fleet = system.fleet
    begun, first = fleet.now(), fleet.workers[NAME]
    second = fleet.make_worker(first.spec, folder="second")
    with system.untouched():
        second.start()
        words = ("another pod holds the Lease as", "Two sidecars must not share one INSTANCE_ID", "waiting until it")
        system.await_readiness(second, *words)
        assert all(word in second.sidecar.process.log.read_text() for word in ("lease-held-by-another", *words))
        system.await_readiness(first, ready=True)
        assert not (second.config_dir / "assignment.json").exists()

    first.kill()
    system.await_readiness(second, ready=True)
    fleet.wait_for(lambda: NAME in fleet.running().values(), 40, "the second takes its share")
    _prove(system, begun, gap_s=TAKEOVER_S + MARGIN_S)
    fleet.workers[NAME] = second


# --- the FingerWorker -------------------------------------------------------------------------------------


def test_a_fingerworker_deleted_and_recreated_under_a_live_sidecar(system):
    fleet, path = system.fleet, fingerv7(system.fleet.namespace, "fingerworkers", NAME)
    begun, worker = fleet.now(), fleet.workers[NAME]
    uid = fleet.finger_worker(NAME)["metadata"]["uid"]
    fleet.api.delete(path)
    fleet.wait_for(lambda: fleet.api.find(path) is None, 20, "it is drained and gone")
    system.await_readiness(worker, f"FingerWorker {fleet.namespace}/{NAME} does not exist", "create it")
    fleet.wait_all_running(10)
    fleet.declare_worker(NAME, 90)
    system.await_worker(NAME, "Ready", True, "Active")
    system.await_readiness(worker, ready=True)
    assert fleet.finger_worker(NAME)["metadata"]["uid"] != uid
    _prove(system, begun, gap_s=2)


@pytest.mark.long
def test_a_fingerworker_torn_out_without_a_drain_rests_until_nobody_can_run_it(system):
    fleet, path = system.fleet, fingerv7(system.fleet.namespace, "fingerworkers", NAME)
    begun, worker = fleet.now(), fleet.workers[NAME]
    fleet.api.delete(path)
    fleet.api.merge(path, {"metadata": {"finalizers": None}})
    fleet.declare_worker(NAME, 90)
    system.await_worker(NAME, "Ready", True, "Active")
    system.await_readiness(worker, ready=True)
    fleet.wait_all_running(30)
    _prove(system, begun, gap_s=HEEDLESS_S + MARGIN_S)


def test_a_fingerworker_that_a_backup_shows_with_a_stream_of_another_gives_it_up(system):
    fleet, restored = system.fleet, "fingerv7-restored"
    path = fingerv7(fleet.namespace, "fingerworkers", restored)
    stream = assignment(fleet.finger_worker(NAME))["streams"][0]
    with system.untouched():
        fleet.declare_worker(restored, 90)
        older = {**stream, "token": format_token(0, 1)}
        fleet.api.merge(
            f"{path}/status", {"status": {"assignment": {"epoch": 1, "streams": [older], "revoking": []}}}
        )
        system.await_event("FingerWorker", restored, "DoubleHeld", "another worker's assignment", stream["id"])
        fleet.wait_for(lambda: not assignment(fleet.finger_worker(restored)).get("streams"), 10, "it holds nothing")
        fleet.wait_for(lambda: not assignment(fleet.finger_worker(restored)).get("revoking"), 30, "nor stops it")
        fleet.api.delete(path)
        fleet.wait_for(lambda: fleet.api.find(path) is None, 30, "it is gone before the next test looks")


# --- the Lease --------------------------------------------------------------------------------------------


def test_a_deleted_lease_comes_back_and_no_stream_stops(system):
    fleet = system.fleet
    lease = fleet.lease(NAME)
    with system.untouched():
        for _ in range(3):
            fleet.api.delete(leases(fleet.namespace, NAME))
            lease = fleet.wait_for(lambda known=lease: _renewed_other(fleet.lease(NAME), known), 10, "a new Lease")
        system.await_readiness(fleet.workers[NAME], ready=True)
        system.await_worker(NAME, "Ready", True, "Active")
        system.await_worker(NAME, "Applied", True, "Applied")


def test_leases_with_a_strangers_label_are_silence_and_their_streams_move_safely(system):
    fleet, name, other = system.fleet, "fingerv7-001", "fingerv7-002"
    begun, right = fleet.now(), "fingerv7.io/pool=radio"
    _label(system, name, "another-pool")
    _label(system, other, None)
    try:
        system.await_worker(name, "Ready", False, "PoolMismatch", "carries another pool's label", right)
        system.await_worker(other, "Ready", False, "NoLease", "no Lease of its name with the label", right)
        system.await_event("FingerWorker", name, "PoolMismatch", right)
        fleet.wait_for(lambda: set(fleet.assigned().values()) == {NAME}, 20, "only the first worker is given streams")
        fleet.wait_all_running(10)
        system.await_worker(name, "Ready", False, "TakenOver", "carries another pool's label", right)
        system.await_worker(other, "Ready", False, "TakenOver", "no Lease of its name with the label", right)
    finally:
        _label(system, name, "radio")
        _label(system, other, "radio")
    _await_shares(system)
    _prove(system, begun, gap_s=5)
    for each in (name, other):
        assert not system.events("FingerWorker", each, "BackingOff"), "its worker never died"


# --- the config folder ------------------------------------------------------------------------------------


def test_a_full_config_folder_is_named_and_the_last_good_assignment_runs_on(system):
    fleet, name = system.fleet, "fingerv7-tiny"
    home = fleet.folder / name
    home.mkdir()
    with _mounted(home, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        fleet.declare_worker(name, 90)
        worker = fleet.make_worker(WorkerSpec(name=name, max_streams=90))
        for process in (worker.sidecar.process, worker.worker.process):
            process.log = fleet.folder / f"{process.name}.log"
        worker.start()
        fleet.workers[name] = worker
        _await_shares(system)

        running, added = system.intervals(), invent(40, first=4001)
        _fill(home / "filler")
        fleet.table.insert(added)
        words = ("the config cannot be written: No space left on device", "free some space")
        system.await_readiness(worker, *words)
        system.await_worker(name, "Applied", False, "WaitingForWorker", "is assigned", "is confirmed")
        assert running.items() <= system.intervals().items(), "a stream was stopped"

        (home / "filler").unlink()
        system.await_readiness(worker, ready=True)
        fleet.wait_all_running(10)
        assert running.items() <= system.intervals().items(), "a stream was stopped"

        fleet.table.delete([row.id for row in added])
        worker.stop_gracefully()
        path = fingerv7(fleet.namespace, "fingerworkers", name)
        fleet.api.delete(path)
        fleet.wait_all_running(20)
        fleet.wait_for(lambda: fleet.api.find(path) is None, 30, "it is gone before the next test looks")
        del fleet.workers[name]


def test_a_config_folder_that_turns_read_only_for_a_moment_costs_nothing(system):
    worker = system.fleet.workers[NAME]
    with system.untouched():
        with _mounted(worker.config_dir, "--bind", str(worker.config_dir)):
            _mount("-o", "remount,ro,bind", str(worker.config_dir))
            words = ("the fence file cannot be written: Read-only file system", "mount it writable for the sidecar")
            system.await_readiness(worker, *words)
        system.await_readiness(worker, ready=True)


@pytest.mark.long
def test_a_config_folder_that_stays_read_only_stops_its_worker_and_the_streams_move(system):
    fleet, name, begun = system.fleet, "fingerv7-001", system.fleet.now()
    worker = fleet.workers[name]
    with _mounted(worker.config_dir, "--bind", str(worker.config_dir)):
        _mount("-o", "remount,ro,bind", str(worker.config_dir))
        fleet.wait_for(lambda: name not in fleet.running().values(), 20, "the probe stops the worker")
        system.await_readiness(worker, "the config cannot be written: Read-only file system", "mount it writable")
        fleet.wait_for(lambda: name not in fleet.assigned().values(), 30, "its streams were taken away")
        fleet.wait_all_running(10)
    system.await_readiness(worker, ready=True)
    # It renews once more while it gives the worker time to restart.
    _prove(system, begun, gap_s=TAKEOVER_S + 5)


@pytest.mark.long
def test_a_config_folder_that_is_lost_stops_its_worker_and_the_streams_move(system):
    fleet, name, begun = system.fleet, "fingerv7-002", system.fleet.now()
    worker = fleet.workers[name]
    folder, log = worker.config_dir, worker.sidecar.process.log
    away = folder.rename(folder.with_suffix(".away"))
    folder.write_text("not a folder")
    fleet.wait_for(lambda: "CONFIG_DIR must be a folder" in log.read_text(), 10, "the log says so")
    fleet.wait_for(lambda: name not in fleet.assigned().values(), 25, "its streams were taken away")
    fleet.wait_all_running(10)
    folder.unlink()
    away.rename(folder)
    system.await_readiness(worker, ready=True)
    # The worker stops at once, the sidecar falls silent when no fence file could be written for D, and T follows.
    _prove(system, begun, gap_s=FENCE_S + TAKEOVER_S + MARGIN_S)


# --- helpers ----------------------------------------------------------------------------------------------


def _prove(system, since, *, gap_s: float) -> None:
    system.await_ready()
    verdict = system.fleet.check(allowed_gap_s=gap_s, since=since)
    assert verdict.ok, verdict.as_dict()


def _renewed_other(lease: Object | None, known: Object) -> Object | None:
    """The Lease, when it is another object and somebody holds it."""
    other = lease is not None and lease["metadata"]["uid"] != known["metadata"]["uid"]
    return lease if other and lease["spec"].get("holderIdentity") else None


def _await_shares(system) -> None:
    """Wait until every worker has some streams and runs exactly these."""
    fleet = system.fleet
    system.await_ready()
    fleet.wait_for(lambda: set(fleet.assigned().values()) == set(fleet.workers), 30, "every worker has its share")
    for name in fleet.workers:
        system.await_worker(name, "Applied", True, "Applied")
    system.await_pool("Balanced", True, "Balanced")


def _label(system, name: str, pool: str | None) -> None:
    path = leases(system.fleet.namespace, name)
    system.fleet.api.merge(path, {"metadata": {"labels": {"fingerv7.io/pool": pool}}})


def _fill(file: Path) -> None:
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as full:
        while True:
            full.write(bytes(4096))


@contextlib.contextmanager
def _mounted(folder: Path, *what: str) -> Iterator[None]:
    """Skip the test where this user may not mount."""
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", *what, str(folder)], check=False, capture_output=True).returncode
    ):
        pytest.skip("a full or read-only folder needs the right to mount a file system")
    try:
        yield
    finally:
        _unmount(folder)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def _unmount(folder: Path) -> None:
    """Also while somebody has a file open in it."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
