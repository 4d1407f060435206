"""What a round plans: what is carried out now, and what is only proposed.

Repairs are always carried out. Moves for balance wait until the pool has settled and its cooldown is over, or
somebody asks for them; in mode Auto they are then part of the plan, in the others they are a proposal beside it that
Manual carries out once it is approved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fingerv7.core.approval import Answer, Mode, Proposal, answer, propose
from fingerv7.core.model import Stream
from fingerv7.core.planner import Candidate, Owners, Plan, StreamTable, WorkerTable, plan
from fingerv7.core.planner.model import BALANCING, Policy, Strategy
from fingerv7.core.planner.owners import NOBODY
from fingerv7.core.standing import Standing
from fingerv7.core.world import Memory, World

NO_PLAN = Plan(
    target={},
    moves=(),
    unplaced=(),
    imbalance_before_percent=0.0,
    imbalance_after_percent=0.0,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A plan, and what follows from it for the streams that are not where they should be."""

    plan: Plan = NO_PLAN
    target: Mapping[str, str] = field(default_factory=dict)
    """The plan's, as a dictionary: it is asked for every stream, many times."""
    shares: Mapping[str, int] = field(default_factory=dict)
    """Worker → how many streams the plan wants on it."""
    unplaced: Mapping[str, str] = field(default_factory=dict)
    """Stream → why it has no place."""
    moving: Mapping[str, str] = field(default_factory=dict)
    """Stream → why it moves."""
    intended: dict[str, str] = field(default_factory=dict)
    """Stream → where it is going, for those that are not there yet."""
    missing: Sequence[tuple[str, str]] = ()
    """Streams that nobody was given, and why."""
    balances: bool = False
    """Whether some of it moves for balance."""
    balanced: bool = True
    """Whether the loads are within tolerance afterwards."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a round came to."""

    outcome: Outcome
    scores: Mapping[str, int]
    """Worker → performance score; empty where the strategy looks at none."""
    unchanged: bool
    """Whether it all follows from the same facts as the last round's."""
    judged: bool = False
    """Whether `proposal` is the present truth; else the pool is on the move, and what was shown last stays."""
    proposal: Proposal | None = None
    """What is to be shown: moves for balance that nobody has begun."""
    answer: Answer | None = None
    """To an approval that was asked for."""
    rebalanced: Plan | None = None
    """The plan that answers a request for balance."""


def plan_round(
    world: World,
    memory: Memory,
    standings: Mapping[str, Standing],
    catalog: Mapping[str, Stream],
    *,
    settled: bool,
    now: float,
) -> Planned:
    """Plans with what `memory` remembers, and notes there what an approval sets going."""
    rules, asked = world.rules, world.asked
    scores = _scores(world, memory, now)
    candidates = _candidates(world, memory, standings, scores)
    _note_begun(world, memory)
    unchanged = memory.reuse.about(catalog, _fingerprint(world, memory, candidates))
    if not unchanged:
        memory.candidates = WorkerTable(candidates, memory.candidates)
    round_ = _Round(world, memory, standings, catalog)

    may_balance = settled and not rules.paused and not rules.deleting
    due = memory.last_balance is None or now - memory.last_balance >= rules.cooldown_s or bool(asked.rebalance)
    if rules.mode is Mode.Auto:
        memory.proposed = False
        may_balance &= due
        rotate = _rotation(world, memory, catalog, now) if may_balance else ()
        outcome = round_.outcome(may_balance=may_balance, rotate=rotate)
        if rotate and not outcome.balances and rules.rotation_s is not None:
            memory.rota.moved(frozenset(outcome.moving), every_s=rules.rotation_s)
        rebalanced = outcome.plan if may_balance and asked.rebalance else None
        return Planned(outcome, scores, unchanged, judged=True, rebalanced=rebalanced)

    repairs = round_.outcome(may_balance=False, rotate=())
    if rules.paused or rules.deleting:
        memory.proposed = False
        return Planned(repairs, scores, unchanged, judged=True)
    if not may_balance or repairs.moving or world.catalog is None:
        return Planned(repairs, scores, unchanged)
    proposal, rebalanced = None, None
    if due or memory.proposed:
        balancing = round_.plan(may_balance=True, rotate=_rotation(world, memory, catalog, now))
        proposal = propose(balancing)
        rebalanced = balancing if asked.rebalance else None
    told = answer(asked.approve, proposal, rules.mode)
    if told and told.approved and proposal:
        outcome = round_.outcome(may_balance=True, rotate=_rotation(world, memory, catalog, now))
        memory.approved = {move.stream: (move.source, move.target) for move in proposal.moves if move.source}
        memory.balanced(world.workers, outcome.moving, rules, now)
        memory.proposed = False
        return Planned(outcome, scores, unchanged=False, judged=True, answer=told, rebalanced=rebalanced)
    memory.proposed = proposal is not None
    return Planned(repairs, scores, unchanged, judged=True, proposal=proposal, answer=told, rebalanced=rebalanced)


