"""One round of a pool: from everything that is known to the writes that bring it one step further.

Pure but for `Memory`, which holds only what may be forgotten: a process that starts with an empty one is slower to
act (it gives everybody a fresh T), never less safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial

from fingerv7.contract import Timing
from fingerv7.core.doubt import Claims, Doubts
from fingerv7.core.handover import NOT_PROVEN, Action, Holder, Wanted, Write, step
from fingerv7.core.liveness import Health, Observation, Verdict, judge, takeover_after_s
from fingerv7.core.model import Assignment, Grant, Lease, Stream, Token, Worker
from fingerv7.core.planner import Candidate, Plan, Policy, plan
from fingerv7.core.standing import Facts, Standing, standing
from fingerv7.core.takeover import Deaths, MassFailure, Takeovers

BALANCING = frozenset({"Imbalance", "NewWorker"})
"""Triggers of moves that nobody needs; they are what the cooldown is for."""
NO_PLAN = Plan(
    target={},
    moves=(),
    unplaced=(),
    imbalance_before_percent=0.0,
    imbalance_after_percent=0.0,
    balanced=True,
    lower_bound=0,
)


@dataclass(frozen=True, slots=True)
class Rules:
    """The pool's spec, as far as a round needs it."""

    timing: Timing
    warning_after_ms: int
    mass_failure: MassFailure
    policy: Policy
    cooldown_s: float
    drain_timeout_s: float
    paused: bool = False
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """Everything that one round looks at, by worker name where it is by worker."""

    workers: Mapping[str, Worker]
    leases: Mapping[str, Lease]
    """Leases of these workers, whatever their label says, and Leases that carry the pool's label."""
    observations: Mapping[str, Observation]
    unknown: Mapping[str, Assignment]
    proven: Mapping[str, int]
    """Up to which epoch a direct read of its Lease has proven that a worker stopped."""
    confirmed: AbstractSet[str]
    """Workers whose silence a direct read of their Lease has confirmed: the watch is not what is silent."""
    unreadable: AbstractSet[str]
    """FingerWorkers of the namespace that cannot be understood: who knows what they hold."""
    catalog: Mapping[str, Stream] | None
    """None while the source was never read: what is held stays in force."""
    rules: Rules
    leader_epoch: int
    barrier_passed: bool


