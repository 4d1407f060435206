"""What goes wrong, one generator a kind: it breaks something, yields for how long, and mends it.

A generator that is driven to its end without waiting mends at once, so a seed ends with everything whole whatever was
under way. Times are parts of T, so that each kind lasts sometimes shorter and sometimes longer than the deadlines.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from .store import RefusedError

if TYPE_CHECKING:
    import random

    from .network import Link
    from .pod import Pod
    from .replica import Replica
    from .store import Json
    from .world import World

Script = Generator[float, None, None]
Kind = Callable[["World", "random.Random"], Script]

KINDS: dict[str, tuple[Kind, int]] = {}
"""By name: the script, and how often it is drawn."""


def _kind(name: str, often: int = 2) -> Callable[[Kind], Kind]:
    def keep(script: Kind) -> Kind:
        KINDS[name] = script, often
        return script

    return keep


def _pod(world: World, rng: random.Random) -> Pod:
    return rng.choice(list(world.pods.values()))


def _replica(world: World, rng: random.Random) -> Replica:
    leader = world.leader
    return leader if leader and rng.random() < 0.75 else rng.choice(world.replicas)


def _long(world: World, rng: random.Random) -> float:
    """Around the deadlines: from half of D to two T."""
    return world.scale.takeover_s * rng.choice((0.3, 0.6, 1.0, 1.3, 2.0)) * rng.uniform(0.8, 1.1)


# --- processes that die, restart and freeze ---------------------------------------------------------------


@_kind("worker killed", 3)
def _worker_killed(world: World, rng: random.Random) -> Script:
    _pod(world, rng).crash_worker()
    yield 0.0


@_kind("sidecar killed", 3)
def _sidecar_killed(world: World, rng: random.Random) -> Script:
    _pod(world, rng).crash_sidecar()
    yield 0.0


@_kind("pod lost", 3)
def _pod_lost(world: World, rng: random.Random) -> Script:
    """Its node is gone; another pod of that name starts elsewhere, some time later."""
    pod = _pod(world, rng)
    pod.remove()
    yield _long(world, rng)
    if world.pods[pod.name] is pod:
        world.replace_pod(pod.name)


@_kind("operator killed", 4)
def _operator_killed(world: World, rng: random.Random) -> Script:
    _replica(world, rng).crash()
    yield 0.0


@_kind("operator stopped", 2)
def _operator_stopped(world: World, rng: random.Random) -> Script:
    _replica(world, rng).stop_gracefully()
    yield 0.0


@_kind("operator killed after a write", 5)
def _operator_killed_after_write(world: World, rng: random.Random) -> Script:
    replica = _replica(world, rng)
    if replica.link:
        replica.link.crash_in = rng.randint(1, 12)
    yield 0.0


@_kind("sidecar killed after a write", 3)
def _sidecar_killed_after_write(world: World, rng: random.Random) -> Script:
    pod = _pod(world, rng)
    if pod.link:
        pod.link.crash_in = rng.randint(1, 3)
    yield 0.0


@_kind("sidecar frozen", 3)
def _sidecar_frozen(world: World, rng: random.Random) -> Script:
    process = _pod(world, rng).sidecar
    if process:
        process.pause()
        yield _long(world, rng)
        process.resume()


@_kind("worker frozen", 2)
def _worker_frozen(world: World, rng: random.Random) -> Script:
    pod = _pod(world, rng)
    worker = pod.worker
    if worker and not pod.machine.frozen:
        worker.process.pause()
        yield _long(world, rng)
        worker.process.resume()


@_kind("operator frozen", 4)
def _operator_frozen(world: World, rng: random.Random) -> Script:
    process = _replica(world, rng).process
    if process:
        process.pause()
        yield _long(world, rng)
        process.resume()


@_kind("machine frozen", 2)
def _machine_frozen(world: World, rng: random.Random) -> Script:
    pod = _pod(world, rng)
    # Not on top of a process that is frozen alone: the judge could not tell which of the two it has to forgive.
    if pod.machine.frozen or (pod.worker and pod.worker.process.pauses):
        return
    pod.freeze()
    yield _long(world, rng)
    pod.thaw()


@_kind("machine rebooted", 1)
def _machine_rebooted(world: World, rng: random.Random) -> Script:
    _pod(world, rng).reboot()
    yield 0.0


@_kind("worker hangs", 2)
def _worker_hangs(world: World, rng: random.Random) -> Script:
    """Often it is to stop something meanwhile."""
    pod = _pod(world, rng)
    worker, drains = pod.worker, rng.random() < 0.6
    if worker:
        worker.hung = True
    yield rng.random() * world.scale.takeover_s / 2
    if drains:
        _edit(world, "fingerworkers", pod.name, {"spec": {"drain": True}})
    yield 2 * _long(world, rng)
    if drains:
        _edit(world, "fingerworkers", pod.name, {"spec": {"drain": None}})
    if worker:
        worker.hung = False
        worker.look_soon()


@_kind("mass loss", 1)
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
        yield _long(world, rng)
        for link in links:
            link.heal()


# --- the network and the API server -----------------------------------------------------------------------


def _any_link(world: World, rng: random.Random) -> Link | None:
    return _replica(world, rng).link if rng.random() < 0.5 else _pod(world, rng).link


@_kind("partition", 5)
def _partition(world: World, rng: random.Random) -> Script:
    link = _any_link(world, rng)
    if link:
        link.up_blocked, link.down_blocked = rng.choice(((True, True), (True, False), (False, True)))
        yield _long(world, rng)
        link.heal()


@_kind("watch stalled", 4)
def _watch_stalled(world: World, rng: random.Random) -> Script:
    link = _any_link(world, rng)
    if link:
        link.stall()
        yield _long(world, rng)
        link.heal()


@_kind("watch of Leases stalled", 2)
def _lease_watch_stalled(world: World, rng: random.Random) -> Script:
    link = _replica(world, rng).link
    if link:
        link.stall("leases")
        yield _long(world, rng)
        link.heal()


@_kind("bad weather", 5)
def _bad_weather(world: World, rng: random.Random) -> Script:
    weather = world.server.weather
    which = rng.choice(("lost", "answer_lost", "answer_lost", "late", "late", "throttled", "broken"))
    setattr(weather, which, rng.choice((0.05, 0.2, 0.5)))
    weather.late_s = world.scale.takeover_s * 2
    yield _long(world, rng)
    setattr(weather, which, 0.0)


@_kind("slow network", 1)
def _slow(world: World, rng: random.Random) -> Script:
    world.server.weather.slow = rng.choice((5.0, 20.0, 60.0))
    yield _long(world, rng)
    world.server.weather.slow = 1.0


@_kind("API server away", 2)
def _server_away(world: World, rng: random.Random) -> Script:
    world.server.stop()
    yield _long(world, rng)
    world.server.start()


@_kind("history compacted", 2)
def _compacted(world: World, rng: random.Random) -> Script:
    world.server.store.compact()
    for watch in list(world.server.watches):
        if rng.random() < 0.5:
            watch.break_off()
    yield 0.0


@_kind("wall clock jumps", 2)
def _wall_jumps(world: World, rng: random.Random) -> Script:
    clock = rng.choice([_pod(world, rng).machine.clock, _replica(world, rng).clock])
    jump = rng.choice((-3600.0, 3600.0, rng.uniform(-5.0, 5.0)))
    clock.wall_offset += jump
    yield _long(world, rng)
    clock.wall_offset -= jump


# --- what has to come together ----------------------------------------------------------------------------


@_kind("writes on the way", 7)
def _writes_on_the_way(world: World, rng: random.Random) -> Script:
    """The leader's writes are slow just when there is much to write, its mind changes, and it may die meanwhile."""
    replica, t_s = _replica(world, rng), world.scale.takeover_s
    link = replica.link
    if not link:
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
            _edit(world, "fingerworkers", name, {"spec": {"drain": True}})
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
    yield _long(world, rng)
    if process:
        process.resume()
    link.heal()
    for name in undrain:
        _edit(world, "fingerworkers", name, {"spec": {"drain": None}})


