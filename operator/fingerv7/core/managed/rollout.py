"""Whose pod is replaced now, and when a rollout stops.

A worker is emptied first: it is marked, its streams move as in any drain, and only then is its pod deleted and made
anew. It counts as out of service until the new pod follows, may have streams again, and was ready for a while.
Who was not well before is replaced at once and waited for, but does not stop the rollout.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from fingerv7.contract import DRAIN_FOR_ROLLOUT
from fingerv7.core.managed.lives import WELL_AFTER_S, is_crashing, is_stuck
from fingerv7.core.managed.model import Mark, Member, Pod, PodReason, RemovePod, Step, Wanted


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


@dataclass(slots=True)
class Begun:
    """Which workers a rollout took, by name, until their new pod was well. A new leader knows the marked only."""

    in_service: set[str] = field(default_factory=set)
    unwell: set[str] = field(default_factory=set)
    """Not in service before."""


def roll(
    members: Collection[Member], wanted: Wanted, *, paused: bool, wall_s: float, begun: Begun | None = None
) -> Rollout:
    """The next steps for members that stay. `wall_s`: seconds since the epoch."""
    if not wanted.revision:
        # Nothing could replace what is deleted.
        return Rollout([Mark(m.worker, "") for m in members if m.marked and m.pod and not m.pod.terminating])
    look = _Look(wanted, wall_s, begun or Begun())
    look.remember(members)
    outdated = [m for m in members if m.pod and m.pod.revision != wanted.revision]
    under_way = bool(outdated) or any(m.marked for m in members)
    late = tuple(m.name for m in members if look.is_late(m)) if under_way else ()
    steps: list[Step] = [step for m in members if m.marked and (step := _go_on(m, wanted, stopped=bool(late)))]
    if not paused and not late:
        steps += _begin(members, [m for m in outdated if not m.marked], look)
    return Rollout(steps, len(outdated), under_way, late)


def soak_s(wanted: Wanted) -> float:
    """How long a new pod must have been ready to count as in service: each crash begins that anew."""
    return min(WELL_AFTER_S, wanted.progress_s / 10)


class _Look:
    """How the members stand, for a rollout."""

    def __init__(self, wanted: Wanted, wall_s: float, begun: Begun) -> None:
        self.wanted, self.wall_s, self.begun = wanted, wall_s, begun

    def remember(self, members: Collection[Member]) -> None:
        begun = self.begun
        done = {m.name for m in members if self._is_new(m.pod) and self._is_well(m)}
        names = {m.name for m in members} - done
        begun.unwell &= names
        begun.in_service &= names
        begun.in_service |= {m.name for m in members if m.marked} - begun.unwell - done

    def is_late(self, member: Member) -> bool:
        pod = member.pod
        if pod is None or pod.terminating or not self._is_new(pod) or member.name in self.begun.unwell:
            return False
        if is_crashing(pod):
            return True
        if member.name not in self.begun.in_service or self._is_well(member):
            return False
        # From its creation on: a pod that crashes is ready, and not ready, since a moment ago for ever.
        return self.wall_s - pod.created_s >= self.wanted.progress_s + (soak_s(self.wanted) if pod.ready else 0.0)

    def is_away(self, member: Member) -> bool:
        """Whether it uses up what may be unavailable."""
        if member.worker.drain or self._is_given_up(member):
            return False  # out of service for another reason
        return not member.in_service or (self._is_new(member.pod) and not self._is_well(member))

    def _is_given_up(self, member: Member) -> bool:
        """Whether it is not waited for: it was not in service before, and the present template did not mend it."""
        pod = member.pod
        if pod is None or member.in_service:
            return False
        if pod.terminating or not self._is_new(pod):
            return is_stuck(pod, self.wall_s)
        if member.name in self.begun.unwell:
            return self.wall_s - pod.created_s >= self.wanted.progress_s
        is_old_trouble = not pod.ready and self.wall_s - pod.changed_s >= self.wanted.progress_s
        return is_old_trouble and member.name not in self.begun.in_service

    def _is_new(self, pod: Pod | None) -> bool:
        return pod is not None and pod.revision == self.wanted.revision

    def _is_well(self, member: Member) -> bool:
        pod = member.pod
        if pod is None or not pod.ready or self.wall_s - pod.changed_s < soak_s(self.wanted):
            return False
        return member.follows or not member.marked


def _go_on(member: Member, wanted: Wanted, *, stopped: bool) -> Step | None:
    """The next step of a replacement that has begun."""
    pod = member.pod
    if pod is None or pod.terminating:
        return None
    if pod.revision == wanted.revision:
        return Mark(member.worker, "") if member.follows else None
    if stopped:
        return Mark(member.worker, "")  # its old pod goes on
    return None if member.holds else RemovePod(pod, PodReason.ROLLOUT)


def _begin(members: Collection[Member], outdated: Collection[Member], look: _Look) -> list[Step]:
    most = look.wanted.max_unavailable
    away = sum(1 for m in members if look.is_away(m))
    # Who is unwell may be back in a moment, and so may a hundred of them: they are not all emptied then.
    emptied = sum(1 for m in members if m.marked and m.name not in look.begun.unwell)
    steps: list[Step] = []
    for member in sorted(outdated, key=lambda m: (m.in_service, m.ordinal)):
        pod = member.pod
        if pod is None or pod.terminating:
            continue
        # Also what holds nothing is marked first, or it might be granted something while its pod is deleted.
        if not pod.ready and not member.holds:
            look.begun.unwell.add(member.name)
        elif emptied < most and (not member.in_service or away < most):
            away += member.in_service
            emptied += 1
            (look.begun.in_service if member.in_service else look.begun.unwell).add(member.name)
        else:
            continue
        steps.append(Mark(member.worker, DRAIN_FOR_ROLLOUT))
    return steps
