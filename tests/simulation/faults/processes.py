"""Processes and machines that die, restart and freeze."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .kinds import Kinds, Script, any_pod, any_replica, edit, long

if TYPE_CHECKING:
    import random

    from tests.simulation.world import World

KINDS = Kinds()


@KINDS.add("worker killed", 3)
def _worker_killed(world: World, rng: random.Random) -> Script:
    if any_pod(world, rng).crash_worker():
        yield 0.0


@KINDS.add("sidecar killed", 3)
def _sidecar_killed(world: World, rng: random.Random) -> Script:
    if any_pod(world, rng).crash_sidecar():
        yield 0.0


@KINDS.add("pod lost", 3)
def _pod_lost(world: World, rng: random.Random) -> Script:
    """Its node is gone; another pod of that name starts elsewhere, some time later."""
    pod = any_pod(world, rng)
    if pod.removed:
        return
    pod.remove()
    yield long(world, rng)
    if world.pods[pod.name] is pod:
        world.replace_pod(pod.name)


@KINDS.add("operator killed", 4)
def _operator_killed(world: World, rng: random.Random) -> Script:
    if any_replica(world, rng).crash():
        yield 0.0


@KINDS.add("operator stopped", 2)
def _operator_stopped(world: World, rng: random.Random) -> Script:
    if any_replica(world, rng).stop_gracefully():
        yield 0.0


@KINDS.add("operator killed after a write", 5)
def _operator_killed_after_write(world: World, rng: random.Random) -> Script:
    replica = any_replica(world, rng)
    if replica.link and replica.link.alive:
        replica.link.crash_in = rng.randint(1, 12)
        yield 0.0


@KINDS.add("sidecar killed after a write", 3)
def _sidecar_killed_after_write(world: World, rng: random.Random) -> Script:
    pod = any_pod(world, rng)
    if pod.link and pod.link.alive:
        pod.link.crash_in = rng.randint(1, 3)
        yield 0.0


@KINDS.add("sidecar frozen", 3)
def _sidecar_frozen(world: World, rng: random.Random) -> Script:
    process = any_pod(world, rng).sidecar
    if process and process.alive:
        process.pause()
        yield long(world, rng)
        process.resume()


@KINDS.add("worker frozen", 2)
def _worker_frozen(world: World, rng: random.Random) -> Script:
    pod = any_pod(world, rng)
    worker = pod.worker
    if worker and worker.process.alive and not pod.machine.frozen:
        worker.process.pause()
        yield long(world, rng)
        worker.process.resume()


@KINDS.add("operator frozen", 4)
def _operator_frozen(world: World, rng: random.Random) -> Script:
    process = any_replica(world, rng).process
    if process and process.alive:
        process.pause()
        yield long(world, rng)
        process.resume()


@KINDS.add("machine frozen", 2)
def _machine_frozen(world: World, rng: random.Random) -> Script:
    pod = any_pod(world, rng)
    # Not on top of a process that is frozen alone: the judge could not tell which of the two it has to forgive.
    if pod.removed or pod.machine.frozen or (pod.worker and pod.worker.process.pauses):
        return
    pod.freeze()
    yield long(world, rng)
    pod.thaw()


@KINDS.add("machine rebooted", 1)
def _machine_rebooted(world: World, rng: random.Random) -> Script:
    if any_pod(world, rng).reboot():
        yield 0.0


@KINDS.add("worker hangs", 2)
def _worker_hangs(world: World, rng: random.Random) -> Script:
    """Often it is to stop something meanwhile."""
    pod = any_pod(world, rng)
    worker, drains = pod.worker, rng.random() < 0.6
    if not worker or not worker.process.alive:
        return
    worker.hung = True
    yield rng.random() * world.scale.takeover_s / 2
    if drains:
        edit(world, "fingerworkers", pod.name, {"spec": {"drain": True}})
    yield 2 * long(world, rng)
    if drains:
        edit(world, "fingerworkers", pod.name, {"spec": {"drain": None}})
    worker.hung = False
    worker.look_soon()


@KINDS.add("mass loss", 1)
def _mass_loss(world: World, rng: random.Random) -> Script:
    pods = list(world.pods.values())
    lost = rng.sample(pods, max(2, round(len(pods) * rng.choice((0.6, 0.8, 1.0)))))
    if rng.random() < 0.5:
        for pod in lost:
            pod.crash_sidecar()
            pod.crash_worker()
        yield 0.0
    else:
        links = [pod.link for pod in lost if pod.link]
        for link in links:
            link.up_blocked = link.down_blocked = True
        yield long(world, rng)
        for link in links:
            link.heal()
