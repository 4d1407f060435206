"""The loop of one pool: when it may rely on what it sees, and when it counts as stuck."""

from __future__ import annotations

import asyncio
import math
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from fingerv7.adapters.kube.errors import ApiUnreachable
from fingerv7.api.streampool import StreamPool
from fingerv7.contract import FINALIZER, POOL_LABEL
from fingerv7.core.model import Stream
from fingerv7.core.rounds import decide
from fingerv7.runtime import pool_loop
from fingerv7.runtime.clocks import Clocks
from fingerv7.runtime.fleets import Fleets
from fingerv7.runtime.office import Office
from fingerv7.runtime.pool_loop import PoolLoop
from fingerv7.runtime.term import Term
from fingerv7.runtime.vitals import POOL_STUCK_S

KEY = ("ns", "radio")
POOL = StreamPool.parse(
    {
        "apiVersion": "fingerv7.io/v1alpha1",
        "kind": "StreamPool",
        "metadata": {"namespace": "ns", "name": "radio", "uid": "uid-radio", "resourceVersion": "1"},
        "spec": {"source": {"postgres": {"secretRef": {"name": "db"}, "table": "streams"}}},
    }
)
LEADER = 50


def worker(name: str, version: int, leader_epoch: int = LEADER, streams: tuple[str, ...] = ()) -> dict:
    metadata = {
        "namespace": "ns",
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "finalizers": [FINALIZER],
    }
    held = [{"id": each, "url": f"http://x/{each}", "token": f"{1:016d}-{1:010d}"} for each in streams]
    return {
        "metadata": metadata,
        "spec": {"poolRef": {"name": "radio"}, "maxStreams": 10},
        "status": {"assignment": {"epoch": 1, "leaderEpoch": leader_epoch, "streams": held}},
    }


def lease(name: str) -> dict:
    metadata = {
        "namespace": "ns",
        "name": name,
        "uid": f"lease-{name}",
        "resourceVersion": "6",
        "labels": {POOL_LABEL: "radio"},
    }
    return {"metadata": metadata, "spec": {"holderIdentity": "pod/1", "renewTime": "2026-01-01T00:00:00.000000Z"}}


class Server:
    """Down at first; then every read hangs, as if the client's timeouts did not work."""

    def __init__(self) -> None:
        self.hangs = asyncio.Event()
        self.asked = asyncio.Event()

    async def _answer(self):
        if self.hangs.is_set():
            self.asked.set()
            await asyncio.Event().wait()
        raise ApiUnreachable("no answer")

    async def get(self, path, **_):
        return await self._answer()

    async def merge_patch(self, path, patch):
        raise ApiUnreachable("no answer")

    async def create(self, path, body, *, params=None):
        raise ApiUnreachable("no answer")


