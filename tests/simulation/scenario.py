"""One seed from its beginning to its verdict: settle, faults, quiet, and a death that nothing else disturbs."""

from __future__ import annotations

import gc
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .defect import Defect, Kind
from .faults import KINDS, NEVER_CUT_SHORT, Script
from .install import Hooks, installed
from .world import LONGEST_START_K, World

Sabotage = Callable[[World, Hooks], None]

LENGTH = 10
"""A seed lasts at least so many T."""
LEAST_FAULTS = 5
SWARM = 0.5
"""Part of the seeds that know only a few kinds of faults, which then meet each other more often (swarm testing)."""
MOVE_S = 1.0
"""How long a stream may be on nobody while it is moved, beside what its new worker takes to start it."""
_runs = 0


@dataclass(slots=True)
class Result:
    seed: int
    defects: list[Defect]
    trace: str
    steps: int
    simulated_s: float
    faults: Counter[str]
    counts: Counter[str]
    overlaps: int
    longest_gap_s: float
    longest_move_gap_s: float = 0.0
    excused: int = 0
    excused_unplaced: int = 0


class Driver:
    """Drives the scripts of faults."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self._open: dict[Script, str] = {}
        self._kinds = rng.sample(list(KINDS), rng.randint(2, 8)) if rng.random() < SWARM else list(KINDS)
        self.faults: Counter[str] = Counter()

    def draw(self, count: int) -> list[str]:
        return self._rng.choices(self._kinds, [KINDS[kind][1] for kind in self._kinds], k=count)

    def begin(self, name: str) -> None:
        """Break something: in that way, or where nothing is there to be broken so, in another of all."""
        while not self._acts(name):
            self._kinds = list(KINDS)
            (name,) = self.draw(1)
        self.faults[name] += 1

    def _acts(self, name: str) -> bool:
        script = KINDS[name][0](self._world, self._rng)
        self._world.event(f"fault: {name}")
        try:
            seconds = next(script)
        except StopIteration:
            self._world.event("nothing to break")
            return False
        self._open[script] = name
        self._world.loop.nature.after(seconds, self._step, script)
        return True

    def end_all(self) -> None:
        """Mend everything at once, but wait for what is never cut short."""
        for script, name in list(self._open.items()):
            while script in self._open and name not in NEVER_CUT_SHORT:
                self._step(script, waits=False)
        loop = self._world.loop
        while self._open:
            loop.run_until(loop.now + 0.1)

    def _step(self, script: Script, *, waits: bool = True) -> None:
        if script not in self._open:
            return
        try:
            seconds = next(script)
        except StopIteration:
            self._world.event(f"end of: {self._open.pop(script)}")
            return
        if waits:
            self._world.loop.nature.after(seconds, self._step, script)


@contextmanager
def staged(
    seed: int, *, tell: Callable[[str], None] | None = None, changes: Mapping[str, Any] | None = None
) -> Iterator[tuple[World, Hooks]]:
    """A seed's world, in which nothing has begun yet, with the production code inside it."""
    with installed() as hooks:
        world = World(seed, tell=tell, changes=changes)
        hooks.connect(world)
        try:
            yield world, hooks
        finally:
            world.loop.close()


def run(
    seed: int,
    *,
    tell: Callable[[str], None] | None = None,
    changes: Mapping[str, Any] | None = None,
    sabotage: Sabotage | None = None,
) -> Result:
    """Run one seed; the same seed gives the same result."""
    if not tell:
        logging.disable(logging.CRITICAL)
    _spare_the_collector()
    try:
        with staged(seed, tell=tell, changes=changes) as (world, hooks):
            rng = random.Random(f"faults {seed}")
            driver = Driver(world, rng)
            world.driver = driver
            if sabotage:
                sabotage(world, hooks)
            _run(world, driver, rng)
    finally:
        logging.disable(logging.NOTSET)
        gc.enable()
    return Result(
        seed=seed,
        defects=[*world.defects, *(Defect(Kind.FAILURE, error) for error in world.loop.errors[:5])],
        trace=world.trace.hexdigest(),
        steps=world.loop.steps,
        simulated_s=world.loop.now,
        faults=driver.faults,
        counts=world.counts + world.server.counts,
        overlaps=world.judge.overlaps,
        longest_gap_s=world.judge.longest_gap_s,
        longest_move_gap_s=world.judge.longest_move_gap_s,
        excused=world.judge.excused,
        excused_unplaced=world.judge.excused_unplaced,
    )


