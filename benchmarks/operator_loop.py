"""What a round of one large pool costs the operator's event loop, with everything else in memory.

Nothing else in the process moves while a part of a round runs on the loop: no heartbeat is heard, no other pool's
round begins. So each part is timed by itself; the decision, which runs in a thread, is given for comparison. Figures
are processor time, which other processes of the machine do not add to.
"""

# ruff: noqa: SLF001 - the parts of a round are nobody's business but its own and this measurement's

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from fingerv7.adapters.kube.objects import assignment_to_json
from fingerv7.api.streampool import StreamPool
from fingerv7.contract import FINALIZER, POOL_LABEL
from fingerv7.core.catalog import Snapshot
from fingerv7.core.model import Assignment, Grant, Stream, Token
from fingerv7.core.rounds import held_catalog
from fingerv7.runtime import memory
from fingerv7.runtime.clocks import Clocks
from fingerv7.runtime.fleet import Fleet
from fingerv7.runtime.fleets import Fleets
from fingerv7.runtime.office import Office
from fingerv7.runtime.pool_loop import PoolLoop
from fingerv7.runtime.term import Term

QUICK = os.environ.get("FINGERV7_BENCHMARKS") == "quick"
WORKERS, STREAMS = (100, 2_000) if QUICK else (5_000, 100_000)
RUNS = 3 if QUICK else 7
KEY = ("ns", "radio")
LEADER = 50


class Accepting:
    """An API server that accepts everything at once and changes nothing."""

    def __init__(self) -> None:
        self.workers: dict[str, dict[str, Any]] = {}

    async def merge_patch(self, path: str, _: dict[str, Any]) -> dict[str, Any]:
        return self.workers.get(path.removesuffix("/status").rpartition("/")[2], {})


def filled() -> tuple[PoolLoop, Fleet]:
    clock = time.monotonic
    api: Any = Accepting()
    fleets = Fleets(api, clock=clock)
    fleet = fleets.of("ns")
    fleet.workers.synced.set()
    fleet.leases.synced.set()
    pool = StreamPool.parse(
        {
            "apiVersion": "fingerv7.io/v1alpha1",
            "kind": "StreamPool",
            "metadata": {"namespace": "ns", "name": "radio", "uid": "uid-radio", "resourceVersion": "1"},
            "spec": {
                "source": {"postgres": {"secretRef": {"name": "db"}, "table": "streams"}},
                "liveness": {"takeoverAfter": "10m"},
            },
        }
    )
    each, number = STREAMS // WORKERS, 0
    for index in range(WORKERS):
        grants = {}
        for _ in range(each):
            stream = Stream(f"stream-{number:06}", f"http://radio.example/{number}", f"Radio {number}")
            grants[stream.id] = Grant(stream, Token(LEADER, number + 1))
            number += 1
        name, uid = f"fingerv7-{index:05}", f"uid-{index}"
        metadata = {"namespace": "ns", "name": name}
        api.workers[name] = {
            "metadata": {**metadata, "uid": uid, "resourceVersion": str(1000 + index), "finalizers": [FINALIZER]},
            "spec": {"poolRef": {"name": "radio"}, "maxStreams": 2 * each},
            "status": {"assignment": assignment_to_json(Assignment(3, LEADER, grants), worker_uid=uid)},
        }
        fleet.put_worker(api.workers[name])
        fleet.leases.put(
            {
                "metadata": {
                    **metadata,
                    "uid": f"lease-{index}",
                    "resourceVersion": str(9000 + index),
                    "labels": {POOL_LABEL: "radio"},
                    "annotations": {"fingerv7.io/applied": f"{uid}/pod-{index}/n/3"},
                },
                "spec": {"holderIdentity": f"pod-{index}/n", "renewTime": "2026-01-01T00:00:00.000000Z"},
            }
        )
    recorder: Any = SimpleNamespace(record=lambda *_, **__: asyncio.sleep(0))
    loop = PoolLoop(KEY, pool, Office(api, fleets, Term(LEADER, may_write=lambda: True), recorder, Clocks()))
    return loop, fleet


async def longest_block(work: Any) -> float:
    """Await something, and say for how long at most nothing else had a turn meanwhile."""
    longest, last, done = 0.0, time.thread_time(), False

    async def tick() -> None:
        nonlocal longest, last
        while not done:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    last = time.thread_time()
    await work
    longest = max(longest, time.thread_time() - last)
    done = True
    await ticking
    return longest


def report(part: str, seconds: list[float], where: str = "loop") -> None:
    ordered = sorted(seconds)
    figure = {
        "figure": "operator event loop",
        "part": part,
        "where": where,
        "workers": WORKERS,
        "streams": STREAMS,
        "p50_ms": round(1000 * ordered[len(ordered) // 2], 1),
        "max_ms": round(1000 * ordered[-1], 1),
    }
    print(json.dumps(figure), flush=True)


async def measure() -> None:
    loop, fleet = filled()
    loop._barrier_passed = True

    def timed(part: str, work: Callable[[], Any]) -> Any:
        seconds, result = [], None
        for _ in range(RUNS):
            began = time.thread_time()
            result = work()
            seconds.append(time.thread_time() - began)
        report(part, seconds)
        return result

    held = timed("held_catalog", lambda: held_catalog(fleet.workers_of(KEY).values()))
    snapshot = Snapshot(held, (), 0, "identity")
    timed("a reading arrives (judged by the brake)", lambda: loop.took_snapshot(snapshot, True))
    world = timed("gather", loop._gather)
    timed("barrier", lambda: loop._barrier(world))
    timed(
        "probers and publishers forget",
        lambda: (loop._prober.forget_gone(world.workers.keys()), loop._publisher.forget_gone()),
    )
    seconds = []
    for _ in range(RUNS):
        began = time.process_time()
        decision = await loop._decide(world)
        seconds.append(time.process_time() - began)
    report("decide", seconds, "thread")
    timed("tell", lambda: loop._tell(world, decision))
    timed("patience", lambda: loop._patience(world, decision))
    report("tend", [await longest_block(loop._registrar.tend(loop.pool, world, decision)) for _ in range(RUNS)])
    users = (loop._consent, loop._overrides)
    shows = []
    for _ in range(RUNS):
        loop._reporter._workers.clear()
        shows.append(
            await longest_block(loop._reporter.show(loop.pool, world, decision, users=users, catalog=loop._catalog))
        )
    report("show, nothing shown yet", shows)
    report(
        "show, all is shown",
        [
            await longest_block(loop._reporter.show(loop.pool, world, decision, users=users, catalog=loop._catalog))
            for _ in range(RUNS)
        ],
    )
    rounds = []
    for _ in range(RUNS):
        rounds.append(await longest_block(loop._round()))
        if loop._chores:
            await loop._chores
    report("a whole round, the longest stretch without a turn for others", rounds)


if __name__ == "__main__":
    memory.look_at_each_object_once()  # as the operator does
    asyncio.run(measure())
