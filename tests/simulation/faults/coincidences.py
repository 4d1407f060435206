"""What has to come together to be dangerous: these arm themselves for a moment, or make it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .kinds import Kinds, Script, any_pod, any_replica, edit, long, remove

if TYPE_CHECKING:
    import random

    from tests.simulation.network import Link
    from tests.simulation.world import World

KINDS = Kinds()


@KINDS.add("writes on the way", 7)
def _writes_on_the_way(world: World, rng: random.Random) -> Script:
    """The leader's writes are slow just when there is much to write, its mind changes, and it may die meanwhile."""
    replica, t_s = any_replica(world, rng), world.scale.takeover_s
    link = replica.link
    if not link or not link.alive:
        return
    if rng.random() < 0.7:
        link.slow_writes_s = t_s * rng.choice((0.2, 0.8, 2.0))
    if rng.random() < 0.4:
        link.stall(rng.choice(("", "fingerworkers")))
    names = list(world.pods)
    first, second = rng.sample(names, 2)
    undrain = []
    for name, pause in ((first, 0.3), (second, 0.6)):
        what = rng.choice(("drain", "rows", "kill", "nothing"))
        if what == "drain":
            edit(world, "fingerworkers", name, {"spec": {"drain": True}})
            undrain.append(name)
        elif what == "rows":
            for _ in range(3):
                world.add_row()
        elif what == "kill":
            world.pods[name].crash_worker()
            world.pods[name].crash_sidecar()
        yield pause * t_s * rng.random()
    what = rng.choice(("kill", "freeze", "cut off", "nothing"))
    process = replica.process if what == "freeze" else None
    if what == "kill":
        replica.crash()
    elif process:
        process.pause()
    elif what == "cut off":
        link.up_blocked = link.down_blocked = True
    yield long(world, rng)
    if process:
        process.resume()
    link.heal()
    for name in undrain:
        edit(world, "fingerworkers", name, {"spec": {"drain": None}})


@KINDS.add("FingerWorker recreated unseen", 3)
def _recreated_unseen(world: World, rng: random.Random) -> Script:
    """By force, while the watch of its sidecar stands still, and the leader that saw it may be gone."""
    pod, leader, t_s = any_pod(world, rng), world.leader, world.scale.takeover_s
    link = pod.link
    if not link or not link.alive or ("fingerworkers", pod.name) not in world.server.store.objects:
        return
    link.stall()
    yield 0.2 * rng.random()
    remove(world, "fingerworkers", pod.name)
    edit(world, "fingerworkers", pod.name, {"metadata": {"finalizers": None}})
    world.ensure_fingerworker(pod.name)
    if leader and rng.random() < 0.6:
        yield rng.random() * 0.2
        leader.crash()
    yield t_s * rng.uniform(0.5, 2.5)
    link.heal()


@KINDS.add("back at T", 4)
def _back_at_t(world: World, rng: random.Random) -> Script:
    """A sidecar is heard again just when the leader decides that it is dead, and the leader's writes are slow."""
    pod, leader, loop = any_pod(world, rng), world.leader, world.loop
    link, past = pod.link, world.server.store.past.get(("leases", pod.name))
    if not link or not link.alive or not leader or not leader.link or not past:
        return
    link.up_blocked = link.down_blocked = True
    t_s = world.scale.takeover_s / leader.clock.rate
    silent_at = past[-1][0] + t_s
    yield max(0.0, silent_at - 0.3 - loop.now)
    leader.link.slow_writes_s = rng.choice((0.0, 1.0, 2.0))
    yield max(0.0, silent_at + rng.uniform(-0.6, 0.3) - loop.now)
    link.heal()
    yield max(0.0, silent_at + 0.45 - loop.now)
    leader.link.slow_writes_s = 0.0


