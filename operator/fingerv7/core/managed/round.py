"""One round of a managed fleet: from what is there to the steps that bring it nearer to what is wanted.

Pure but for `Memory`, which may be forgotten: without it pods are made again sooner than they might, and a fleet that
scales itself shrinks later.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from fingerv7.api.conditions import WorkersReady as Reason
from fingerv7.contract import DRAIN_FOR_SCALE_DOWN
from fingerv7.core.managed import scale
from fingerv7.core.managed.autoscale import Demand, History, Slack, needed, placeable
from fingerv7.core.managed.lives import Attempts, is_stuck, trouble, was_well
from fingerv7.core.managed.model import (
    ChangeWorker,
    CreateWorker,
    MakePod,
    Mark,
    Member,
    PodReason,
    Problem,
    RemovePod,
    RemoveWorker,
    Step,
    Traits,
    Wanted,
    worker_name,
)
from fingerv7.core.managed.rollout import Begun, Rollout, roll


@dataclass(frozen=True, slots=True)
class Crew:
    """Everything that a round looks at."""

    pool: str
    wanted: Wanted | None
    """None where the pool asks for no workers (any more)."""
    members: Sequence[Member]
    taken: AbstractSet[int] = frozenset()
    """Ordinals whose name a FingerWorker has that the pool does not manage."""
    others: Sequence[Traits] = ()
    """Live workers of the pool that it does not manage."""
    demand: Demand | None = None
    """None while the source was never read."""
    refused: Mapping[str, Problem] = field(default_factory=dict)
    """What became of the last attempt to make a worker's objects, where that was nothing."""
    hindered: Mapping[str, Problem] = field(default_factory=dict)
    """Why something that is to be done cannot be: by worker, or for all of them (no name)."""
    lacking: Mapping[str, Problem] = field(default_factory=dict)
    """By pod UID, what a pod lacks that does not say so itself."""
    blocked: Problem | None = None
    """Why no pod can be made at all."""
    paused: bool = False
    deleting: bool = False
    now: float = 0.0
    """Monotonic seconds."""
    wall_s: float = 0.0
    """Seconds since the epoch, to compare with what the cluster's clocks say."""


