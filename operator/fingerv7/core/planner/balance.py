"""Streams move because the loads are uneven.

Only outside the policy's tolerance, at most so many a round, and only where it helps: what is above a worker's fair
part leaves it, the most loaded worker first, and goes where the load is furthest below. The fair parts are aimed at,
not the edge of the tolerance, because a fleet that stops at the edge is outside it again with the next stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from fingerv7.core.planner.bound import budget
from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.model import Policy
from fingerv7.core.planner.placement import Placement
from fingerv7.core.planner.shares import Shares, fair_shares

_EPSILON = 1e-9


def balance(fleet: Fleet, current: Mapping[str, str], policy: Policy, demand: Sequence[int]) -> frozenset[str]:
    """Even out the loads, where that is called for, allowed, and helps; answer the streams that moved, among them
    some that this round had only just placed. `demand` is the weight by class on open workers.
    """
    moved: frozenset[str] = frozenset()
    if not policy.may_balance or tolerable(fleet, policy, demand):
        return moved
    shares = fair_shares(fleet, demand)
    leaving_at_most = moves = budget(fleet, policy)
    while not moved and leaving_at_most:
        moved, ran_out = _attempt(fleet, shares, current, moves, leaving_at_most)
        # Where streams only get through by moving others aside, part of the budget must be left for those.
        leaving_at_most = leaving_at_most // 2 if ran_out else 0
    return moved


def tolerable(fleet: Fleet, policy: Policy, demand: Sequence[int]) -> bool:
    """Whether the loads are within tolerance, or as even up to that as the capabilities allow."""

    def within(fair: Sequence[float] | None) -> bool:
        imbalance, difference = fleet.spread(fleet.used, fair)
        return (
            imbalance * 100 <= policy.imbalance_threshold_percent + _EPSILON
            or difference <= policy.max_stream_difference + _EPSILON
        )

    if within(None):
        return True
    shares = fair_shares(fleet, demand)
    # Whole streams cannot be shared more evenly than to the next one.
    rounded = all(shares.floors[i] <= fleet.used[i] <= shares.ceilings[i] for i in fleet.open)
    return rounded or within(shares.loads)


def _attempt(
    fleet: Fleet, shares: Shares, current: Mapping[str, str], moves: int, leaving_at_most: int
) -> tuple[frozenset[str], bool]:
    """Answer what was moved, if that helped, and whether the budget stood in the way of more."""
    before = _unevenness(fleet, shares)
    used, bytes_used = fleet.used.copy(), fleet.bytes_used.copy()
    leaving, cut = _above_quota(fleet, shares, current, leaving_at_most)
    origin = {stream_id: fleet.take(stream_id) for stream_id in leaving}
    moves -= sum(current.get(stream_id) == fleet.names[home] for stream_id, home in origin.items())
    owners = dict(fleet.owner)
    placement = Placement(fleet, shares, current, leaving)
    for stream_id in placement.within_quotas(moves):
        fleet.put(origin[stream_id], stream_id)
    origin.update((stream_id, owners[stream_id]) for stream_id in placement.made_room)
    moved = frozenset(stream_id for stream_id, home in origin.items() if fleet.owner[stream_id] != home)
    # Returning home may exceed the bytes there, when something larger took the place meanwhile.
    sound = all(b <= most for b, most in zip(fleet.bytes_used, fleet.byte_capacity, strict=True))
    if moved and sound and _helps(before, _unevenness(fleet, shares), partly=cut or placement.ran_out):
        return moved, False
    fleet.owner.update(origin)
    fleet.used[:], fleet.bytes_used[:] = used, bytes_used
    return frozenset(), placement.ran_out


class _Unevenness(NamedTuple):
    from_mean: float
    from_fair: float
    total: float
    """Weight above or below the fair parts, over all workers."""


def _unevenness(fleet: Fleet, shares: Shares) -> _Unevenness:
    away = sum(abs(fleet.used[i] - shares.loads[i] * fleet.capacity[i]) for i in fleet.open)
    return _Unevenness(fleet.spread(fleet.used)[0], fleet.spread(fleet.used, shares.loads)[0], away)


def _helps(before: _Unevenness, after: _Unevenness, *, partly: bool) -> bool:
    """A step that the budget cut short need not reach the worst worker yet, but it must come nearer."""
    if after.from_mean > before.from_mean + _EPSILON:
        return False
    if after.from_mean < before.from_mean - _EPSILON or after.from_fair < before.from_fair - _EPSILON:
        return True
    return partly and after.from_fair <= before.from_fair + _EPSILON and after.total < before.total - _EPSILON


def _above_quota(fleet: Fleet, shares: Shares, current: Mapping[str, str], at_most: int) -> tuple[list[str], bool]:
    """Which streams leave workers that have more than their quota, and whether there would have been more.

    At most so many that live there; what this round has only just placed moves for nothing, and goes first.
    """
    surplus = {i: fleet.used[i] - shares.quotas[i] for i in fleet.open if fleet.used[i] > shares.quotas[i]}
    held = fleet.held_by(set(surplus))
    lowest = [min((shares.loads[fleet.members[k][0]] for k in c.kinds), default=0.0) for c in fleet.classes]

    def reluctance(stream_id: str) -> tuple[bool, float, int, bool, str]:
        worker, stream = fleet.owner[stream_id], fleet.streams[stream_id]
        return (
            current.get(stream_id) == fleet.names[worker],
            lowest[fleet.class_of(stream_id)],
            -stream.weight,
            bool(stream.location) and stream.location == fleet.workers[worker].location,
            stream_id,
        )

    def above(worker: int) -> float:
        excess = surplus[worker] - shares.loads[worker] * fleet.capacity[worker] + shares.quotas[worker]
        return -excess / fleet.capacity[worker]

    queues = {i: sorted(ids, key=reluctance, reverse=True) for i, ids in held.items()}
    heap = [(above(i), i) for i in queues]
    heapify(heap)
    leaving: list[str] = []
    while heap:
        i = heap[0][1]
        queue = queues[i]
        while queue and fleet.weight(queue[-1]) > surplus[i]:
            queue.pop()
        if not queue:
            heappop(heap)
            continue
        stream_id = queue.pop()
        if current.get(stream_id) == fleet.names[i]:
            if not at_most:
                return leaving, True
            at_most -= 1
        surplus[i] -= fleet.weight(stream_id)
        leaving.append(stream_id)
        heapreplace(heap, (above(i), i))
    return leaving, False
