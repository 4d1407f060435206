"""Streams without a worker find one.

First only amounts are decided, of each block to each kind of workers (`flow`); then how many streams of each weight
go to each worker, heavy ones first, each to where the load is lowest; and in the end which stream that is.
"""

from __future__ import annotations

import numpy as np

from fingerv7.core.planner.arrays import Bools, Codes, Floats, Ints, code_type, counts, joined, ranks, sums
from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.flow import Flow, scarce_first
from fingerv7.core.planner.model import Strategy
from fingerv7.core.planner.water import pour

_TRIES = 4
_EPSILON = 1e-6


def place(fleet: Fleet, waiting: Ints, limit: Ints, *, all_that_fit: bool = True) -> Ints:
    """Give `waiting` (in order of precedence) places up to `limit` (W,) weight; answer those that got none.

    What does not fit to the last bit in amounts may fit in streams of another weight, hence several tries; unless
    the others have a place to return to, so that not `all_that_fit` need be placed.
    """
    for _ in range(_TRIES if all_that_fit else 1):
        if not len(waiting):
            break
        left = _place(fleet, waiting, limit, all_that_fit=all_that_fit)
        if len(left) == len(waiting):
            break
        waiting = left
    return waiting


def bring_home(fleet: Fleet, streams: Ints) -> Ints:
    """Move streams to workers of their own location where these have room; answer where they were before.

    They may take the places that others of them leave. Where one then finds no home, and no room either where it was,
    all of it is done anew without those that found none.
    """
    p = fleet.problem
    before: Ints = fleet.owner[streams].astype(np.int64)
    limit = p.capacity * p.policy.target_load_percent // 100
    may_take, homes = fleet.may_take, before
    while len(streams):
        with fleet.attempt() as attempt:
            fleet.take(streams)
            fleet.may_take = p.may_take & p.at_home
            back = np.isin(streams, place(fleet, streams, limit))
            fleet.may_take = may_take
            fleet.put(streams[back], homes[back])
            if attempt.keep():
                break
        streams, homes = streams[~back], homes[~back]
    return before


def _place(fleet: Fleet, waiting: Ints, limit: Ints, *, all_that_fit: bool) -> Ints:
    p = fleet.problem
    classes = p.stream_class[waiting]
    if p.blocks > 1 or len(p.weights) > 1:
        order = np.argsort(classes, kind="stable")
        waiting, classes = waiting[order], classes[order]
    shape = len(p.weights), p.blocks
    asked = counts(classes, shape[0] * shape[1]).reshape(shape)
    flow, admitted = allot(fleet, asked, limit, all_that_fit=all_that_fit)
    if not admitted.any():
        return waiting
    left: list[Ints] = []
    if admitted is not asked:
        # Of a class that is not admitted whole, those who come first are.
        chosen = ranks(classes) < np.take(admitted, classes)
        left = [waiting[~chosen]]
        waiting = waiting[chosen]
    start = 0
    for rank, kinds in enumerate(_split(admitted, p.weights, flow)):
        end = start + int(admitted[rank].sum())
        if end > start:
            left.append(pack(fleet, waiting[start:end], kinds, int(p.weights[rank]), limit))
        start = end
    return joined(left)


def allot(fleet: Fleet, asked: Ints, limit: Ints, *, all_that_fit: bool) -> tuple[Flow, Ints]:
    """Amounts of each block for each kind, and how many streams of each class (J, B) that admits."""
    p = fleet.problem
    blocks = np.flatnonzero(asked.any(axis=0))
    flow, home = open_flow(fleet, limit), _home_limit(fleet, asked, limit)
    capacity = sums(p.kind, p.capacity, p.kinds)
    demand = p.weights @ asked
    order = scarce_first(fleet.may_take, capacity, blocks.tolist())
    lacking = _pour_all(fleet, flow, order, demand.astype(np.float64), home)
    if lacking.any() and len(p.weights) > 1 and all_that_fit:
        # Not everything fits. As many streams as possible do when light ones go first: what can be poured is a
        # polymatroid, on which going by value per weight is the best that can be done (J. Edmonds, 1970).
        flow = open_flow(fleet, limit)
        admitted = np.zeros_like(asked)
        for rank in range(len(p.weights) - 1, -1, -1):
            wanted = p.weights[rank] * asked[rank]
            left = _pour_all(fleet, flow, [b for b in order if wanted[b]], wanted.astype(np.float64), home)
            admitted[rank] = np.floor((wanted - left) / p.weights[rank] + _EPSILON)
        return flow, admitted
    if all_that_fit:
        # Otherwise the limits are fair parts, which make loads even.
        _even_out(fleet, flow, lacking)
    if not lacking.any():
        return flow, asked
    part = (demand - lacking) / np.maximum(demand, 1)
    return flow, np.floor(asked * part + _EPSILON).astype(np.int64)


def open_flow(fleet: Fleet, limit: Ints) -> Flow:
    """A flow with what each kind holds now and has room for up to `limit`."""
    p = fleet.problem
    room = sums(p.kind, np.maximum(limit - fleet.used, 0), p.kinds)
    return Flow(
        fleet.may_take,
        sums(p.kind, fleet.used, p.kinds),
        room,
        sums(p.kind, p.strength, p.kinds),
    )


