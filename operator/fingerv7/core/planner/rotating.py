"""Streams change workers because their time is over, and loads stay as they are.

Streams of one class whose time is over take each other's places, so that every worker has as many of each class as
before. One that finds nobody to change places with goes where loads stay within tolerance, or waits.
"""

from __future__ import annotations

import numpy as np

from fingerv7.core.planner.arrays import Ints, none
from fingerv7.core.planner.fairness import fair_parts, may_move
from fingerv7.core.planner.fleet import Fleet

_EPSILON = 1e-6
_PASSES = 64
"""So often those who had no turn yet are asked, for as long as the budget lasts."""
_ALONE = 256
"""At most so many of those that find no partner are looked at in a pass."""


def rotate(fleet: Fleet) -> Ints:
    """Move streams whose time is over, within the budget; answer them."""
    p = fleet.problem
    due = np.array([p.index[stream] for stream in p.policy.rotate if stream in p.index], np.int64)
    if not len(due) or not p.policy.may_balance:
        return none()
    owners = fleet.owner[due]
    due = due[(owners >= 0) & p.is_open[np.maximum(owners, 0)]]
    before, budget, alone = fleet.owner.copy(), fleet.budget, none()
    for _ in range(_PASSES):
        if budget <= 0 or not len(due):
            break
        # Who waits for a partner does not keep others from their turn: half of those who try are new.
        trying = np.concatenate((alone[: budget // 2], due[: budget - min(len(alone), budget // 2)]))
        due = due[budget - min(len(alone), budget // 2) :]
        moved, alone = _rotate(fleet, trying)
        budget -= moved
    return np.flatnonzero(fleet.owner != before)


def _rotate(fleet: Fleet, due: Ints) -> tuple[int, Ints]:
    """Move these; answer how many did, and the others."""
    with fleet.attempt() as attempt:
        alone = _change_places(fleet, due)
        attempt.keep()
    if attempt.kept:
        _move_within_tolerance(fleet, alone[:_ALONE])
    stayed: Ints = due[fleet.owner[due] == attempt.owner[due]]
    return len(due) - len(stayed), stayed


def _change_places(fleet: Fleet, due: Ints) -> Ints:
    """Those that found nobody to change places with, most urgent first."""
    p = fleet.problem
    alone: list[int] = []
    urgency = {stream: n for n, stream in enumerate(due.tolist())}
    for c in np.unique(p.stream_class[due]).tolist():
        mine = due[p.stream_class[due] == c]
        owners = fleet.owner[mine]
        workers, counts = np.unique(owners, return_counts=True)
        most = int(counts.max())
        if 2 * most > len(mine):
            # More than half of them live on one worker: not all of those find a place that others leave.
            crowded = np.flatnonzero(owners == workers[counts.argmax()])
            late = crowded[len(mine) - most :]
            alone += mine[late].tolist()
            mine = np.delete(mine, late)
            most = len(mine) // 2
        if len(mine):
            mine = mine[np.argsort(fleet.owner[mine], kind="stable")]
            # Sorted by worker, nobody's neighbour at this distance lives on the same one.
            targets = np.roll(fleet.take(mine), most)
            fleet.put(mine, targets)
    return np.array(sorted(alone, key=urgency.__getitem__), np.int64)


def _move_within_tolerance(fleet: Fleet, streams: Ints) -> None:
    p = fleet.problem
    if not len(streams):
        return
    fair, allowed = fair_parts(fleet).exact, may_move(p)
    tolerance = np.maximum(p.policy.max_stream_difference, p.capacity * p.policy.imbalance_threshold_percent / 100)
    tolerance += _EPSILON
    for stream in streams.tolist():
        weight, source = int(p.weight[stream]), int(fleet.owner[stream])
        if fair[source] - (fleet.used[source] - weight) > tolerance[source]:
            continue
        after = fleet.used + weight
        fits = allowed[p.block[stream]][p.kind] & p.is_open & (after <= p.capacity) & (after - fair <= tolerance)
        if p.bytes_bind:
            fits &= fleet.bytes_used + p.sizes[stream] <= p.byte_capacity
        fits[source] = False
        targets = np.flatnonzero(fits)
        if len(targets):
            one = np.array([stream])
            fleet.take(one)
            fleet.put(one, targets[[int(((after - fair)[targets] / p.capacity[targets]).argmin())]])
