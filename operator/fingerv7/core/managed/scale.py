"""Which workers there are to be, and who goes first when there are too many."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from fingerv7.core.managed.model import MAX_ORDINAL, Member

ORDINARY = 100
"""The performance score of a worker that nobody has measured."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Ordinals to make a worker for, and those whose name somebody else has."""

    free: Sequence[int]
    taken: Sequence[int]


def missing(present: Collection[int], taken: Collection[int], replicas: int, *, keep_taken: bool = True) -> Missing:
    """The lowest ordinals that are not `present`, until there are `replicas`.

    A name that somebody else has (`taken`) keeps its place: the next number may have no VPN account, and who declared
    that worker may not know. A fleet that scales itself (not `keep_taken`) needs the places, whatever their numbers.
    """
    free: list[int] = []
    blocked: list[int] = []
    for ordinal in range(1, MAX_ORDINAL + 1):
        if len(present) + len(free) + keep_taken * len(blocked) >= replicas:
            break
        if ordinal not in present:
            (blocked if ordinal in taken else free).append(ordinal)
    return Missing(free, blocked)


def least_useful_first(members: Collection[Member]) -> list[Member]:
    """Who can be spared: without a ready pod, then slow, small, idle ones; of equals the highest number."""
    return sorted(members, key=_usefulness)


def spared(
    members: Collection[Member], count: int, may_go: Callable[[Member], bool] = lambda _: True
) -> list[Member]:
    """At most `count` members to do without; `may_go` is asked once for each and counts on those that may."""
    chosen: list[Member] = []
    for member in least_useful_first(members):
        if len(chosen) >= count:
            break
        if may_go(member):
            chosen.append(member)
    return chosen


def _usefulness(member: Member) -> tuple[bool, bool, int, int, int, int]:
    worker, pod = member.worker, member.pod
    measured = worker.status.get("performanceScorePercent")
    score = worker.score_percent or (measured if isinstance(measured, int) else ORDINARY)
    held = len(worker.assignment.grants) + len(worker.assignment.revoking)
    is_ready = pod is not None and pod.ready and not pod.terminating
    # Who goes already is no loss.
    return (not worker.deleting, is_ready, score, worker.max_streams, held, -member.ordinal)