def reasons(outcome: Outcome, memory: Memory, poison: frozenset[str]) -> dict[str, str]:
    """Stream → why it moves or has no place; of a hand-over that has begun, the reason for which it began."""
    found = {**outcome.unplaced, **outcome.moving, **memory.triggers}
    found.update(dict.fromkeys(poison, "SuspectedPoison"))
    return found


class _Round:
    """The plans of one round, each made only where it is asked for and not known from the last one."""

    def __init__(
        self,
        world: World,
        memory: Memory,
        standings: Mapping[str, Standing],
        catalog: Mapping[str, Stream],
    ) -> None:
        self._world = world
        self._memory = memory
        self._standings = standings
        self._catalog = catalog

    def plan(self, *, may_balance: bool, rotate: Sequence[str]) -> Plan:
        policy = replace(self._world.rules.policy, may_balance=may_balance, rotate=rotate)
        return self._memory.reuse.get(f"plan {may_balance}", policy, lambda: self._plan(policy))

    def outcome(self, *, may_balance: bool, rotate: Sequence[str]) -> Outcome:
        made = self.plan(may_balance=may_balance, rotate=rotate)
        policy = replace(self._world.rules.policy, may_balance=may_balance, rotate=rotate)
        return self._memory.reuse.get(f"outcome {may_balance}", policy, lambda: self._outcome(made))

    def _plan(self, policy: Policy) -> Plan:
        owners = self._memory.reuse.get("owners", None, self._owners)
        return plan(owners.table, self._memory.candidates, owners, policy)

    def _table(self) -> StreamTable:
        known = self._memory.table
        if known is None or known[0] is not self._catalog:
            known = self._memory.table = (self._catalog, StreamTable(self._catalog))
        return known[1]

    def _owners(self) -> Owners:
        return _owners(self._table(), self._world, self._memory, self._standings)

    def _outcome(self, made: Plan) -> Outcome:
        unplaced = {each.stream: str(each.reason) for each in made.unplaced}
        granted = self._memory.reuse.get("granted", None, lambda: _granted(self._world))
        target = dict(made.target.items())
        # Whatever has a place and is not there yet waits for its last holder, or for the one that may run anything.
        missing = [(i, unplaced.get(i, "HandoverPending")) for i in sorted(self._catalog.keys() - granted)]
        return Outcome(
            plan=made,
            target=target,
            shares=Counter(target.values()),
            unplaced=unplaced,
            moving={move.stream: str(move.trigger) for move in made.moves},
            intended=_intentions(self._world, self._memory, target, granted),
            missing=missing,
            balances=any(move.trigger in BALANCING for move in made.moves),
            balanced=made.balanced,
        )


# --- what a plan is made from -----------------------------------------------------------------------------


def _scores(world: World, memory: Memory, now: float) -> Mapping[str, int]:
    if world.rules.policy.strategy is not Strategy.Performance:
        return {}
    return memory.scores.look(world.workers, world.leases, now)


def _rotation(world: World, memory: Memory, catalog: Mapping[str, Stream], now: float) -> tuple[str, ...]:
    rules = world.rules
    if rules.rotation_s is None or world.catalog is None:
        return ()
    due = memory.rota.due(
        catalog, every_s=rules.rotation_s, cooldown_s=rules.cooldown_s, wall_s=world.wall_s, now=now
    )
    return tuple(i for i in due if i in catalog)


