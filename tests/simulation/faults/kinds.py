"""What a fault is, and what several kinds of them need."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from tests.simulation.store import RefusedError

if TYPE_CHECKING:
    import random

    from tests.simulation.network import Link
    from tests.simulation.pod import Pod
    from tests.simulation.replica import Replica
    from tests.simulation.store import Json
    from tests.simulation.world import World

Script = Generator[float, None, None]
Kind = Callable[["World", "random.Random"], Script]


class Kinds(dict[str, tuple[Kind, int]]):
    """Scripts by name, and how often each is drawn."""

    def add(self, name: str, often: int = 2) -> Callable[[Kind], Kind]:
        def keep(script: Kind) -> Kind:
            self[name] = script, often
            return script

        return keep


def any_pod(world: World, rng: random.Random) -> Pod:
    return rng.choice(list(world.pods.values()))


def any_replica(world: World, rng: random.Random) -> Replica:
    leader = world.leader
    return leader if leader and rng.random() < 0.75 else rng.choice(world.replicas)


def long(world: World, rng: random.Random) -> float:
    """Around the deadlines: from half of D to two T."""
    return world.scale.takeover_s * rng.choice((0.3, 0.6, 1.0, 1.3, 2.0)) * rng.uniform(0.8, 1.1)


def any_link(world: World, rng: random.Random) -> Link | None:
    """None where nobody lives at its end."""
    link = any_replica(world, rng).link if rng.random() < 0.5 else any_pod(world, rng).link
    return link if link and link.alive else None


def edit(world: World, plural: str, name: str, patch: Json, sub: str | None = None) -> bool:
    """Whether there was anything to edit."""
    try:
        world.server.store.patch(plural, name, patch, sub, writer="user")
    except RefusedError:
        return False
    return True


def remove(world: World, plural: str, name: str) -> bool:
    try:
        world.server.store.delete(plural, name, {}, writer="user")
    except RefusedError:
        return False
    return True
