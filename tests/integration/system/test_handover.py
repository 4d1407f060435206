"""Planned moves: a stream changes hands without ever being on two workers, and is on nobody for a moment only."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.faults.seen import condition, holds, revoking

from devenv.cluster import Cluster
from devenv.fleet import Fleet, assignment
from devenv.fleet_api import Object, fingerv7
from devenv.postgres import Postgres
from devenv.proof import prove
from devenv.streams import invent
from reference_worker.verdict import Window

ROWS = 116
PLACES = 60
NAMES = [f"fingerv7-{number:03}" for number in range(1, 5)]
FIFTH = "fingerv7-005"
TAKEOVER_S = 10.0
MOVES_A_ROUND = ROWS * 10 // 100
SOON_S = 30.0
PLANNED_GAP_S = 5.0
"""What a busy machine may make of "well under a second"; half of the time after which it would be a takeover."""


@pytest.fixture(scope="module")
def fleet(cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Four workers, not quite half full, so that two of them may be away and a row more is served."""
    balancing = {"balancing": {"cooldown": "1s"}}
    folder = tmp_path_factory.mktemp("handover")
    with Fleet(cluster, postgres, rows=ROWS, pool_spec=balancing, folder=folder) as fleet:
        for name in NAMES:
            fleet.start_worker(name, PLACES)
        fleet.start_operator()
        fleet.wait_all_running(60)
        _await_balance(fleet)
        yield fleet


def test_a_drained_worker_hands_over_everything_and_gets_its_share_back(fleet: Fleet) -> None:
    name, since, began = NAMES[0], fleet.now(), time.monotonic()
    fleet.patch_worker(name, {"drain": True})
    fleet.wait_for(lambda: holds(fleet, name) == 0, SOON_S, f"{name} holds nothing")
    print(f"drained of 30 streams in {time.monotonic() - began:.2f} s")
    fleet.wait_for(lambda: _phase(fleet, name) == "Drained", SOON_S, f"{name} is shown as drained")
    prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S)
    assert name not in fleet.running().values()
    fleet.patch_worker(name, {"drain": False})
    _await_balance(fleet)
    assert Counter(fleet.running().values())[name] > 0
    prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S)


def test_deleting_a_fingerworker_drains_it_before_it_goes(fleet: Fleet) -> None:
    name, since = NAMES[1], fleet.now()
    path = fingerv7(fleet.namespace, "fingerworkers", name)
    assert fleet.finger_worker(name)["metadata"]["finalizers"]
    fleet.api.delete(path)
    fleet.wait_for(lambda: fleet.api.find(path) is None, SOON_S, f"FingerWorker {name} is gone")
    assert name not in fleet.running().values(), "it went before its worker had stopped"
    prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S)
    # Its processes are still there; a new FingerWorker of that name is theirs.
    fleet.declare_worker(name, PLACES)
    fleet.wait_for(lambda: name in fleet.running().values(), SOON_S, f"the new {name} gets streams")
    _await_balance(fleet)
    prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S)


def test_a_worker_that_joins_gets_its_share_within_the_budget_of_each_round(fleet: Fleet) -> None:
    since, rounds = fleet.now(), {}
    fleet.start_worker(FIFTH, PLACES, sidecar_environment={"WORKER_GRACE": "8s"})

    def share_arrived() -> bool:
        last = fleet.stream_pool()["status"].get("lastRebalance", {})
        if last.get("reason") in ("Imbalance", "NewWorker"):
            rounds[last["time"]] = last["moves"]
        return FIFTH in fleet.running().values() and _balanced(fleet)

    fleet.wait_for(share_arrived, SOON_S, f"{FIFTH} has its share")
    print(f"moves of each round seen: {list(rounds.values())}; {FIFTH} has {holds(fleet, FIFTH)} streams")
    assert all(0 < moves <= MOVES_A_ROUND for moves in rounds.values())
    prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S)


def test_a_lowered_capacity_sends_the_surplus_elsewhere(fleet: Fleet) -> None:
    name, since = NAMES[2], fleet.now()
    assert holds(fleet, name) > 10
    fleet.patch_worker(name, {"maxStreams": 10})
    fleet.wait_for(lambda: holds(fleet, name) <= 10, SOON_S, f"{name} holds no more than it may")
    prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S)
    fleet.patch_worker(name, {"maxStreams": PLACES})
    _await_balance(fleet)
    prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S)


