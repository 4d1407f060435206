"""The network and the API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .kinds import Kinds, Script, any_link, any_pod, any_replica, long

if TYPE_CHECKING:
    import random

    from tests.simulation.world import World

KINDS = Kinds()


@KINDS.add("partition", 5)
def _partition(world: World, rng: random.Random) -> Script:
    link = any_link(world, rng)
    if link:
        link.up_blocked, link.down_blocked = rng.choice(((True, True), (True, False), (False, True)))
        yield long(world, rng)
        link.heal()


@KINDS.add("watch stalled", 4)
def _watch_stalled(world: World, rng: random.Random) -> Script:
    link = any_link(world, rng)
    if link:
        link.stall()
        yield long(world, rng)
        link.heal()


@KINDS.add("watch of Leases stalled", 2)
def _lease_watch_stalled(world: World, rng: random.Random) -> Script:
    link = any_replica(world, rng).link
    if link and link.alive:
        link.stall("leases")
        yield long(world, rng)
        link.heal()


@KINDS.add("bad weather", 5)
def _bad_weather(world: World, rng: random.Random) -> Script:
    weather = world.server.weather
    which = rng.choice(("lost", "answer_lost", "answer_lost", "late", "late", "throttled", "broken"))
    setattr(weather, which, rng.choice((0.05, 0.2, 0.5)))
    weather.late_s = world.scale.takeover_s * 2
    yield long(world, rng)
    setattr(weather, which, 0.0)


@KINDS.add("slow network", 1)
def _slow(world: World, rng: random.Random) -> Script:
    world.server.weather.slow = rng.choice((5.0, 20.0, 60.0))
    yield long(world, rng)
    world.server.weather.slow = 1.0


@KINDS.add("API server away", 2)
def _server_away(world: World, rng: random.Random) -> Script:
    world.server.stop()
    yield long(world, rng)
    world.server.start()


@KINDS.add("history compacted", 2)
def _compacted(world: World, rng: random.Random) -> Script:
    world.server.store.compact()
    for watch in list(world.server.watches):
        if rng.random() < 0.5:
            watch.break_off()
    yield 0.0


@KINDS.add("wall clock jumps", 2)
def _wall_jumps(world: World, rng: random.Random) -> Script:
    clock = rng.choice([any_pod(world, rng).machine.clock, any_replica(world, rng).clock])
    jump = rng.choice((-3600.0, 3600.0, rng.uniform(-5.0, 5.0)))
    clock.wall_offset += jump
    yield long(world, rng)
    clock.wall_offset -= jump
