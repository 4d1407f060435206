"""What users and strangers do to objects."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from fingerv7.contract import POOL_LABEL

from .kinds import Kinds, Script, any_pod, edit, long, remove

if TYPE_CHECKING:
    import random

    from tests.simulation.world import World

KINDS = Kinds()


@KINDS.add("drain", 3)
def _drain(world: World, rng: random.Random) -> Script:
    name = rng.choice(list(world.pods))
    if not edit(world, "fingerworkers", name, {"spec": {"drain": True}}):
        return
    yield long(world, rng)
    edit(world, "fingerworkers", name, {"spec": {"drain": None}})


@KINDS.add("capacity changed", 3)
def _capacity(world: World, rng: random.Random) -> Script:
    name, slots = rng.choice(list(world.pods)), world.scale.slots
    other = rng.choice((1, slots // 2 or 1, 2 * slots))
    if not edit(world, "fingerworkers", name, {"spec": {"maxStreams": other}}):
        return
    yield long(world, rng)
    edit(world, "fingerworkers", name, {"spec": {"maxStreams": slots}})


@KINDS.add("FingerWorker deleted", 3)
def _deleted(world: World, rng: random.Random) -> Script:
    """In an orderly way, and made again."""
    name = rng.choice(list(world.pods))
    if not remove(world, "fingerworkers", name):
        return
    yield long(world, rng)
    world.ensure_fingerworker(name)


@KINDS.add("FingerWorker deleted by force", 3)
def _deleted_by_force(world: World, rng: random.Random) -> Script:
    """Its finalizer is stripped, so it is gone while its worker runs; often it is made again at once."""
    name = rng.choice(list(world.pods))
    if not remove(world, "fingerworkers", name):
        return
    edit(world, "fingerworkers", name, {"metadata": {"finalizers": None}})
    yield rng.choice((0.0, 0.1, 1.0)) * long(world, rng)
    world.ensure_fingerworker(name)


@KINDS.add("Lease deleted", 3)
def _lease_deleted(world: World, rng: random.Random) -> Script:
    gone = [remove(world, "leases", name) for name in rng.sample(list(world.pods), rng.choice((1, 1, 2)))]
    if any(gone):
        yield 0.0


@KINDS.add("Lease edited", 2)
def _lease_edited(world: World, rng: random.Random) -> Script:
    """Its holder erased, or its pool's label changed."""
    name = rng.choice(list(world.pods))
    if rng.random() < 0.5:
        if edit(world, "leases", name, {"spec": {"holderIdentity": ""}}):
            yield 0.0
    elif _label(world, name, rng.choice(("other", None))):
        yield long(world, rng)
        _label(world, name, world.pool_name)


def _label(world: World, name: str, pool: str | None) -> bool:
    return edit(world, "leases", name, {"metadata": {"labels": {POOL_LABEL: pool}}})


@KINDS.add("election Lease deleted", 3)
def _election_deleted(world: World, rng: random.Random) -> Script:
    if remove(world, "leases", "fingerv7-operator"):
        yield 0.0


@KINDS.add("backup restored", 2)
def _restored(world: World, rng: random.Random) -> Script:
    """The whole cluster is as it was some time ago; resourceVersions go on from where they were, as they should.

    Its API is away for so long before that every worker has fenced: who runs what the backup does not know must have
    stopped, or a worker that starts from the backup takes up what another one runs.

    A label that was wrong when the backup was made is put right again: its worker stays silent without, by design.
    """
    store, t_s = world.server.store, world.scale.takeover_s
    back_s = t_s * rng.choice((0.1, 0.5, 1.0, 3.0)) * rng.random()
    objects = store.as_of(max(0.5, world.loop.now - back_s))
    world.server.stop()
    yield t_s * rng.uniform(1.1, 1.5)
    store.restored(objects)
    world.judge.restored()
    world.server.start()
    for name in world.pods:
        lease = objects.get(("leases", name))
        if lease and lease["metadata"].get("labels", {}).get(POOL_LABEL) != world.pool_name:
            _label(world, name, world.pool_name)


@KINDS.add("pod replaced", 3)
def _replaced(world: World, rng: random.Random) -> Script:
    """Another pod of the same name starts while the old one still runs, cut off or not."""
    name = rng.choice(list(world.pods))
    old = world.pods[name]
    cut = rng.choice(("cut off", "stopped", "left"))
    if cut == "cut off" and old.link:
        old.link.up_blocked = old.link.down_blocked = True
    elif cut == "stopped":
        old.stop_gracefully()
    world.replace_pod(name)
    yield long(world, rng)
    if old.link:
        old.link.heal()
    yield long(world, rng)
    old.remove()


@KINDS.add("disk full", 2)
def _disk_full(world: World, rng: random.Random) -> Script:
    pod = any_pod(world, rng)
    if pod.removed:
        return
    folder = pod.folder
    folder.error = rng.choice((errno.ENOSPC, errno.EROFS))
    yield long(world, rng)
    folder.error = 0


@KINDS.add("pool paused", 1)
def _pool_paused(world: World, rng: random.Random) -> Script:
    edit(world, "streampools", world.pool_name, {"spec": {"paused": True}})
    yield long(world, rng)
    edit(world, "streampools", world.pool_name, {"spec": {"paused": None}})