def test_the_drain_hook_of_a_sidecar_returns_when_its_worker_runs_nothing(fleet: Fleet) -> None:
    name, since, began = NAMES[3], fleet.now(), time.monotonic()
    worker = fleet.workers[name]
    assert worker.drain(timeout_s=SOON_S) == 200
    print(f"/drain returned after {time.monotonic() - began:.2f} s")
    assert name not in fleet.running().values()
    lease = fleet.lease(name)
    assert lease
    assert "fingerv7.io/released" in lease["metadata"]["annotations"]
    prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S)
    worker.stop_gracefully(drain=False)
    worker.start()
    fleet.wait_for(lambda: name in fleet.running().values(), SOON_S, f"the next pod of {name} gets streams")
    _await_balance(fleet)
    prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S)


def test_a_worker_process_that_is_back_within_its_grace_keeps_its_streams(fleet: Fleet) -> None:
    # The fifth has a grace of 8 s; the kubelet restarts a container after half a second.
    since, before, worker = fleet.now(), fleet.assigned(), fleet.workers[FIFTH]
    restarts, streams = worker.worker.restarts, Counter(before.values())[FIFTH]
    worker.kill_worker()
    fleet.wait_for(lambda: fleet.gap_figures(since=since).count == streams, SOON_S, "all its streams were resumed")
    assert worker.worker.restarts == restarts + 1
    verdict = prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S)
    print(f"on nobody for {verdict.longest_gap_s:.2f} s while the worker was restarted")
    assert fleet.assigned() == before


def test_a_worker_process_that_is_gone_for_good_is_replaced_long_before_a_takeover(fleet: Fleet) -> None:
    name, since = NAMES[0], fleet.now()
    worker = fleet.workers[name]
    worker.worker.restart = False
    worker.kill_worker()
    fleet.wait_for(lambda: holds(fleet, name) == 0, SOON_S, f"{name} holds nothing")
    verdict = prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S)
    print(f"on nobody for {verdict.longest_gap_s:.2f} s: a freed lock proves what silence has to wait for")
    assert worker.sidecar.process.alive
    worker.worker.restart = True
    _await_balance(fleet)
    prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S)


def test_a_restart_of_the_sidecar_alone_goes_unnoticed(fleet: Fleet) -> None:
    name = NAMES[1]
    since, before, worker = fleet.now(), fleet.assigned(), fleet.workers[NAMES[1]]
    holder, restarts = _holder(fleet, name), worker.sidecar.restarts
    worker.kill_sidecar()
    fleet.wait_for(lambda: _holder(fleet, name) != holder, SOON_S, f"a new sidecar holds the Lease of {name}")
    fleet.wait_for(lambda: _acknowledged(fleet, name), SOON_S, "it has acknowledged what it found")
    assert worker.sidecar.restarts == restarts + 1
    assert worker.worker.process.alive
    prove(fleet, since=since, allowed_gap_s=0.0)
    assert fleet.gap_figures(since=since).count == 0, "a stream was stopped"
    assert fleet.assigned() == before


def test_a_slow_worker_delays_the_grant_and_never_overlaps(fleet: Fleet) -> None:
    name, since = "fingerv7-slow", fleet.now()
    fleet.start_worker(name, PLACES, worker_environment={"STOP_DELAY_MS": "2000"})
    fleet.wait_for(lambda: name in fleet.running().values(), SOON_S, f"{name} has streams")
    _await_balance(fleet)
    slow = {stream for stream, worker in fleet.running().items() if worker == name}
    began = time.monotonic()
    fleet.patch_worker(name, {"drain": True})

    def arrived() -> bool:
        running = fleet.running()
        return any(running.get(stream, name) != name for stream in slow)

    fleet.wait_for(arrived, SOON_S, "the first of its streams runs elsewhere")
    waited_s = time.monotonic() - began
    print(f"the first of {len(slow)} streams arrived elsewhere after {waited_s:.2f} s")
    assert waited_s >= 2.0
    prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S)
    _retire(fleet, name)


@pytest.mark.long
def test_a_worker_that_never_confirms_loses_its_streams(fleet: Fleet) -> None:
    name, since = "fingerv7-mute", fleet.now()
    fleet.start_worker(
        name, PLACES, sidecar_environment={"APPLY_TIMEOUT": "2s"}, worker_environment={"CONFIRM": "never"}
    )
    fleet.wait_for(lambda: holds(fleet, name) > 0, SOON_S, f"{name} is given something")
    fleet.wait_for(lambda: holds(fleet, name) == 0, SOON_S, f"{name} has lost everything")
    assert name not in fleet.running().values()
    # Its sidecar stopped it and fell silent; who it had confirmed nothing to could not free anything.
    verdict = prove(fleet, since=since, allowed_gap_s=TAKEOVER_S + 2.0)
    print(f"on nobody for {verdict.longest_gap_s:.2f} s, of which {TAKEOVER_S:.0f} s are the takeover")
    _retire(fleet, name)