@KINDS.add("back between read and revoke", 3)
def _back_before_the_revoke(world: World, rng: random.Random) -> Script:
    """A silent worker is heard again just after the leader has read its Lease for the last time before the revoke.

    It reads its FingerWorker before the revoke is stored and takes up what it had. Then its watch stands still, and
    the leader's shows nothing of it: only another read can tell that it is back.
    """
    pod, leader, server, t_s = any_pod(world, rng), world.leader, world.server, world.scale.takeover_s
    link, lease, target = pod.link, f"leases/{pod.name}", f"fingerworkers/{pod.name}"
    if not link or not link.alive or not leader or lease in server.on_read:
        return

    def back(reader: Link) -> None:
        renewed = server.store.past["leases", pod.name][-1][0]
        if reader is not leader.link or world.loop.now - renewed < t_s / leader.clock.rate:
            return
        del server.on_read[lease]
        world.counts["back between read and revoke"] += 1
        reader.deaf[pod.name] = world.loop.now
        server.slow_targets[target] = 0.2 * t_s, 0.4 * t_s
        link.heal()
        link.stall()

    server.on_read[lease] = back
    link.up_blocked = link.down_blocked = True
    yield t_s * rng.uniform(1.6, 2.4)
    server.on_read.pop(lease, None)
    server.slow_targets.pop(target, None)
    link.heal()
    if leader.link:
        leader.link.deaf.pop(pod.name, None)


@KINDS.add("silent for the whole of D and K", 3)
def _silent_to_the_end(world: World, rng: random.Random) -> Script:
    """Cut off just after a renewal, with a worker that does not stop before it is killed at the end of K."""
    pod = any_pod(world, rng)
    link, worker = pod.link, pod.worker
    renewals = world.server.store.past.get(("leases", pod.name), [])
    if not link or not link.alive or not worker or not worker.process.alive:
        return
    known, patience_s = len(renewals), world.timing.fence_after_ms / 1000
    while len(renewals) == known and patience_s > 0:
        patience_s -= 0.02
        yield 0.02
    yield 0.06  # until its answer has arrived
    link.up_blocked = worker.hung = True
    yield world.t_s * rng.uniform(1.1, 1.4)
    link.heal()
    worker.hung = False
    worker.look_soon()


@KINDS.add("renewals of one worker lost", 3)
def _renewals_lost(world: World, rng: random.Random) -> Script:
    """The leader's watch of Leases loses one worker's, and the cache behind it as well."""
    leader, pod = world.leader, any_pod(world, rng)
    if not leader or not leader.link:
        return
    link = leader.link
    link.deaf[pod.name] = world.loop.now
    yield world.scale.takeover_s * rng.uniform(0.5, 2.2)
    link.deaf.pop(pod.name, None)


@KINDS.add("one worker's object slow to write", 7)
def _slow_target(world: World, rng: random.Random) -> Script:
    """Just when it is to be given something; then it, or the leader, is not there any more."""
    server, t_s = world.server, world.scale.takeover_s
    pod, leader = any_pod(world, rng), world.leader
    target = f"fingerworkers/{pod.name}"
    low, high = rng.choice(((0.1, 0.5), (0.3, 1.5), (0.45, 0.9)))
    server.slow_targets[target] = low * t_s, high * t_s
    for _ in range(rng.randint(1, 5)):
        world.add_row()
    yield 1.0 + rng.random() * 0.4 * t_s
    what, link = rng.choice(("unheard", "unheard", "stop", "kill", "cut off", "nothing")), pod.link
    if what == "unheard" and link:
        link.up_blocked = True
    elif leader and what == "stop":
        leader.stop_gracefully()
    elif leader and what == "kill":
        leader.crash()
    elif leader and leader.link and what == "cut off":
        leader.link.up_blocked = leader.link.down_blocked = True
    yield t_s * rng.uniform(0.5, 1.5)
    server.slow_targets.pop(target, None)
    if link:
        link.heal()
    if leader and leader.link:
        leader.link.heal()


@KINDS.add("sidecar stopped", 3)
def _sidecar_stopped(world: World, rng: random.Random) -> Script:
    """SIGTERM to both of a pod, which then start again; the last words may be long on their way."""
    pod = any_pod(world, rng)
    if pod.link and rng.random() < 0.6:
        pod.link.slow_writes_s = world.scale.takeover_s * rng.choice((0.2, 0.5))
    if pod.stop_gracefully():
        yield 0.0