@_kind("FingerWorker recreated unseen", 3)
def _recreated_unseen(world: World, rng: random.Random) -> Script:
    """By force, while the watch of its sidecar stands still, and the leader that saw it may be gone."""
    pod, leader, t_s = _pod(world, rng), world.leader, world.scale.takeover_s
    link = pod.link
    if not link:
        return
    link.stall()
    yield 0.2 * rng.random()
    _remove(world, "fingerworkers", pod.name)
    _edit(world, "fingerworkers", pod.name, {"metadata": {"finalizers": None}})
    world.ensure_fingerworker(pod.name)
    if leader and rng.random() < 0.6:
        yield rng.random() * 0.2
        leader.crash()
    yield t_s * rng.uniform(0.5, 2.5)
    link.heal()


@_kind("back at T", 4)
def _back_at_t(world: World, rng: random.Random) -> Script:
    """A sidecar is heard again just when the leader decides that it is dead, and the leader's writes are slow."""
    pod, leader, loop = _pod(world, rng), world.leader, world.loop
    link, past = pod.link, world.server.store.past.get(("leases", pod.name))
    if not link or not leader or not leader.link or not past:
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


@_kind("back between read and revoke", 3)
def _back_before_the_revoke(world: World, rng: random.Random) -> Script:
    """A silent worker is heard again just after the leader has read its Lease for the last time before the revoke.

    It reads its FingerWorker before the revoke is stored and takes up what it had. Then its watch stands still, and
    the leader's shows nothing of it: only another read can tell that it is back.
    """
    pod, leader, server, t_s = _pod(world, rng), world.leader, world.server, world.scale.takeover_s
    link, lease, target = pod.link, f"leases/{pod.name}", f"fingerworkers/{pod.name}"
    if not link or not leader or lease in server.on_read:
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


