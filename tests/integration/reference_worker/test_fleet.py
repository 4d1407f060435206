"""The fleet of tests, benchmarks and the demo: three workers, everything that the harness can do to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.cluster import Cluster
from devenv.fleet import DeadlineError, Fleet
from devenv.postgres import Postgres
from devenv.streams import invent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

_STREAMS = 60


@pytest.fixture
def fleet(cluster: Cluster, postgres: Postgres, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(cluster, postgres, rows=_STREAMS, folder=tmp_path) as fleet:
        for number in (1, 2, 3):
            fleet.start_worker(f"worker-{number}", 60, location="here")
        fleet.start_operator()
        fleet.wait_all_running(60)
        yield fleet


def test_what_the_journal_shows_is_what_was_assigned(fleet: Fleet) -> None:
    assert fleet.running() == fleet.assigned()
    assert set(Counter(fleet.running().values()).values()) == {20}
    assert fleet.check(allowed_gap_s=1).ok


@pytest.mark.long
def test_a_dead_worker_is_noticed_by_journal_status_and_checker(fleet: Fleet) -> None:
    dead = fleet.workers["worker-2"]
    begin = fleet.now()
    dead.kill()
    assert not dead.alive
    fleet.wait_for(lambda: "worker-2" not in fleet.running().values(), 10, "its run lapses")
    assert len(fleet.check(allowed_gap_s=1).missing) == 20
    fleet.wait_all_running(60)
    figures = fleet.gap_figures(since=begin)
    assert figures.count == 20
    assert fleet.check(allowed_gap_s=60).ok
    assert not fleet.check(allowed_gap_s=figures.max_s - 0.001).ok
    dead.start()
    fleet.wait_for(lambda: fleet.finger_worker("worker-2")["status"]["phase"] != "Inactive", 60, "it is heard again")


def test_a_restarted_worker_process_keeps_its_streams(fleet: Fleet) -> None:
    before = fleet.running()
    fleet.workers["worker-1"].kill_worker()
    fleet.wait_for(lambda: fleet.workers["worker-1"].worker.restarts == 1, 30, "the kubelet restarts it")
    fleet.wait_all_running(60)
    assert not fleet.check(allowed_gap_s=60).overlaps
    assert fleet.workers["worker-1"].alive
    assert {stream for stream, worker in before.items() if worker != "worker-1"} <= set(fleet.running())


@pytest.mark.long
def test_without_a_sidecar_the_probe_stops_the_worker(fleet: Fleet) -> None:
    worker = fleet.workers["worker-3"]
    worker.kill_sidecar(restart=False)
    fleet.wait_for(lambda: worker.probe.failures >= 1, 30, "the probe fails")
    fleet.wait_for(lambda: "worker-3" not in fleet.running().values(), 10, "it processes nothing")
    fleet.wait_all_running(60)
    assert fleet.check(allowed_gap_s=60).ok


@pytest.mark.long
def test_a_frozen_pod_loses_its_streams_and_thaws_without_an_overlap(fleet: Fleet) -> None:
    worker = fleet.workers["worker-1"]
    worker.pause()
    fleet.wait_for(lambda: "worker-1" not in fleet.running().values(), 10, "its run lapses")
    fleet.wait_all_running(60)
    worker.resume()
    fleet.wait_for(lambda: fleet.finger_worker("worker-1")["status"]["phase"] != "Inactive", 60, "it is heard again")
    fleet.wait_all_running(60)
    assert not fleet.check(allowed_gap_s=60, refusals_allowed=True).overlaps


def test_a_graceful_stop_drains_first(fleet: Fleet) -> None:
    begin = fleet.now()
    fleet.workers["worker-2"].stop_gracefully()
    fleet.wait_all_running(30)
    assert fleet.gap_figures(since=begin).count == 20
    assert fleet.check(allowed_gap_s=9, since=begin).ok, "faster than any takeover could be"


def test_rows_come_and_go(fleet: Fleet) -> None:
    fleet.table.insert(invent(5, first=_STREAMS + 1))
    fleet.wait_all_running(30)
    fleet.table.set_active(["stream-00001"], active=False)
    fleet.table.delete(["stream-00002"])
    fleet.wait_all_running(30)
    assert len(fleet.running()) == _STREAMS + 3


def test_waiting_in_vain_says_what_was_seen_last(fleet: Fleet) -> None:
    with pytest.raises(DeadlineError, match=r"(?s)the moon falls.*worker-1 .*operator-1 \(running\)"):
        fleet.wait_for(lambda: False, 0.1, "the moon falls")