def _spare_the_collector() -> None:
    """A seed makes garbage for a tenth of a second of collecting; every eighth time is often enough."""
    global _runs  # noqa: PLW0603 - how often this process did this
    if _runs % 8 == 0:
        gc.collect()
        gc.freeze()
    gc.disable()
    _runs += 1


def _run(world: World, driver: Driver, rng: random.Random) -> None:
    t_s, loop = world.scale.takeover_s, world.loop
    world.start()
    length = LENGTH * t_s
    for name in driver.draw(rng.randint(LEAST_FAULTS, 9)):
        # Most come while the others still last.
        loop.at(rng.uniform(1.0, 0.75 * length), loop.nature, driver.begin, name)
    loop.run_until(0.8 * length)
    if world.defects:
        return
    driver.end_all()
    world.make_whole()
    _settle(world)
    if not world.defects and rng.random() < 0.5:
        _lone_death(world, rng)
    elif not world.defects:
        _planned_move(world, rng)
    if not world.defects and loop.now < length:
        loop.run_until(length)


def _settle(world: World) -> None:
    """From quiet on everything placeable is placed, and stays so."""
    loop, t_s = world.loop, world.scale.takeover_s
    began = loop.now
    deadline = began + 16 * t_s + 10
    good_since: float | None = None
    while loop.now < deadline:
        loop.run_until(loop.now + 0.5)
        if world.defects:
            return
        wrong = world.judge.misplaced()
        if wrong:
            good_since = None
        elif good_since is None:
            good_since = loop.now
        elif loop.now - good_since >= 1.0:
            world.counts["settled"] += 1
            return
    world.defect(Kind.UNPLACED, f"{loop.now - began:.0f} s after the last fault: {world.judge.misplaced()}")


def _planned_move(world: World, rng: random.Random) -> None:
    """Everything is moved from a worker to others while nothing is wrong, and each stream is on nobody but briefly.

    From stop to start there are the worker's confirmation, which its sidecar looks for four times a second, a renewal
    with the acknowledgement (it may have to wait for the one before), two writes of the leader, and a watch each on
    the way to it and from it: at most ten messages of 0.05 s. The other worker takes its own time on top, and may just
    have begun to start what it got before.
    """
    loop, judge, t_s = world.loop, world.judge, world.scale.takeover_s
    if not world.leader or not world.leader.sees or not judge.calm():
        return
    name = rng.choice(list(world.pods))
    pod = world.pods[name]
    streams = [i for i, runners in judge.running.items() if any(w.pod is pod for w in runners)]
    world.event(f"drain of {name} while nothing is wrong")
    judge.moving = dict.fromkeys(streams, MOVE_S + 2 * LONGEST_START_K * world.timing.stop_time_ms / 1000)
    store = world.server.store
    store.patch("fingerworkers", name, {"spec": {"drain": True}}, None, writer="user")
    loop.run_until(loop.now + t_s)
    world.counts["planned moves"] += len(streams) - len(judge.moving)
    for stream in judge.moving:
        world.defect(Kind.GAP, f"{stream} has not been moved within {t_s:.0f} s while nothing is wrong")
    judge.moving.clear()


def _lone_death(world: World, rng: random.Random) -> None:
    """The promise: on nobody for at most T + 1 s, and with the leader lost as well a little more."""
    loop = world.loop
    leader = world.leader
    # After an outage the operator sees nothing until its watches are back, and T counts from what it sees.
    if not leader or not leader.sees or not world.judge.calm():
        return
    name = rng.choice(list(world.pods))
    pod = world.pods[name]
    streams = [i for i, runners in world.judge.running.items() if any(w.pod is pod for w in runners)]
    with_leader = rng.random() < 0.3
    bound = world.scale.takeover_s / leader.clock.rate + 1.0
    if with_leader:
        rate = min(replica.clock.rate for replica in world.replicas)
        bound = max(world.scale.takeover_s, world.lease_s + 1.0) / rate + 1.0 + world.barrier_s
    world.event(f"lone death of {name}{' and the leader' if with_leader else ''}")
    for stream in streams:
        world.judge.promised[stream] = (loop.now, loop.now + bound)
    pod.remove()
    if with_leader:
        leader.crash()
    loop.run_until(loop.now + bound + 0.5)
    world.counts["lone deaths"] += 1
    for stream in world.judge.overdue():
        world.defect(Kind.GAP, f"{stream} is on nobody {bound + 0.5:.2f} s after its worker died alone")
    world.judge.promised.clear()