@_kind("silent for the whole of D and K", 3)
def _silent_to_the_end(world: World, rng: random.Random) -> Script:
    """Cut off just after a renewal, with a worker that does not stop before it is killed at the end of K."""
    pod = _pod(world, rng)
    link, worker = pod.link, pod.worker
    renewals = world.server.store.past.get(("leases", pod.name), [])
    if not link or not worker:
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


@_kind("renewals of one worker lost", 3)
def _renewals_lost(world: World, rng: random.Random) -> Script:
    """The leader's watch of Leases loses one worker's, and the cache behind it as well."""
    leader, pod = world.leader, _pod(world, rng)
    if not leader or not leader.link:
        return
    link = leader.link
    link.deaf[pod.name] = world.loop.now
    yield world.scale.takeover_s * rng.uniform(0.5, 2.2)
    link.deaf.pop(pod.name, None)


@_kind("one worker's object slow to write", 7)
def _slow_target(world: World, rng: random.Random) -> Script:
    """Just when it is to be given something; then it, or the leader, is not there any more."""
    server, t_s = world.server, world.scale.takeover_s
    pod, leader = _pod(world, rng), world.leader
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


@_kind("sidecar stopped", 3)
def _sidecar_stopped(world: World, rng: random.Random) -> Script:
    """SIGTERM to both of a pod, which then start again; the last words may be long on their way."""
    pod = _pod(world, rng)
    if pod.link and rng.random() < 0.6:
        pod.link.slow_writes_s = world.scale.takeover_s * rng.choice((0.2, 0.5))
    pod.stop_gracefully()
    yield 0.0


# --- the database -----------------------------------------------------------------------------------------


@_kind("database away", 2)
def _database_away(world: World, rng: random.Random) -> Script:
    world.database.up = False
    yield _long(world, rng)
    world.database.up = True


@_kind("database hangs", 1)
def _database_hangs(world: World, rng: random.Random) -> Script:
    world.database.answers.clear()
    yield _long(world, rng)
    world.database.answers.set()


@_kind("rows edited", 4)
def _rows_edited(world: World, rng: random.Random) -> Script:
    """Some go, some come, some get another URL; some flap."""
    database = world.database
    ids = sorted(database.rows)
    taken = {i: database.rows.pop(i) for i in rng.sample(ids, rng.randint(1, 5))}
    for i in rng.sample(sorted(database.rows), 2):
        database.rows[i] = {**database.rows[i], "url": f"http://radio.example/{i}/{rng.getrandbits(16)}"}
    yield _long(world, rng) / 2
    if rng.random() < 0.6:
        database.rows.update(taken)
    else:
        for _ in taken:
            world.add_row()


@_kind("source emptied", 3)
def _source_emptied(world: World, rng: random.Random) -> Script:
    """An accident that is mended before the polls confirm it, sometimes across a restart of the operator."""
    database = world.database
    ids = sorted(database.rows)
    away = set(rng.sample(ids, round(len(ids) * rng.choice((0.7, 1.0)))))
    database.hidden |= away
    world.judge.hidden |= away
    if rng.random() < 0.6:
        for replica in world.replicas:
            replica.crash()
    # Confirmed by three polls a second apart on whichever clock: less than that is an accident.
    yield 1.6
    database.hidden -= away
    world.judge.hidden -= away


# --- what users and strangers do to objects ---------------------------------------------------------------


