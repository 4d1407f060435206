"""One round of a pool: from everything that is known to the writes that bring it one step further.

Pure but for `Memory`, which holds only what may be forgotten: a process that starts with an empty one is slower to
act (it gives everybody a fresh T), never less safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

from fingerv7.core.approval import Answer, Proposal
from fingerv7.core.handover import NOT_PROVEN, Action, Holder, Wanted, Write, step
from fingerv7.core.liveness import Health, Verdict, judge, takeover_after_s
from fingerv7.core.model import Lease, Stream, Token, Worker
from fingerv7.core.override import Override, counted
from fingerv7.core.planner import Plan
from fingerv7.core.planning import NO_PLAN, Planned, plan_round, reasons
from fingerv7.core.standing import Facts, Standing, standing
from fingerv7.core.world import Memory, Rules, World

_NOTHING: Mapping[str, Stream] = MappingProxyType({})

__all__ = ["Decision", "Memory", "Rules", "World", "decide", "held_catalog"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a round came to."""

    writes: list[Write]
    now: float
    """When this was decided, monotonic."""
    facts: Mapping[str, Facts]
    standings: Mapping[str, Standing]
    health: Mapping[str, Health]
    catalog: Mapping[str, Stream]
    disbelieved: Mapping[str, int]
    """FingerWorker UID → up to which epoch its acknowledgements prove nothing."""
    to_confirm: list[str]
    """Silent workers whose Lease is to be read directly before anything follows from their silence."""
    newly_taken: frozenset[str]
    taken: frozenset[str]
    """All workers that are taken over as of now."""
    held_since: float | None
    """Since when the brake on mass failure holds."""
    plan: Plan = NO_PLAN
    shares: Mapping[str, int] = field(default_factory=dict)
    """Worker → how many streams the plan wants on it."""
    unassigned: Sequence[tuple[str, str]] = ()
    """Stream and reason, for every stream of the catalog that nobody was given."""
    to_probe: Sequence[tuple[Worker, float]] = ()
    """Workers whose Lease is to be read directly, each with its T."""
    balances: bool = False
    """Whether the writes begin a round of balancing moves."""
    balanced: bool = True
    """Whether the loads are within tolerance after the plan."""
    cooling_down: bool = False
    proposal: Proposal | None = None
    """Moves for balance that wait for consent."""
    judged: bool = False
    """Whether `proposal` is the present truth; else what was shown last stays."""
    answer: Answer | None = None
    """To an approval that was asked for."""
    rebalanced: Plan | None = None
    """The plan that answers a request for balance."""
    suspected: Mapping[str, float] = field(default_factory=dict)
    """Streams that are kept from everybody because workers died of them → for how many seconds."""
    overruled: Mapping[Override, str] = field(default_factory=dict)
    """What people have overruled, and what came of it."""
    scores: Mapping[str, int] = field(default_factory=dict)
    """Worker → performance score; empty where the strategy looks at none."""
    rotated_through_s: float | None = None
    """Up to when turns of rotation were had, in seconds since the epoch."""