@pytest.mark.long
def test_a_paused_pool_plans_nothing_new_but_takes_over_from_the_dead(fleet: Fleet) -> None:
    name, (late,), start = NAMES[3], invent(1, first=7001), fleet.now()
    served = fleet.table.active_ids()
    fleet.patch_pool({"paused": True})
    fleet.wait_for(
        lambda: condition(fleet.stream_pool(), "Paused").get("status") == "True", SOON_S, "the pool is paused"
    )
    fleet.table.insert([late])
    fleet.patch_worker(NAMES[0], {"drain": True})
    fleet.workers[name].kill()
    fleet.wait_for(lambda: holds(fleet, name) == 0, SOON_S, f"{name} was taken over")
    # All this time the new row was not given to anybody, and the drain did not begin.
    prove(fleet, since=start, allowed_gap_s=TAKEOVER_S + 2.0, expected=served)
    assert holds(fleet, NAMES[0]) > 0
    fleet.patch_pool({"paused": False})
    fleet.wait_for(lambda: late.id in fleet.running(), SOON_S, "the row that waited is served")
    fleet.wait_for(lambda: holds(fleet, NAMES[0]) == 0, SOON_S, "the drain that waited is done")
    fleet.patch_worker(NAMES[0], {"drain": False})
    fleet.workers[name].start()
    takeover = Window(start, fleet.now(), TAKEOVER_S + 2.0)
    fleet.wait_for(lambda: _balanced(fleet), SOON_S, "nothing is moved any more")
    prove(fleet, since=start, allowed_gap_s=PLANNED_GAP_S, windows=[takeover])


def test_deleting_the_pool_drains_it_before_it_goes(fleet: Fleet) -> None:
    since = fleet.now()
    path = fingerv7(fleet.namespace, "streampools", fleet.pool)
    fleet.api.delete(path)
    fleet.wait_for(lambda: fleet.api.find(path) is None, SOON_S, "the pool is gone")
    assert fleet.running() == {}, "it went before its workers had stopped"
    prove(fleet, since=since, allowed_gap_s=PLANNED_GAP_S, expected=())
    assert all(not assignment(worker).get("revoking") for worker in fleet.finger_workers())
    # Over all that happened in this module, nothing was ever on two workers.
    prove(fleet, allowed_gap_s=2 * TAKEOVER_S, expected=())


# --- what is looked at ------------------------------------------------------------------------------------


def _names(fleet: Fleet) -> list[str]:
    return [worker["metadata"]["name"] for worker in fleet.finger_workers()]


def _phase(fleet: Fleet, name: str) -> str:
    return str(fleet.finger_worker(name).get("status", {}).get("phase"))


def _balanced(fleet: Fleet) -> bool:
    """Within tolerance, with nothing on its way."""
    if revoking(fleet):
        return False
    eligible = [w for w in fleet.finger_workers() if w["status"].get("phase") in ("Active", "Recovering")]
    places = sum(worker["spec"]["maxStreams"] for worker in eligible)
    counts = Counter(fleet.assigned().values())
    total = sum(counts.values())
    if total != len(fleet.table.active_ids()) or len(eligible) != len(_names(fleet)):
        return False

    def tolerable(worker: Object) -> bool:
        share = total * worker["spec"]["maxStreams"] / places
        off = abs(counts[worker["metadata"]["name"]] - share)
        return off <= 3 or 100 * off / worker["spec"]["maxStreams"] <= 15

    return all(tolerable(worker) for worker in eligible)


def _await_balance(fleet: Fleet) -> None:
    fleet.wait_for(lambda: _balanced(fleet), SOON_S, "every worker has its share")


def _holder(fleet: Fleet, name: str) -> str:
    lease = fleet.lease(name)
    return lease["spec"].get("holderIdentity", "") if lease else ""


def _acknowledged(fleet: Fleet, name: str) -> bool:
    """Whether the Lease's present holder states that the worker runs exactly what is assigned."""
    worker, lease = fleet.finger_worker(name), fleet.lease(name)
    applied = lease["metadata"].get("annotations", {}).get("fingerv7.io/applied") if lease else None
    return applied == f"{worker['metadata']['uid']}/{_holder(fleet, name)}/{assignment(worker)['epoch']}"


def _retire(fleet: Fleet, name: str) -> None:
    """Take a worker out of service for good: its pod, then its FingerWorker; nothing of it is left behind."""
    fleet.workers.pop(name).stop_gracefully(grace_s=SOON_S)
    fleet.api.delete(fingerv7(fleet.namespace, "fingerworkers", name))
    fleet.wait_for(lambda: name not in _names(fleet), SOON_S, f"{name} is gone")
    fleet.wait_for(lambda: fleet.lease(name) is None, SOON_S, f"the Lease of {name} went with it")