def _home_limit(fleet: Fleet, asked: Ints, limit: Ints) -> Floats:
    """(K,) up to which load a kind takes streams of its own location first."""
    p = fleet.problem
    if p.policy.strategy is Strategy.Location:
        return sums(p.kind, limit, p.kinds)
    width = sums(p.kind, p.strength, p.kinds)
    strength = float(p.strength[fleet.open].sum())
    total = float(fleet.used[fleet.open].sum() + (p.weights @ asked).sum())
    return width * (total / strength if strength else 0.0)


def _pour_all(fleet: Fleet, flow: Flow, order: list[int], demand: Floats, home: Floats) -> Floats:
    """(B,) what found no room."""
    p = fleet.problem
    lacking: Floats = np.zeros(p.blocks)
    near = fleet.may_take & p.at_home
    has_home: Bools = np.any(near, axis=1)
    for b in order:
        lacking[b] = demand[b]
        if has_home[b]:
            lacking[b] = flow.pour(b, demand[b], near[b], home - flow.used)
    for b in order:
        if lacking[b] > 0:
            lacking[b] = flow.pour(b, lacking[b], fleet.may_take[b])
    for b in order:
        if lacking[b] > _EPSILON:
            lacking[b] = flow.augment(b, lacking[b], fleet.may_take)
    lacking[lacking <= _EPSILON] = 0.0
    return lacking


def _even_out(fleet: Fleet, flow: Flow, lacking: Floats) -> None:
    p = fleet.problem
    if p.kinds < 2:
        return
    home = fleet.may_take & p.at_home
    abroad = np.where(home, 0.0, flow.amounts).sum(axis=1) > _EPSILON
    # Who does not all fit, or not all at home, is where it must be.
    blocks = (lacking == 0) & ~(p.stays_home & abroad)
    slack = 0.5 / max(float(p.strength.max(initial=1.0)), 1.0)
    flow.even_out(blocks, np.where(p.stays_home[:, None], home, fleet.may_take), slack)


def _split(admitted: Ints, weights: Ints, flow: Flow) -> list[Codes]:
    """For each weight the kind of each of its streams, in order of blocks."""
    blocks, kinds = flow.amounts.shape
    left = flow.amounts.copy()
    answer: list[Codes] = []
    last = int(np.flatnonzero(admitted.any(axis=1))[-1])
    for rank, weight in enumerate(weights.tolist()):
        if not admitted[rank].any():
            answer.append(np.zeros(0, code_type(kinds)))
            continue
        total = np.maximum(left.sum(axis=1), 1e-9)
        exact = left * (admitted[rank] / total)[:, None]
        whole = _rounded(exact, admitted[rank]) if rank == last else _nearly_rounded(exact, admitted[rank])
        left = np.maximum(left - whole * weight, 0.0)
        cells = np.repeat(np.tile(np.arange(kinds, dtype=code_type(kinds)), blocks), whole.ravel())
        answer.append(cells)
    return answer


def _nearly_rounded(exact: Floats, totals: Ints) -> Ints:
    """Whole numbers close to `exact` whose rows sum up to `totals`."""
    ends = np.floor(np.cumsum(exact, axis=1) + 0.5).astype(np.int64)
    ends[:, -1] = totals
    whole: Ints = np.diff(np.minimum(ends, totals[:, None]), axis=1, prepend=0)
    return whole


def _rounded(exact: Floats, totals: Ints) -> Ints:
    """As `_nearly_rounded`, with columns that sum up to the nearest whole number too, or next to it."""
    whole = np.floor(exact + 1e-9)
    debt: Floats = np.zeros(exact.shape[1])
    missing = totals - whole.sum(axis=1).astype(np.int64)
    for b in np.flatnonzero(missing).tolist():
        fraction = exact[b] - whole[b] + debt
        fraction[exact[b] <= 0] = -np.inf
        chosen = np.argsort(-np.round(fraction, 9), kind="stable")[: missing[b]]
        debt += exact[b] - whole[b]
        whole[b, chosen] += 1
        debt[chosen] -= 1
    found: Ints = whole.astype(np.int64)
    return found


def pack(fleet: Fleet, streams: Ints, kinds: Codes, weight: int, limit: Ints) -> Ints:
    """Give streams of one weight to workers of the kinds beside them, the least loaded first; answer those for which
    there was no room.
    """
    p = fleet.problem
    need = counts(kinds, p.kinds)
    workers = np.flatnonzero(need[p.kind] > 0) if p.kinds > 1 else np.arange(len(p.names))
    largest = int(p.sizes[streams].max(initial=0)) if p.bytes_bind else 0
    room = fleet.rooms(limit, weight, largest)[workers]
    group = p.kind[workers]
    given = pour(
        need, group, fleet.used[workers].astype(np.float64), room, np.maximum(p.strength[workers], _EPSILON), weight
    )
    if p.kinds > 1:
        order = np.argsort(group, kind="stable")
        workers, given = workers[order], given[order]
        order = np.argsort(kinds, kind="stable")
        streams, kinds = streams[order], kinds[order]
    slots = np.repeat(workers, given)
    if p.blocks > 1:
        # Each worker gets some of every block, so that it has some of each to give away later.
        turn = ranks(slots)
        order = np.argsort(turn.astype(code_type(int(turn.max(initial=0)))), kind="stable")
        slots = slots[order]
        slots = slots[np.argsort(p.kind[slots], kind="stable")]
    if len(slots) == len(streams):
        fleet.put(streams, slots)
        return streams[:0]
    placed = ranks(kinds) < np.take(counts(p.kind[slots], p.kinds), kinds)
    fleet.put(streams[placed], slots)
    return streams[~placed]