@dataclass(slots=True)
class Memory:
    """What a leader remembers from round to round. Times are seconds, monotonic."""

    takeovers: Takeovers = field(default_factory=Takeovers)
    deaths: Deaths = field(default_factory=Deaths)
    intended: dict[str, str] = field(default_factory=dict)
    """Stream → worker, for streams on their way: a hand-over that has begun counts as done."""
    triggers: dict[str, str] = field(default_factory=dict)
    """Stream → why it is on its way, to be told again when it arrives."""
    doubts: Doubts = field(default_factory=Doubts)
    claims: Claims = field(default_factory=Claims)
    behind: dict[str, float] = field(default_factory=dict)
    """UID → since when a live worker has not confirmed what is assigned to it."""
    draining: dict[str, float] = field(default_factory=dict)
    """Worker → since when it drains."""
    first_accept: float | None = None
    seen_held: dict[str, Stream] = field(default_factory=dict)
    """While the source was never read: all that was ever held, also what a dead worker is being relieved of."""
    last_balance: float | None = None

    def accepted(self, write: Write, now: float) -> None:
        """A write was stored."""
        for change in write.changes:
            if change.action is Action.CLEAR:
                self.doubts.vouched.add(change.stream)
            elif change.action is Action.GRANT:
                self.doubts.vouched.discard(change.stream)
                self.deaths.granted(write.worker, change.stream, now)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a round came to."""

    writes: list[Write]
    facts: Mapping[str, Facts]
    standings: Mapping[str, Standing]
    health: Mapping[str, Health]
    catalog: Mapping[str, Stream]
    disbelieved: Mapping[str, int]
    """FingerWorker UID → up to which epoch its acknowledgements prove nothing."""
    to_confirm: list[str]
    """Silent workers whose Lease is to be read directly before they are taken over."""
    newly_taken: frozenset[str]
    plan: Plan = NO_PLAN
    unassigned: Sequence[tuple[str, str]] = ()
    """Stream and reason, for every stream of the catalog that nobody was given."""
    to_probe: Sequence[tuple[Worker, float]] = ()
    """Workers whose Lease is to be read directly, each with its T."""
    balances: bool = False
    """Whether the writes begin a round of balancing moves."""


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
    memory.doubts.look(world.workers, world.leases, world.observations, world.unknown, rules.timing, now)
    holding = frozenset(n for n, worker in world.workers.items() if not worker.assignment.empty or n in world.unknown)
    taken_before = frozenset(memory.takeovers.taken)
    taken = memory.takeovers.decide(
        health, holding=holding, confirmed=world.confirmed, policy=rules.mass_failure, t_s=t_s, now=now
    )
    newly_taken = (taken - taken_before) & holding
    for name in sorted(newly_taken):
        if health[name].reason == "Silent":  # a Lease that was relabelled or deleted tells nothing of the worker
            memory.deaths.died(name, last_heard=now - health[name].silent_s, now=now)
    memory.deaths.survived(4 * t_s, now)

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
    catalog = _catalog(world, memory, now)
    decided = partial(
        Decision,
        facts=facts,
        standings=standings,
        health=health,
        catalog=catalog,
        disbelieved=memory.claims.open,
        to_confirm=memory.takeovers.unconfirmed,
        newly_taken=newly_taken,
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
    cooled = memory.last_balance is None or now - memory.last_balance >= rules.cooldown_s
    may_balance = settled and cooled and not rules.paused and not rules.deleting
    planned = _plan(world, memory, standings, catalog, may_balance=may_balance)
    unplaced = {u.stream: u.reason for u in planned.unplaced}
    moving = {move.stream: str(move.trigger) for move in planned.moves}
    reasons = {**unplaced, **moving, **memory.triggers}
    reasons.update(dict.fromkeys(memory.deaths.poison(now), "SuspectedPoison"))

    writes = step(
        holders,
        Wanted(catalog, planned.target, reasons),
        leader_epoch=world.leader_epoch,
        next_token=next_token,
        may_grant=lambda i: not world.unreadable and memory.doubts.may_grant(i),
    )
    balances = any(move.trigger in BALANCING for move in planned.moves) and bool(writes)
    memory.intended = _intentions(world, memory, planned)
    memory.triggers = {i: reasons.get(i) or "NewStream" for i in memory.intended}
    return decided(
        writes,
        plan=planned,
        unassigned=_unassigned(world, memory, catalog, unplaced, now),
        to_probe=[
            (worker, facts[name].takeover_s)
            for name, worker in sorted(world.workers.items())
            if standings[name].stop
            and any(e > holders[name].free_through for e in worker.assignment.revoking.values())
        ],
        balances=balances,
    )


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


def _catalog(world: World, memory: Memory, now: float) -> Mapping[str, Stream]:
    if world.rules.deleting:
        return {}
    if world.catalog is None:
        memory.seen_held.update(held_catalog(world.workers.values()))
    catalog = memory.seen_held if world.catalog is None else world.catalog
    poison = memory.deaths.poison(now)
    return {i: stream for i, stream in catalog.items() if i not in poison} if poison else catalog


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


def _plan(
    world: World,
    memory: Memory,
    standings: Mapping[str, Standing],
    catalog: Mapping[str, Stream],
    *,
    may_balance: bool,
) -> Plan:
    candidates = {
        name: Candidate(
            name=name,
            max_streams=worker.max_streams,
            capabilities=worker.capabilities,
            location=worker.location,
            eligible=standings[name].accepts,
            # A paused pool begins no drain; what a dead worker held is still given away.
            keeps=standings[name].keeps or (world.rules.paused and not standings[name].stop),
        )
        for name, worker in world.workers.items()
    }
    policy = world.rules.policy
    return plan(
        catalog,
        candidates,
        _current(world, memory, standings),
        Policy(
            policy.imbalance_threshold_percent,
            policy.max_stream_difference,
            policy.max_moves_per_round_percent,
            may_balance,
        ),
    )


def _current(world: World, memory: Memory, standings: Mapping[str, Standing]) -> dict[str, str]:
    """Stream → the worker that has it, or is about to get it, or may have it back."""
    current = {i: name for i, name in memory.intended.items() if name in standings and standings[name].accepts}
    tokens: dict[str, Grant] = {}
    for name, worker in sorted(world.workers.items()):
        if standings[name].accepts:
            for i in worker.assignment.revoking:
                current.setdefault(i, name)
    for name, worker in sorted(world.workers.items()):
        for i, grant in worker.assignment.grants.items():
            if i not in tokens or grant.token > tokens[i].token:
                tokens[i] = grant
                current[i] = name
    return current


def _intentions(world: World, memory: Memory, planned: Plan) -> dict[str, str]:
    """Where streams are going that are not there yet, so that the next round does not think again."""
    intended = {}
    for name, worker in world.workers.items():
        for i in worker.assignment.grants:
            if planned.target.get(i, name) != name:
                intended[i] = planned.target[i]
        for i in worker.assignment.revoking:
            if i in planned.target:
                intended[i] = planned.target[i]
    granted = {i for worker in world.workers.values() for i in worker.assignment.grants}
    for i in memory.intended.keys() - granted:
        if i in planned.target:
            intended[i] = planned.target[i]
    return intended


def _unassigned(
    world: World, memory: Memory, catalog: Mapping[str, Stream], unplaced: Mapping[str, str], now: float
) -> list[tuple[str, str]]:
    granted = {i for worker in world.workers.values() for i in worker.assignment.grants}
    # Whatever has a place and is not there yet waits for its last holder, or for the one that may run anything.
    found = [(i, unplaced.get(i, "HandoverPending")) for i in sorted(catalog.keys() - granted)]
    found += [(i, "SuspectedPoison") for i in sorted(memory.deaths.poison(now))]
    return found