def _candidates(
    world: World, memory: Memory, standings: Mapping[str, Standing], scores: Mapping[str, int]
) -> dict[str, Candidate]:
    uids = {worker.uid for worker in world.workers.values()}
    for uid in memory.capacities.keys() - uids:
        del memory.capacities[uid]
    found = {}
    for name, worker in world.workers.items():
        stands = standings[name]
        if stands.stop:
            continue  # lost to its streams, whatever becomes of it
        candidate = Candidate(
            name=name,
            max_streams=worker.max_streams,
            capabilities=worker.capabilities,
            location=worker.location,
            eligible=stands.accepts,
            # A paused pool begins no drain; what a dead worker held is still given away.
            keeps=stands.keeps or world.rules.paused,
            score_percent=scores.get(name, 100),
            capacity_changed=memory.capacities.setdefault(worker.uid, worker.max_streams) != worker.max_streams,
        )
        known = memory.candidates.workers.get(name)
        found[name] = known if known == candidate else candidate  # the same object, whose columns are known
    return found


def _fingerprint(world: World, memory: Memory, candidates: Mapping[str, Candidate]) -> object:
    """Equal only where a plan is made from the same streams' owners and the same candidates.

    Of an assignment, epoch and hash say what is granted; who edits one by hand is not relied on to change them.
    """
    facts = []
    for name, worker in world.workers.items():
        if worker.tampered:
            return object()
        assignment, stored = worker.assignment, worker.status.get("assignment")
        facts.append(
            (
                candidates.get(name),
                worker.uid,
                assignment.epoch,
                assignment.leader_epoch,
                len(assignment.grants),
                assignment.revoking,
                stored.get("hash") if isinstance(stored, dict) else None,
            )
        )
    return facts, memory.intended, memory.approved, world.rules.deleting


def _note_begun(world: World, memory: Memory) -> None:
    """Approved moves whose stream has left its worker, or whose worker is gone, need not be remembered any more."""
    if not memory.approved:
        return
    workers = world.workers
    memory.approved = {
        i: (source, target)
        for i, (source, target) in memory.approved.items()
        if source in workers and target in workers and i in workers[source].assignment.grants
    }


def _owners(table: StreamTable, world: World, memory: Memory, standings: Mapping[str, Standing]) -> Owners:
    """Who has each stream, or is about to get it, or may have it back."""
    workers = world.workers
    held, several = memory.holdings.look(table, {name: w.assignment.grants for name, w in workers.items()})
    code = {name: n for n, name in enumerate(held.names)}
    owner = held.codes.copy()
    for i in several:
        tokens = {
            name: workers[name].assignment.grants[i].token
            for name in held.names
            if i in workers[name].assignment.grants
        }
        owner[table.index[i]] = code[max(tokens, key=tokens.__getitem__)]

    waiting = {i: name for i, name in memory.intended.items() if name in standings and standings[name].accepts}
    for name in held.names:
        if standings[name].accepts:
            for i in workers[name].assignment.revoking:
                waiting.setdefault(i, name)
    for i, name in waiting.items():
        place = table.index.get(i)
        if place is not None and owner[place] == NOBODY:
            owner[place] = code[name]

    for i, (source, target) in memory.approved.items():
        place = table.index.get(i)
        if place is not None and owner[place] == code[source] and standings[target].accepts:
            owner[place] = code[target]
    return Owners(table, held.names, owner)


# --- what follows from it ---------------------------------------------------------------------------------


def _granted(world: World) -> set[str]:
    return {i for worker in world.workers.values() for i in worker.assignment.grants}


def _intentions(world: World, memory: Memory, target: Mapping[str, str], granted: set[str]) -> dict[str, str]:
    """Where streams are going that are not there yet, so that the next round does not think again."""
    intended = {}
    for name, worker in world.workers.items():
        for i in worker.assignment.grants:
            if target.get(i, name) != name:
                intended[i] = target[i]
        for i in worker.assignment.revoking:
            if i in target:
                intended[i] = target[i]
    for i in memory.intended.keys() - granted:
        if i in target:
            intended[i] = target[i]
    return intended