def _edit(world: World, plural: str, name: str, patch: Json, sub: str | None = None) -> bool:
    try:
        world.server.store.patch(plural, name, patch, sub, writer="user")
    except RefusedError:
        return False
    return True


def _remove(world: World, plural: str, name: str) -> None:
    with contextlib.suppress(RefusedError):
        world.server.store.delete(plural, name, {}, writer="user")


@_kind("drain", 3)
def _drain(world: World, rng: random.Random) -> Script:
    name = rng.choice(list(world.pods))
    _edit(world, "fingerworkers", name, {"spec": {"drain": True}})
    yield _long(world, rng)
    _edit(world, "fingerworkers", name, {"spec": {"drain": None}})


@_kind("capacity changed", 3)
def _capacity(world: World, rng: random.Random) -> Script:
    name, slots = rng.choice(list(world.pods)), world.scale.slots
    _edit(world, "fingerworkers", name, {"spec": {"maxStreams": rng.choice((1, slots // 2 or 1, 2 * slots))}})
    yield _long(world, rng)
    _edit(world, "fingerworkers", name, {"spec": {"maxStreams": slots}})


@_kind("FingerWorker deleted", 3)
def _deleted(world: World, rng: random.Random) -> Script:
    """In an orderly way, and made again."""
    name = rng.choice(list(world.pods))
    _remove(world, "fingerworkers", name)
    yield _long(world, rng)
    world.ensure_fingerworker(name)


@_kind("FingerWorker deleted by force", 3)
def _deleted_by_force(world: World, rng: random.Random) -> Script:
    """Its finalizer is stripped, so it is gone while its worker runs; often it is made again at once."""
    name = rng.choice(list(world.pods))
    _remove(world, "fingerworkers", name)
    _edit(world, "fingerworkers", name, {"metadata": {"finalizers": None}})
    yield rng.choice((0.0, 0.1, 1.0)) * _long(world, rng)
    world.ensure_fingerworker(name)


@_kind("Lease deleted", 3)
def _lease_deleted(world: World, rng: random.Random) -> Script:
    for name in rng.sample(list(world.pods), rng.choice((1, 1, 2))):
        _remove(world, "leases", name)
    yield 0.0


@_kind("Lease edited", 2)
def _lease_edited(world: World, rng: random.Random) -> Script:
    """Its holder erased, or its pool's label changed."""
    name = rng.choice(list(world.pods))
    if rng.random() < 0.5:
        _edit(world, "leases", name, {"spec": {"holderIdentity": ""}})
        yield 0.0
    else:
        _edit(world, "leases", name, {"metadata": {"labels": {"fingerv7.io/pool": rng.choice(("other", None))}}})
        yield _long(world, rng)
        _edit(world, "leases", name, {"metadata": {"labels": {"fingerv7.io/pool": world.pool_name}}})


@_kind("election Lease deleted", 3)
def _election_deleted(world: World, rng: random.Random) -> Script:
    _remove(world, "leases", "fingerv7-operator")
    yield 0.0


@_kind("backup restored", 2)
def _restored(world: World, rng: random.Random) -> Script:
    """The whole cluster is as it was some time ago; resourceVersions go on from where they were, as they should.

    Its API is away for so long before that every worker has fenced: who runs what the backup does not know must have
    stopped, or a worker that starts from the backup takes up what another one runs.
    """
    store, t_s = world.server.store, world.scale.takeover_s
    back_s = t_s * rng.choice((0.1, 0.5, 1.0, 3.0)) * rng.random()
    objects = store.as_of(max(0.5, world.loop.now - back_s))
    world.server.stop()
    yield t_s * rng.uniform(1.1, 1.5)
    store.restored(objects)
    world.judge.restored()
    world.server.start()


@_kind("pod replaced", 3)
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
    yield _long(world, rng)
    if old.link:
        old.link.heal()
    yield _long(world, rng)
    old.remove()


@_kind("disk full", 2)
def _disk_full(world: World, rng: random.Random) -> Script:
    folder = _pod(world, rng).folder
    folder.error = rng.choice((errno.ENOSPC, errno.EROFS))
    yield _long(world, rng)
    folder.error = 0


@_kind("pool paused", 1)
def _pool_paused(world: World, rng: random.Random) -> Script:
    _edit(world, "streampools", world.pool_name, {"spec": {"paused": True}})
    yield _long(world, rng)
    _edit(world, "streampools", world.pool_name, {"spec": {"paused": None}})