def decide(world: World, memory: Memory, *, now: float, next_token: Callable[[], Token]) -> Decision:
    """The next step of the pool."""
    _forget_gone(memory, world.workers)
    world = replace(world, leases=memory.claims.believed(world.workers, world.leases))
    if memory.claims.fresh:
        memory.doubts.vouched.clear()
    rules = world.rules
    t_s = rules.timing.takeover_after_ms / 1000
    health = {
        name: judge(
            worker,
            world.leases.get(name),
            world.observations[name],
            rules.timing,
            rules.warning_after_ms,
            now,
        )
        for name, worker in world.workers.items()
    }
    memory.doubts.look(
        world.workers,
        world.leases,
        world.observations,
        world.unknown,
        rules.timing,
        now,
        confirmed=world.confirmed,
    )
    holding = frozenset(n for n, worker in world.workers.items() if not worker.assignment.empty or n in world.unknown)
    taken_before = frozenset(memory.takeovers.taken)
    taken = memory.takeovers.decide(
        health,
        holding=holding,
        confirmed=world.confirmed,
        policy=rules.mass_failure,
        t_s=t_s,
        now=now,
        override=world.barrier_passed and Override.RELEASE_TAKEOVERS in world.overrides,
        watch_silent=world.watch_silent,
    )
    newly_taken = (taken - taken_before) & holding
    _count_deaths(world, memory, health, newly_taken, t_s, now)
    full_catalog = _full_catalog(world, memory)
    overruled = _overrule(world, memory, full_catalog, now)

    facts = {
        name: Facts(
            worker=worker,
            lease=world.leases.get(name),
            health=health[name],
            taken_over=name in taken,
            backing_off_s=memory.deaths.backing_off_s(name, now),
            takeover_s=takeover_after_s(world.leases.get(name), rules.timing),
            leader_epoch=world.leader_epoch,
            pool_deleting=rules.deleting,
            behind_s=_behind_s(worker, world.leases.get(name), memory, now),
        )
        for name, worker in world.workers.items()
    }
    standings = {name: standing(each) for name, each in facts.items()}
    holders = _holders(world, memory, standings, now)
    suspected = memory.deaths.suspected(full_catalog, now)
    catalog = _served(memory, full_catalog, suspected.keys())
    memory.doubts.limit(catalog.keys())
    decided = partial(
        Decision,
        now=now,
        facts=facts,
        standings=standings,
        health=health,
        catalog=catalog,
        disbelieved=memory.claims.open,
        to_confirm=sorted({*memory.takeovers.unconfirmed, *memory.doubts.unconfirmed}),
        newly_taken=newly_taken,
        taken=taken,
        held_since=memory.takeovers.held_since,
        suspected=suspected,
        overruled=overruled,
    )

    if not world.barrier_passed:
        stamps = step(
            {n: h for n, h in holders.items() if h.worker.assignment.leader_epoch != world.leader_epoch},
            Wanted({}, {}, {}),
            leader_epoch=world.leader_epoch,
            next_token=next_token,
            may_grant=lambda _: False,
        )
        return decided(stamps)

    settled = not (
        memory.doubts.doubtful
        or world.unknown
        or any(h.verdict in {Verdict.LATE, Verdict.SILENT} and n not in taken for n, h in health.items())
        or any(worker.assignment.revoking for n, worker in world.workers.items() if n not in taken)
        # Whoever has not confirmed what it was given last gets nothing that is well where it is.
        or any(standings[n].accepts and h.free_through < h.worker.assignment.epoch for n, h in holders.items())
    )
    planned = plan_round(world, memory, standings, catalog, settled=settled, now=now)
    outcome = planned.outcome
    why = reasons(outcome, memory, frozenset(suspected))
    writes = _step(world, memory, holders, planned, catalog, why, next_token)
    memory.intended = outcome.intended
    memory.triggers = {i: why.get(i) or "NewStream" for i in memory.intended}
    return decided(
        writes,
        plan=outcome.plan,
        shares=outcome.shares,
        unassigned=[*outcome.missing, *((i, "SuspectedPoison") for i in sorted(suspected))],
        to_probe=[
            (worker, facts[name].takeover_s)
            for name, worker in sorted(world.workers.items())
            if standings[name].stop
            and any(e > holders[name].free_through for e in worker.assignment.revoking.values())
        ],
        balances=outcome.balances and bool(writes),
        balanced=outcome.balanced,
        cooling_down=memory.last_balance is not None and now - memory.last_balance < rules.cooldown_s,
        proposal=planned.proposal,
        judged=planned.judged,
        answer=planned.answer,
        rebalanced=planned.rebalanced,
        scores=planned.scores,
        rotated_through_s=memory.rota.through_s if rules.rotation_s is not None else None,
    )


def _step(
    world: World,
    memory: Memory,
    holders: Mapping[str, Holder],
    planned: Planned,
    catalog: Mapping[str, Stream],
    why: Mapping[str, str],
    next_token: Callable[[], Token],
) -> list[Write]:
    """The protocol's writes. Where it had none for the same facts a moment ago, it is not asked again."""
    doubts, outcome = memory.doubts, planned.outcome
    facts = [
        outcome,
        *((h.free_through, h.claimed_epoch, h.accepts, h.keeps_unplaced, h.stop_reason) for h in holders.values()),
    ]
    calm = not (world.unknown or world.unreadable or doubts.doubtful or doubts.ghosts)
    if calm and planned.unchanged and memory.still == facts:
        return []
    writes = step(
        holders,
        Wanted(catalog, outcome.target, why),
        leader_epoch=world.leader_epoch,
        next_token=next_token,
        may_grant=lambda i: not world.unreadable and doubts.may_grant(i),
    )
    memory.still = facts if calm and not writes else None
    for write in writes:
        granted = {change.stream for change in write.changes if change.action is Action.GRANT}
        if granted:
            doubts.spend(world.workers[write.worker].uid, granted)
    return writes


def _forget_gone(memory: Memory, workers: Mapping[str, Worker]) -> None:
    """What was measured of a worker that does not exist any more says nothing of a later one of its name.

    Its deaths stay until they are old (see `Deaths`).
    """
    for uid in memory.behind.keys() - {worker.uid for worker in workers.values()}:
        del memory.behind[uid]
    for name in memory.draining.keys() - workers.keys():
        del memory.draining[name]


def _behind_s(worker: Worker, lease: Lease | None, memory: Memory, now: float) -> float:
    """For how long a worker has not confirmed the present epoch."""
    applied = lease.acknowledged_epoch(worker) if lease else None
    if applied is None or applied >= worker.assignment.epoch:
        memory.behind.pop(worker.uid, None)
        return 0.0
    return now - memory.behind.setdefault(worker.uid, now)


