"""Whose pod is replaced now, and when a rollout stops.

A healthy worker is emptied first: it is marked, its streams move as in any drain, and only then is its pod deleted
and made anew. It counts as out of service until the new pod follows and may have streams again. A pod that is not
well and has nothing to give away is replaced at once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from fingerv7.contract import DRAIN_FOR_ROLLOUT
from fingerv7.core.managed.model import Mark, Member, RemovePod, Step, Wanted

REPLACED = "it is replaced by one from the present template"


@dataclass(frozen=True, slots=True)
class Rollout:
    """What a look at the pods' revisions comes to."""

    steps: list[Step] = field(default_factory=list)
    outdated: int = 0
    """Members whose pod is not from the present template."""
    under_way: bool = False
    late: tuple[str, ...] = ()
    """Members whose new pod did not come into service in time: nothing more is replaced until it does, or until the
    template changes."""


def roll(members: Collection[Member], wanted: Wanted, *, paused: bool, wall_s: float) -> Rollout:
    """The next steps for members that stay. `wall_s`: seconds since the epoch."""
    if not wanted.revision:
        return Rollout()
    outdated = [m for m in members if m.pod and m.pod.revision != wanted.revision]
    under_way = bool(outdated) or any(m.marked for m in members)
    late = tuple(m.name for m in members if _is_late(m, wanted, wall_s)) if under_way else ()
    steps: list[Step] = [step for m in members if m.marked and (step := _go_on(m, wanted, stopped=bool(late)))]
    if not paused and not late:
        steps += _begin(members, [m for m in outdated if not m.marked], wanted)
    return Rollout(steps, len(outdated), under_way, late)


def _is_late(member: Member, wanted: Wanted, wall_s: float) -> bool:
    pod = member.pod
    if pod is None or pod.terminating or pod.revision != wanted.revision or pod.ready:
        return False
    return wall_s - pod.changed_s >= wanted.progress_s


def _go_on(member: Member, wanted: Wanted, *, stopped: bool) -> Step | None:
    """The next step of a replacement that has begun."""
    pod = member.pod
    if pod is None or pod.terminating:
        return None
    if pod.revision == wanted.revision:
        return Mark(member.worker, "") if member.follows else None
    if stopped:
        return Mark(member.worker, "")  # its old pod goes on
    return None if member.holds else RemovePod(pod, REPLACED)


def _begin(members: Collection[Member], outdated: Collection[Member], wanted: Wanted) -> list[Step]:
    # Who drains because a user said so is out of service for another reason.
    away = sum(1 for m in members if not m.in_service and not m.worker.drain)
    # Who is unwell may be back in a moment, and so may a hundred of them: they are not all emptied then.
    emptied = sum(1 for m in members if m.marked)
    steps: list[Step] = []
    for member in sorted(outdated, key=lambda m: (m.in_service, m.ordinal)):
        pod = member.pod
        if pod is None or pod.terminating:
            continue
        if not pod.ready and not member.holds:
            steps.append(RemovePod(pod, REPLACED))
        elif emptied < wanted.max_unavailable and (not member.in_service or away < wanted.max_unavailable):
            away += member.in_service
            emptied += 1
            steps.append(Mark(member.worker, DRAIN_FOR_ROLLOUT))
    return steps