@dataclass(slots=True)
class Memory:
    """What a leader remembers from round to round."""

    attempts: Attempts = field(default_factory=Attempts)
    history: History = field(default_factory=History)
    begun: Begun = field(default_factory=Begun)
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a round came to."""

    steps: Sequence[Step]
    desired: int
    min_available: int | None
    """Of the disruption budget; None for no budget."""
    problems: Sequence[Problem]
    rollout: Rollout
    leaving: int
    held_back: bool
    """Whether `paused` keeps the fleet from what is wanted."""
    members: Sequence[Member]
    needed: int | None = None
    """How many would do for the present streams, where the fleet scales itself and they are known."""
    surplus: int = 0
    """How many are more than there are to be, and stay because the streams need them."""

    @property
    def finished(self) -> bool:
        """Whether nothing of a fleet is left."""
        return not self.members


def decide(crew: Crew, memory: Memory) -> Plan:
    """The next steps of the fleet."""
    wanted, members = crew.wanted, crew.members
    if crew.deleting or wanted is None:
        memory.history = History()  # of a fleet that is no more
        return _dissolve(crew)
    if wanted.revision != memory.revision:
        memory.revision = wanted.revision
        memory.attempts.forget_all()
    memory.attempts.keep(frozenset(m.name for m in members) | crew.refused.keys())
    staying = [m for m in members if not m.leaving]
    # Who is deleted by somebody keeps its place until it is gone: then it is made anew.
    present = [m for m in members if not m.leaving or (m.worker.deleting and not m.worker.drain_for)]
    desired, need = _desired(wanted, present, crew, memory)
    # Ordinals that would be next, were they not somebody else's; without autoscaling they keep their places.
    blocked = _places(present, crew, desired).taken
    reserved = 0 if wanted.scaling else len(blocked)
    steps: list[Step] = []
    back: list[Member] = []
    chosen: list[Member] = []
    held_back = False
    excess = len(present) - desired
    if crew.paused:
        held_back = len(present) != desired
    elif excess > 0:
        chosen = [m for m in _spared(present, excess, wanted, crew) if not m.worker.deleting]
        steps += [Mark(m.worker, DRAIN_FOR_SCALE_DOWN) for m in chosen]
        out = {m.name for m in chosen}
        staying = [m for m in staying if m.name not in out]
    else:
        back = _called_back(members, desired - len(present) - reserved)
        steps += [Mark(m.worker, "") for m in back]
        present += back
        places = _places(present, crew, desired)
        on_the_way = {m.ordinal for m in members if m.leaving}
        steps += [
            CreateWorker(name, wanted.traits(name))
            for ordinal in places.free
            if ordinal not in on_the_way and memory.attempts.is_due(name := worker_name(crew.pool, ordinal), crew.now)
        ]
    called_back = {m.name for m in back}
    leaving = [m for m in members if m.leaving and m.name not in called_back]
    steps += [step for m in leaving if (step := _leave(m, crew.wall_s))]
    own = [m for m in staying if not _has_foreign_pod(m)]
    rollout = roll(own, wanted, paused=crew.paused, wall_s=crew.wall_s, begun=memory.begun)
    steps += rollout.steps
    removed = {step.pod.uid for step in steps if isinstance(step, RemovePod)}
    for member in staying:
        steps += _tend(member, wanted, crew, memory, removed)
    held_back = held_back or (crew.paused and rollout.outdated > 0)
    return Plan(
        steps=steps,
        desired=desired,
        min_available=max(0, desired - reserved - 1),
        problems=_problems(crew, staying, blocked, wanted, memory),
        rollout=rollout,
        leaving=len(leaving) + len(chosen),
        held_back=held_back,
        members=members,
        needed=need,
        surplus=0 if crew.paused else max(0, excess - len(chosen)),
    )


def _dissolve(crew: Crew) -> Plan:
    """Nobody is wanted any more: all are drained and go. Deleting the pool drains by itself."""
    marks = [] if crew.deleting or crew.paused else [m for m in crew.members if not m.leaving]
    steps: list[Step] = [Mark(m.worker, DRAIN_FOR_SCALE_DOWN) for m in marks]
    going = crew.members if crew.deleting else [m for m in crew.members if m.leaving]
    steps += [step for m in going if (step := _leave(m, crew.wall_s))]
    held_back = crew.paused and not crew.deleting and any(not m.leaving for m in crew.members)
    return Plan(
        steps, 0, None, _stuck(crew), Rollout(), leaving=len(crew.members), held_back=held_back, members=crew.members
    )


def _stuck(crew: Crew) -> list[Problem]:
    return list(crew.hindered.values()) + [
        problem
        for m in crew.members
        if m.pod and m.pod.terminating and (problem := trouble(m, wall_s=crew.wall_s, progress_s=0.0))
    ]


# --- how many ---------------------------------------------------------------------------------------------


def _desired(wanted: Wanted, present: Collection[Member], crew: Crew, memory: Memory) -> tuple[int, int | None]:
    """How many there are to be, and how many would do now, as far as that is asked and known."""
    scaling = wanted.scaling
    if scaling is None:
        memory.history = History()
        return wanted.replicas, None
    if crew.demand is None:
        return min(max(len(present), scaling.least), scaling.most), None
    fleet = [wanted.traits(m.name) for m in scale.least_useful_first(present)]
    coming = _coming(wanted, present, crew, max(0, scaling.most - len(present)))
    need = needed(crew.demand, fleet, coming, scaling, crew.others)
    settled = memory.history.settle(need, present=len(present), window_s=scaling.window_s, now=crew.now)
    return min(settled, scaling.most), need  # most may have been lowered since


def _coming(wanted: Wanted, present: Collection[Member], crew: Crew, count: int) -> list[Traits]:
    """What the next ones can do: who is called back, and then who is made."""
    back = _called_back(crew.members, count)
    here = {m.ordinal for m in (*present, *back)}
    made = scale.missing(here, crew.taken, len(here) + count - len(back), keep_taken=False).free
    return [wanted.traits(name) for name in (*(m.name for m in back), *(worker_name(crew.pool, n) for n in made))]


def _spared(present: Collection[Member], count: int, wanted: Wanted, crew: Crew) -> list[Member]:
    """Who goes. A fleet that scales itself keeps who can take what others cannot."""
    if wanted.scaling is None:
        return scale.spared(present, count)
    if crew.demand is None:
        return []  # nobody knows who can be spared
    fleet = [*(wanted.traits(m.name) for m in present), *crew.others]
    slack = Slack(placeable(crew.demand, fleet), fleet)
    return scale.spared(present, count, lambda m: slack.spare(wanted.traits(m.name)))


def _places(present: Collection[Member], crew: Crew, desired: int) -> scale.Missing:
    scales_itself = crew.wanted is not None and crew.wanted.scaling is not None
    return scale.missing({m.ordinal for m in present}, crew.taken, desired, keep_taken=not scales_itself)


def _called_back(members: Collection[Member], count: int) -> list[Member]:
    """Of those on their way out, the most useful: they are here already."""
    going = [m for m in members if m.leaving and not m.worker.deleting]
    return scale.least_useful_first(going)[::-1][: max(0, count)]


# --- single members ---------------------------------------------------------------------------------------


def _leave(member: Member, wall_s: float) -> Step | None:
    """First its streams, then its pod, then its FingerWorker, which takes the rest along."""
    pod = None if _has_foreign_pod(member) else member.pod
    if member.holds:
        return None
    if pod is not None and not pod.terminating:
        deleted = member.worker.deleting and not member.worker.drain_for
        return RemovePod(pod, PodReason.WORKER_GONE if deleted else PodReason.SCALE_DOWN)
    if member.worker.deleting or (pod is not None and not is_stuck(pod, wall_s)):
        return None
    return RemoveWorker(member.worker)


def _tend(member: Member, wanted: Wanted, crew: Crew, memory: Memory, removed: AbstractSet[str]) -> list[Step]:
    worker, pod = member.worker, member.pod
    steps: list[Step] = []
    traits = wanted.traits(worker.name)
    if Traits.of(worker) != traits:
        steps.append(ChangeWorker(worker, traits))
    if pod is None:
        if wanted.revision and crew.blocked is None and memory.attempts.is_due(worker.name, crew.now):
            steps.append(MakePod(worker, member.ordinal, _why_made(member)))
        return steps
    if was_well(pod, crew.wall_s):
        memory.attempts.forget(worker.name)
    if pod.terminating or pod.uid in removed or _has_foreign_pod(member):
        return steps
    if pod.ended:
        steps.append(RemovePod(pod, PodReason.ENDED, pod.reason or pod.phase))
    elif pod.owner != worker.uid:
        steps.append(RemovePod(pod, PodReason.WORKER_GONE))
    return steps


def _why_made(member: Member) -> PodReason:
    if member.marked:
        return PodReason.ROLLOUT
    ran_before = member.lease is not None and member.lease.holder
    return PodReason.ENDED if ran_before else PodReason.NEW_WORKER


def _has_foreign_pod(member: Member) -> bool:
    """Whether the pod of that name is no FingerWorker's: it is left alone, whatever its labels say."""
    return member.pod is not None and not member.pod.owner


def _problems(
    crew: Crew, staying: Collection[Member], blocked: Collection[int], wanted: Wanted, memory: Memory
) -> list[Problem]:
    found = [crew.blocked] if crew.blocked else []
    found += crew.hindered.values()
    for ordinal in blocked:
        name = worker_name(crew.pool, ordinal)
        message = (
            f"FingerWorker {name} was declared by somebody else and is left alone; delete it, or give it another "
            "name, and the pool makes its own"
        )
        found.append(Problem(Reason.NAME_TAKEN, message, name))
    present = {m.name for m in staying}
    found += [problem for name, problem in crew.refused.items() if name not in present]
    for m in staying:
        if m.name in crew.hindered:
            continue
        problem = crew.refused.get(m.name) if m.pod is None else None
        left_s = memory.attempts.left_s(m.name, crew.now)
        if m.pod and not m.pod.ready:
            problem = crew.lacking.get(m.pod.uid)
        problem = problem or trouble(m, wall_s=crew.wall_s, progress_s=wanted.progress_s, left_s=left_s)
        if problem:
            found.append(problem)
    return found
