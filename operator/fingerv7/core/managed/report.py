"""What a StreamPool's status says about its managed workers: the condition WorkersReady, and counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fingerv7.api.conditions import PoolCondition
from fingerv7.api.conditions import WorkersReady as Reason
from fingerv7.api.pool_status import StreamPoolStatus
from fingerv7.core.managed.model import Problem
from fingerv7.core.managed.objects import selector
from fingerv7.core.managed.round import Crew, Plan
from fingerv7.core.status import Condition

NAMES = 3
"""As many workers are named where many have the same trouble."""
ORDER = tuple(Reason)
HARMLESS = frozenset({Reason.AS_WANTED, Reason.STARTING, Reason.SCALING_DOWN, Reason.ROLLING_OUT, Reason.PAUSED})


@dataclass(frozen=True, slots=True)
class Report:
    """What is shown of a fleet."""

    condition: Condition | None
    """None where there is no fleet."""
    fields: dict[str, Any]
    """Of the status; null takes out."""
    troubles: Sequence[tuple[Reason, str]]
    """Every reason that something is wrong, with its sentence: an Event each."""


FIELDS = ("replicas", "readyReplicas", "updatedReplicas", "desiredReplicas", "selector")
NOTHING = Report(None, dict.fromkeys(FIELDS), ())


def as_stored(status: StreamPoolStatus) -> Report:
    """What is shown already: a new leader leaves it there until it knows better."""
    stored = status.dump()
    conditions = [
        Condition(each.type, each.status == "True", each.reason, each.message)
        for each in status.conditions
        if each.type == PoolCondition.WORKERS_READY
    ]
    return Report(conditions[0] if conditions else None, {key: stored.get(key) for key in FIELDS}, ())


def report(crew: Crew, plan: Plan) -> Report:
    """The condition and counts of one round."""
    if crew.wanted is None and plan.finished:
        return NOTHING
    in_service = sum(1 for m in plan.members if m.in_service)
    revision = crew.wanted.revision if crew.wanted else ""
    fields = {
        "replicas": len(plan.members),
        "readyReplicas": in_service,
        "updatedReplicas": sum(1 for m in plan.members if m.pod and revision and m.pod.revision == revision),
        "desiredReplicas": plan.desired,
        "selector": ",".join(f"{key}={value}" for key, value in selector(crew.pool).items()),
    }
    troubles = _troubles(crew, plan)
    reason, sentence = troubles[0] if troubles else _under_way(crew, plan, in_service)
    shown = f"{in_service} of {_count(plan.desired, 'worker')} in service"
    more = f"; also {', '.join(sorted({each for each, _ in troubles[1:]}))}" if len(troubles) > 1 else ""
    message = f"{shown}; {sentence}{more}" if sentence else shown
    condition = Condition(PoolCondition.WORKERS_READY, reason is Reason.AS_WANTED, reason, message)
    return Report(condition, fields, troubles)


def _troubles(crew: Crew, plan: Plan) -> list[tuple[Reason, str]]:
    """By reason, what concerns all before what concerns many before what concerns few."""
    found: list[tuple[Reason, str]] = []
    if plan.rollout.late and crew.wanted:
        names = _names(plan.rollout.late)
        left = f"{_count(plan.rollout.outdated, 'worker')} keep their old pod" if plan.rollout.outdated else ""
        said = next((f" ({each.message})" for each in plan.problems if each.worker in plan.rollout.late), "")
        waited = f"the new pod of {names} crashes, or is not in service after {crew.wanted.progress_s:.0f} s{said}"
        sentence = (
            f"the rollout stopped: {waited}{'; ' + left if left else ''}; it goes on when that pod is in service, or "
        )
        found.append((Reason.ROLLOUT_STOPPED, f"{sentence}with another template"))
    by_reason: dict[Reason, list[Problem]] = {}
    for problem in plan.problems:
        by_reason.setdefault(problem.reason, []).append(problem)
    ordered = sorted(
        by_reason.items(), key=lambda item: (bool(item[1][0].worker), -len(item[1]), ORDER.index(item[0]))
    )
    return found + [(reason, _sentence(problems)) for reason, problems in ordered]


def _sentence(problems: Sequence[Problem]) -> str:
    first = problems[0]
    if not first.worker:
        return first.message
    return f"{_names([each.worker for each in problems])}: {first.message}"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES])
    return shown if len(names) <= NAMES else f"{shown} and {len(names) - NAMES} more"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _under_way(crew: Crew, plan: Plan, in_service: int) -> tuple[Reason, str]:
    if plan.held_back:
        return Reason.PAUSED, "the pool is paused, so that the fleet is not changed"
    if plan.rollout.under_way:
        now = [m.name for m in plan.members if m.marked]
        doing = f", now {_names(now)}" if now else ""
        return Reason.ROLLING_OUT, f"{_count(plan.rollout.outdated, 'pod')} to be replaced{doing}"
    if plan.leaving:
        return Reason.SCALING_DOWN, f"{_count(plan.leaving, 'worker')} drained and removed"
    if plan.surplus:
        more = f"{_count(plan.surplus, 'worker')} more than wanted"
        known = crew.demand is not None
        why = "others have no room for their streams" if known else "the streams were not read yet"
        return Reason.SCALING_DOWN, f"{more} {'stays' if plan.surplus == 1 else 'stay'}, because {why}"
    drained = [m.name for m in plan.members if m.worker.drain and not m.in_service]
    if in_service + len(drained) < plan.desired:
        waiting = [m.name for m in plan.members if not m.in_service and not m.worker.drain]
        sentence = f"waiting for {_names(waiting)}" if waiting else "workers are being made"
        return Reason.STARTING, sentence
    if drained:
        return Reason.AS_WANTED, f"{_names(drained)} drained by its spec.drain"
    if crew.wanted and crew.wanted.scaling:
        scaling = crew.wanted.scaling
        return Reason.AS_WANTED, f"autoscaling between {scaling.least} and {scaling.most}"
    return Reason.AS_WANTED, ""