class InOffice:
    """A loop whose clock stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.api = Server()
        fleets = Fleets(self.api, clock=lambda: self.now)  # type: ignore[arg-type]
        self.fleet = fleets.of("ns")
        self.fleet.present = 0
        self.fleet.workers.synced.set()
        self.fleet.leases.synced.set()
        clocks = Clocks(monotonic=lambda: self.now)
        recorder = SimpleNamespace(record=lambda *_, **__: asyncio.sleep(0))
        self.term = Term(LEADER, may_write=lambda: True)
        self.loop = PoolLoop(KEY, POOL, Office(self.api, fleets, self.term, recorder, clocks))  # type: ignore[arg-type]

    def passes_barrier(self) -> bool:
        return self.loop._barrier(self.loop._gather())


async def until(condition, what: str) -> None:
    deadline = asyncio.get_running_loop().time() + 10.0
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.01)


async def test_a_term_relies_on_nothing_before_the_watch_has_reached_the_version_that_it_began_with():
    it = InOffice()
    it.fleet.present = 100
    assert not it.passes_barrier(), "a pool without workers, as far as the store knows"
    it.fleet.workers._objects.take("ADDED", worker("a", 90, leader_epoch=3))
    assert not it.passes_barrier()
    it.fleet.workers._objects.take("MODIFIED", worker("a", 101))
    assert it.passes_barrier()
    it.fleet.workers._objects.take("ADDED", worker("b", 102, leader_epoch=3))
    assert not it.passes_barrier(), "one is not stamped yet"


async def test_a_loop_goes_round_while_the_api_server_is_down_and_is_stuck_when_a_round_never_ends():
    it = InOffice()
    it.fleet.workers._objects.take("ADDED", worker("a", 90, streams=("s",)))
    it.fleet.leases.put(lease("a"))
    running = asyncio.create_task(it.loop.run())
    try:
        for _ in range(3):
            it.now += POOL_STUCK_S + 1  # its worker is silent, and cannot be read
            await until(lambda: it.loop.idle_s() == 0, "another round, its chores included")
        it.api.hangs.set()
        it.now += 1.0
        async with asyncio.timeout(10):
            await it.api.asked.wait()
        it.now += POOL_STUCK_S + 1
        assert it.loop.idle_s() > POOL_STUCK_S
    finally:
        running.cancel()
        await asyncio.wait([running])
    it.now += 1000.0
    assert it.loop.idle_s() > POOL_STUCK_S, "nor does one that has ended look alive"


async def test_chores_that_never_end_count_as_well():
    it = InOffice()
    unregistered = worker("a", 90)
    unregistered["metadata"]["finalizers"] = []
    it.fleet.workers._objects.take("ADDED", unregistered)
    it.fleet.leases.put(lease("a"))
    it.api.hangs.set()
    running = asyncio.create_task(it.loop.run())
    try:
        async with asyncio.timeout(10):
            await it.api.asked.wait()
        it.now += POOL_STUCK_S + 1
        await until(lambda: it.now - it.loop._round_began_s == 0, "rounds go on")
        assert it.loop.idle_s() > POOL_STUCK_S
    finally:
        running.cancel()
        await asyncio.wait([running])


def test_a_deadline_that_has_all_but_come_is_waited_for_as_well():
    """Without a wait a clock that stands still for a moment would be asked again and again."""
    world = SimpleNamespace(barrier_passed=True, unknown={})
    facts, health = SimpleNamespace(takeover_s=20.0), SimpleNamespace(silent_s=math.nextafter(20.0, 0.0))
    decision = SimpleNamespace(unassigned=[], to_probe=[], to_confirm=[], facts={"a": facts}, health={"a": health})
    assert 0.001 <= InOffice().loop._patience(world, decision) < 0.01


async def test_of_a_namespace_that_cannot_be_listed_nothing_is_concluded():
    it = InOffice()
    it.fleet.present = None
    it.fleet.workers.synced.clear()
    it.fleet.leases.put({**lease("a"), "metadata": {**lease("a")["metadata"], "annotations": {}}})
    it.now += 1e6  # silent for ever, and of no worker: as it looks
    patience_s = await it.loop._round()
    assert patience_s > 0
    assert it.loop._chores is None
    it.fleet.workers.synced.set()
    await it.loop._round()
    assert it.loop._chores is not None
    assert not it.passes_barrier(), "its present version is not known"


@pytest.mark.parametrize("where", ["in the table", "held"])
async def test_a_decision_about_many_streams_leaves_the_event_loop_its_turns(where, monkeypatch):
    it = InOffice()
    many = {f"s{n}": Stream(f"s{n}", "http://x/") for n in range(pool_loop.LARGE + 1)}
    if where == "held":
        it.fleet.workers._objects.take("ADDED", worker("a", 90, streams=tuple(many)))
    world = replace(it.loop._gather(), catalog=many if where == "in the table" else None)
    had_a_turn = threading.Event()

    def long(*args, **options):
        assert had_a_turn.wait(10), "the event loop stood still while this was decided"
        return decide(*args, **options)

    monkeypatch.setattr(pool_loop, "decide", long)
    asyncio.get_running_loop().call_soon(had_a_turn.set)
    decision = await it.loop._decide(world)
    assert decision.catalog.keys() == many.keys()