def held_catalog(workers: Iterable[Worker]) -> dict[str, Stream]:
    """The streams in the assignments: what was in force when they were written."""
    return {i: grant.stream for worker in workers for i, grant in worker.assignment.grants.items()}


def _count_deaths(
    world: World, memory: Memory, health: Mapping[str, Health], newly_taken: Iterable[str], t_s: float, now: float
) -> None:
    """Whoever was taken over for its silence has died, and whoever ended by itself."""
    deaths, mass = memory.deaths, memory.takeovers.mass
    for name in sorted(newly_taken):
        if health[name].reason == "Silent":  # a Lease that was relabelled or deleted tells nothing of the worker
            deaths.died(name, last_heard=now - health[name].silent_s, now=now, of_its_streams=not mass)
    gone = {
        name
        for name, worker in world.workers.items()
        if (lease := world.leases.get(name)) and lease.gone == lease.holder and lease.shows_release(worker.uid)
    }
    alive = {name for name, each in health.items() if each.verdict is Verdict.ALIVE}
    deaths.ended_by_themselves(
        deaths.newly_gone(gone), alive=alive, policy=world.rules.mass_failure, t_s=t_s, now=now
    )
    deaths.survived(4 * t_s, now)


def _overrule(world: World, memory: Memory, catalog: Mapping[str, Stream], now: float) -> dict[Override, str]:
    """What people asked for by annotation, done and put into words. Before the barrier nothing can be told yet."""
    asked, deaths = world.overrides, memory.deaths
    said: dict[Override, str] = {}
    if not asked or not world.barrier_passed:
        return said
    if Override.RELEASE_TAKEOVERS in asked:
        if released := memory.takeovers.released:
            said[Override.RELEASE_TAKEOVERS] = f"{counted(released, 'worker')} taken over at once"
        elif memory.takeovers.at_peace:
            said[Override.RELEASE_TAKEOVERS] = "no takeover is held"
    if Override.END_BACK_OFF in asked:
        forgiven = [name for name in deaths.forgive() if name in world.workers]
        eligible = f"{counted(forgiven, 'worker')} may have streams again"
        said[Override.END_BACK_OFF] = eligible if forgiven else "no worker has died lately"
    if Override.RELEASE_STREAMS in asked:
        acquitted = deaths.suspected(catalog, now)
        deaths.acquit(acquitted)
        released_streams = f"workers may have {counted(acquitted, 'stream')} again"
        said[Override.RELEASE_STREAMS] = released_streams if acquitted else "no stream is suspected"
    return said


def _full_catalog(world: World, memory: Memory) -> Mapping[str, Stream]:
    """What is in force, suspected streams included."""
    if world.rules.deleting:
        return _NOTHING
    if world.catalog is not None:
        return world.catalog
    seen = {**memory.seen_held, **held_catalog(world.workers.values())}
    if seen != memory.seen_held:
        memory.seen_held = seen
    return memory.seen_held


def _served(memory: Memory, catalog: Mapping[str, Stream], suspected: AbstractSet[str]) -> Mapping[str, Stream]:
    if not suspected:
        return catalog
    known = memory.served
    if known is None or known[0] is not catalog or known[1] != suspected:
        served = {i: stream for i, stream in catalog.items() if i not in suspected}
        known = memory.served = (catalog, frozenset(suspected), served)
    return known[2]


def _holders(world: World, memory: Memory, standings: Mapping[str, Standing], now: float) -> dict[str, Holder]:
    holders = {}
    cold = _cold_start(world, memory, standings, now)
    for name, worker in world.workers.items():
        lease, stands = world.leases.get(name), standings[name]
        acknowledged = lease.acknowledged_epoch(worker) if lease else None
        if stands.draining:
            memory.draining.setdefault(name, now)
        else:
            memory.draining.pop(name, None)
        drains_s = now - memory.draining.get(name, now)
        holders[name] = Holder(
            worker,
            free_through=max(
                NOT_PROVEN if acknowledged is None else acknowledged, world.proven.get(name, NOT_PROVEN)
            ),
            claimed_epoch=memory.claims.open.get(worker.uid, 0),
            accepts=stands.accepts and not cold,
            unknown=world.unknown.get(name),
            keeps_unplaced=stands.draining and drains_s < world.rules.drain_timeout_s,
            stop_reason=stands.stop,
        )
    return holders


def _cold_start(world: World, memory: Memory, standings: Mapping[str, Standing], now: float) -> bool:
    """Nothing is assigned yet: wait a moment for the others, or the first worker to appear gets everything."""
    if any(not worker.assignment.empty for worker in world.workers.values()):
        return False
    awaited = any(not s.accepts and s.keeps and not s.stop for s in standings.values())
    if not awaited or not any(s.accepts for s in standings.values()):
        return False
    if memory.first_accept is None:
        memory.first_accept = now
    return (now - memory.first_accept) * 1000 < min(world.rules.timing.renew_interval_ms, 5_000)
