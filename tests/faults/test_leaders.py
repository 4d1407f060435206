"""Leaders that die or freeze between any two writes: somebody goes on from what is stored, and nobody writes late.

Leaders killed together with a worker, frozen when nothing moves, and deleted election Leases are in
tests/integration/system/test_leadership.py.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from devenv.cluster import Cluster
from devenv.fleet import Fleet, OperatorProcess
from devenv.postgres import Postgres

from .api_proxy import ApiProxy, Fault, Request
from .seen import (
    ELECTION,
    LEASE_S,
    SOON_S,
    holds,
    is_ready,
    judge,
    leads,
    revoking,
    serves_new_row,
    start_standby,
    started,
    worker_name,
)

WORKERS = 3
PLANNED_GAP_S = 2.0
CRASH_GAP_S = LEASE_S + 1.0 + PLANNED_GAP_S
"""A stream whose hand-over lost its leader half way waits for the next one."""
NAMES = [worker_name(number) for number in range(1, WORKERS + 1)]


@dataclass(frozen=True)
class Duo:
    """Two operators, each behind a proxy of its own."""

    fleet: Fleet
    proxies: dict[str, ApiProxy]

    @property
    def leader(self) -> OperatorProcess:
        return self.fleet.wait_for(self._leader, SOON_S, "somebody is in office")

    @property
    def standby(self) -> OperatorProcess:
        """The other one, which is started if it does not run."""
        leader = self.leader
        (other,) = (each for each in self.fleet.operators.values() if each is not leader)
        start_standby(self.fleet, other)
        return other

    def _leader(self) -> OperatorProcess | None:
        return next((each for each in self.fleet.operators.values() if leads(self.fleet, each)), None)

    def settle(self) -> None:
        """Everybody has something, nothing is on its way, and nobody is being drained."""
        for name in NAMES:
            self.fleet.patch_worker(name, {"drain": False})
        self.fleet.wait_for(self._settled, 2 * SOON_S, "every worker has its share")

    def _settled(self) -> bool:
        counts = Counter(self.fleet.running().values())
        even = all(counts[name] >= 5 for name in NAMES) and not revoking(self.fleet)
        return even and all(is_ready(self.fleet, name) for name in NAMES)


@pytest.fixture(scope="module")
def duo(cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Duo]:
    folder = tmp_path_factory.mktemp("leaders")
    names = ("operator-a", "operator-b")
    with contextlib.ExitStack() as stack:
        proxies = {name: stack.enter_context(ApiProxy(cluster.server, cluster.ca_file)) for name in names}
        balancing = {"cooldown": "1s", "maxMovesPerRoundPercent": 100}
        fleet = stack.enter_context(
            Fleet(
                cluster,
                postgres,
                rows=24,
                pool_spec={"balancing": balancing},
                operator_environment=ELECTION,
                folder=folder,
            )
        )
        for name in names:
            kubeconfig = proxies[name].kubeconfig(folder / "operator.kubeconfig", folder / f"{name}.kubeconfig")
            fleet.start_operator(name, FINGERV7_KUBECONFIG=str(kubeconfig))
        yield Duo(started(fleet, WORKERS, max_streams=20), proxies)


class _KillsAtWrite:
    """Kills the leader at its n-th write, before the request leaves or after it was carried out."""

    def __init__(self, number: int, leader: OperatorProcess, *, stored: bool) -> None:
        self._number = number
        self._leader = leader
        self._stored = stored
        self._count = 0
        self.killed: Request | None = None

    def __call__(self, request: Request) -> Fault | None:
        if self.killed is not None:
            return Fault(lose_request=True)  # of a dead process
        if not _is_handover(request):
            return None
        self._count += 1
        if self._count < self._number:
            return None
        self.killed = request
        if self._stored:
            return Fault(after=self._leader.kill, lose_reply=True)
        return Fault(before=self._leader.kill, lose_request=True)


def _is_handover(request: Request) -> bool:
    """Of FingerWorkers and StreamPools; not a renewal of the election Lease, and no Event."""
    return request.is_write and request.kind in ("fingerworkers", "streampools")


@pytest.mark.long
@pytest.mark.timeout(420, func_only=True)
@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
def test_a_leader_killed_at_any_write_of_a_hand_over_is_succeeded(duo: Duo, stored: bool) -> None:
    fleet, since = duo.fleet, duo.fleet.now()
    points: list[str] = []
    while point := _kill_at(duo, len(points) + 1, stored=stored):
        points.append(point)
    print(f"{len(points)} write points: {points}")
    assert sum(point.startswith("assignment") for point in points) >= 1 + len(NAMES), (
        "a revoke, a clear, and a grant for each of the others"
    )
    when = "after" if stored else "before"
    judge(fleet, f"operator killed {when} each of {len(points)} writes", since=since, allowed_gap_s=CRASH_GAP_S)


def _kill_at(duo: Duo, number: int, *, stored: bool) -> str:
    """Drain a worker and kill the leader at that write; which it was, or nothing when there are fewer."""
    fleet, drained = duo.fleet, NAMES[number % WORKERS]
    duo.settle()
    leader, standby = duo.leader, duo.standby
    kills = duo.proxies[leader.name].judge = _KillsAtWrite(number, leader, stored=stored)
    fleet.patch_worker(drained, {"drain": True})
    fleet.wait_for(lambda: holds(fleet, drained) == 0, SOON_S, f"{drained} is drained")
    fleet.wait_for(
        lambda: fleet.finger_worker(drained)["status"].get("phase") == "Drained", SOON_S, "its status says so"
    )
    fleet.wait_for(lambda: not kills.killed or leads(fleet, standby), SOON_S, "the standby is in office")
    fleet.wait_all_running(SOON_S)
    duo.proxies[leader.name].judge = lambda _: None
    return _describe(kills.killed) if kills.killed else ""


def _describe(request: Request) -> str:
    held = request.assignment
    if not held:
        return f"{request.method} {request.kind}"
    return f"assignment of {len(held.get('streams') or [])} streams, {len(held.get('revoking') or [])} revoking"


def test_a_leader_frozen_in_the_middle_of_publishing_writes_nothing_when_it_thaws(duo: Duo) -> None:
    fleet, drained = duo.fleet, NAMES[1]
    duo.settle()
    leader, standby, since = duo.leader, duo.standby, fleet.now()
    proxy = duo.proxies[leader.name]
    frozen, thawed = threading.Event(), threading.Event()
    late: list[Request] = []

    def hold(request: Request) -> Fault | None:
        # The first write that gives streams away: it has left the process and is still on its way.
        if not (_is_handover(request) and request.assignment.get("streams")) or late:
            return None
        late.append(request)

        def freeze() -> None:
            leader.pause()
            frozen.set()
            assert thawed.wait(4 * SOON_S)

        return Fault(before=freeze)

    proxy.judge = hold
    fleet.patch_worker(drained, {"drain": True})
    try:
        fleet.wait_for(frozen.is_set, SOON_S, "the leader is frozen")
        fleet.wait_for(lambda: leads(fleet, standby), SOON_S, "the standby is in office")
        fleet.wait_for(lambda: holds(fleet, drained) == 0, SOON_S, "the standby has finished the hand-over")
        fleet.wait_all_running(SOON_S)
        before, spoken = fleet.assigned(), len(leader.lines())
        leader.resume()
    finally:
        thawed.set()
    fleet.wait_for(lambda: not leader.alive, SOON_S, "the old leader has ended")
    fleet.wait_for(lambda: late[0].status, SOON_S, "its late write has arrived")
    assert late[0].status == 409
    assert leader.process.exit_code != 0
    assert [line["message"] for line in leader.lines()[spoken:] if "stream" in line] == []
    assert fleet.assigned() == before
    judge(fleet, "leader paused beyond its lease amid publishing", since=since, allowed_gap_s=CRASH_GAP_S)
    proxy.judge = lambda _: None


def test_writes_of_a_leader_whose_replies_are_lost_count_both_ways_until_they_are_known(duo: Duo) -> None:
    fleet, drained = duo.fleet, NAMES[2]
    duo.settle()
    leader, since = duo.leader, fleet.now()
    lost: list[Request] = []

    def lose(request: Request) -> Fault | None:
        if not _is_handover(request) or len(lost) >= 8:
            return None
        lost.append(request)
        return Fault(lose_reply=True)

    duo.proxies[leader.name].judge = lose
    fleet.patch_worker(drained, {"drain": True})
    fleet.wait_for(lambda: holds(fleet, drained) == 0 and len(lost) >= 8, SOON_S, f"{drained} is drained")
    assert leads(fleet, leader)
    assert any(request.status == 200 and request.assignment for request in lost)
    fault = f"replies to {len(lost)} of the operator's writes lost after the commit"
    judge(fleet, fault, since=since, allowed_gap_s=PLANNED_GAP_S)


@pytest.mark.parametrize("status", [429, 500, 409])
def test_an_api_that_refuses_the_leader_for_a_while_is_asked_again(duo: Duo, status: int) -> None:
    fleet, drained = duo.fleet, NAMES[status % 3]
    duo.settle()
    leader, since = duo.leader, fleet.now()
    refused: list[Request] = []
    over_at = time.monotonic() + LEASE_S + 2.0

    def refuse(request: Request) -> Fault | None:
        # Its election Lease is renewed, or this would be the end of its term. Only writes can be conflicts.
        hit = request.kind != "leases" and (request.is_write or status != 409)
        if not hit or time.monotonic() > over_at:
            return None
        refused.append(request)
        return Fault(answer=status, retry_after_s=1 if status == 429 else 0)

    duo.proxies[leader.name].judge = refuse
    fleet.patch_worker(drained, {"drain": True})
    fleet.wait_for(lambda: time.monotonic() > over_at, SOON_S, "the fault is over")
    assert refused
    assert len(refused) < 300, "it does not hammer"
    fleet.wait_for(lambda: holds(fleet, drained) == 0, SOON_S, f"{drained} is drained")
    assert leads(fleet, leader), "it stayed in office"
    fault = f"API answers {status} to the operator, {len(refused)} times within {LEASE_S + 2:.0f} s"
    # A hand-over can be begun before the fault and finished after it.
    judge(fleet, fault, since=since, allowed_gap_s=LEASE_S + 2.0 + PLANNED_GAP_S)


def test_an_api_that_refuses_the_leader_everything_makes_room_for_the_standby(duo: Duo) -> None:
    fleet = duo.fleet
    duo.settle()
    leader, standby, since = duo.leader, duo.standby, fleet.now()
    duo.proxies[leader.name].judge = lambda _: Fault(answer=500)
    fleet.wait_for(lambda: leads(fleet, standby), SOON_S, "the standby is in office")
    fleet.wait_for(lambda: not leader.alive, SOON_S, "the old leader has ended")
    duo.proxies[leader.name].judge = lambda _: None
    serves_new_row(fleet, 7001)
    judge(fleet, "API answers 500 to the leader's every request", since=since, allowed_gap_s=PLANNED_GAP_S)
