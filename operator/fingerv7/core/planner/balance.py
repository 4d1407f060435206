"""Streams move because the loads are uneven.

Only outside the policy's tolerance, at most so many a round, and only where it helps: what is above a worker's fair
part leaves it, the most loaded worker first, and goes where the load is furthest below. The fair parts are aimed at,
not the edge of the tolerance, because a fleet that stops at the edge is outside it again with the next stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from fingerv7.core.planner.bound import budget
from fingerv7.core.planner.evening import Evening
from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.leaving import above_quota
from fingerv7.core.planner.model import Policy
from fingerv7.core.planner.placement import Placement
from fingerv7.core.planner.shares import Shares, fair_shares

_EPSILON = 1e-9


class Balancing(NamedTuple):
    moved: frozenset[str]
    """The streams that went elsewhere, among them some that this round had only just placed."""
    shares: Shares
    """The fair parts that were aimed at."""


def balance(fleet: Fleet, current: Mapping[str, str], policy: Policy, demand: Sequence[int]) -> Balancing | None:
    """Even out the loads, where that is called for, allowed, and helps. `demand` is the weight by class on open
    workers.
    """
    if not policy.may_balance or tolerable(fleet, policy, demand):
        return None
    for spare in (True, False):
        shares = fair_shares(fleet, demand, spare=spare)
        leaving_at_most = budget(fleet, policy)
        while leaving_at_most:
            moved, ran_out = _attempt(fleet, shares, current, policy, leaving_at_most)
            if moved:
                return Balancing(moved, shares)
            # Where streams only get through by moving others aside, part of the budget must be left for those.
            leaving_at_most = leaving_at_most // 2 if ran_out else 0
    return None


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
    fleet: Fleet, shares: Shares, current: Mapping[str, str], policy: Policy, leaving_at_most: int
) -> tuple[frozenset[str], bool]:
    """Answer what was moved, if that helped, and else whether it may help to let fewer streams leave."""
    before = _unevenness(fleet, shares)
    owners, used, bytes_used = fleet.owner.copy(), fleet.used.copy(), fleet.bytes_used.copy()

    def spent(ids: Iterable[str]) -> int:
        """Moves of streams that live where they were."""
        was = ((stream_id, owners[stream_id]) for stream_id in ids if fleet.owner.get(stream_id) != owners[stream_id])
        return sum(current.get(stream_id) == fleet.names[home] for stream_id, home in was)

    leaving, cut = above_quota(fleet, shares, current, leaving_at_most)
    for stream_id in leaving:
        fleet.take(stream_id)
    placement = Placement(fleet, shares, current, leaving)
    for stream_id in placement.within_quotas(budget(fleet, policy) - spent(leaving)):
        fleet.put(owners[stream_id], stream_id)
    touched = {*leaving, *placement.made_room}
    if any(c.weight != fleet.unit for c in fleet.classes):
        evening = Evening(fleet, shares)
        evening.run(budget(fleet, policy) - spent(touched), policy.imbalance_threshold_percent / 100)
        touched |= evening.touched
    moved = frozenset(stream_id for stream_id in touched if fleet.owner[stream_id] != owners[stream_id])
    # Returning home may exceed the bytes there, when something larger took the place meanwhile.
    sound = all(b <= most for b, most in zip(fleet.bytes_used, fleet.byte_capacity, strict=True))
    if moved and sound and _helps(before, _unevenness(fleet, shares), partly=cut or placement.ran_out):
        return moved, False
    fleet.owner, fleet.used, fleet.bytes_used = owners, used, bytes_used
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
