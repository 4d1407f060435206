"""Moving streams aside, so that one more finds room.

Three ways, each for what the one before could not place. *Passing on*: a stream takes the place of another of its
weight, which can go elsewhere or takes the place of a third; along cheapest augmenting paths, so that as many streams
as possible are placed and as few as possible move. *Squeezing*: one by one, with exact sizes, into whatever is left.
*Gathering*: an evenly filled fleet is the worst place for a heavy stream, and several lighter ones on one worker may
make room for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fingerv7.core.planner.arrays import Codes, Ints, code_type, counts, first_of, joined, none, ranks, sums
from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.flow import scarce_first
from fingerv7.core.planner.passing import Passing
from fingerv7.core.planner.placing import pack

_WORKERS_TRIED = 4
_RETURNS = 64
"""When streams have left more workers than that, it is not asked whether one of them had better returned."""


class Made(NamedTuple):
    left: Ints
    """What still has no place."""
    aside: Ints
    """What moved to make room."""


def pass_on(fleet: Fleet, waiting: Ints, limit: Ints, most: int | None = None, moved: Ints | None = None) -> Made:
    """Place streams of `waiting` by passing others of equal weight on, at most so many; light ones first.

    `moved` have left their owners already: they move on for nothing, and if they return that is a move less.
    """
    p = fleet.problem
    left: list[Ints] = []
    aside: list[Ints] = []
    ranks_here = p.rank[waiting]
    for rank in np.unique(ranks_here)[::-1].tolist():
        mine = waiting[ranks_here == rank]
        fresh = None if moved is None or p.bytes_bind else moved[p.rank[moved] == rank]
        with fleet.attempt() as attempt:
            made = _pass_on(fleet, mine, fresh, rank, limit, most)
            if len(made.left) < len(mine) and np.isin(made.left, mine).all() and attempt.keep():
                mine = made.left
                aside.append(made.aside)
                most = None if most is None else most - len(made.aside)
        left.append(mine)
    return Made(joined(left), joined(aside))


def _pass_on(fleet: Fleet, waiting: Ints, moved: Ints | None, rank: int, limit: Ints, most: int | None) -> Made:
    p, weight = fleet.problem, int(fleet.problem.weights[rank])
    fresh = none() if moved is None else moved
    places = _Places.of(fleet, none() if moved is None else np.concatenate((waiting, moved)))
    usable = (p.is_open | p.keeps) & (fleet.used <= limit)
    """Only where a place that is left can be used up to the limit."""
    residents = np.flatnonzero((p.rank == rank) & (fleet.owner >= 0) & np.take(usable, np.maximum(fleet.owner, 0)))
    residents = residents[~np.isin(residents, fresh)]
    cells, fresh_cells = places.cells(residents, fleet.owner), places.cells(fresh, fleet.owner)
    settled, came = places.tally(cells), places.tally(fresh_cells)
    # Who waits returns when it is admitted, and not in the place of another of its block, which would wait then.
    returning = np.isin(waiting, places.away)
    homes = np.where(returning, places.of_worker[np.maximum(p.owner[waiting], 0)], -1)
    left_before = places.away[np.isin(places.away, waiting, invert=True)]
    away = places.tally(places.cells(left_before, p.owner))
    largest = int(p.sizes[waiting].max(initial=0)) if p.bytes_bind else 0
    free = sums(places.of_worker, fleet.rooms(limit, weight, largest), places.number).astype(np.int64)
    passing = Passing(fleet.may_take[:, places.kind], settled + away, free, away, came)
    if len(left_before):
        passing.cancel()
    blocks = fleet.block_of(waiting)
    admitted = np.zeros(len(waiting), bool)
    capacity = sums(p.kind, p.capacity, p.kinds)
    for b in scarce_first(fleet.may_take, capacity, np.unique(blocks).tolist()):
        mine = np.flatnonzero(blocks == b)
        admitted[mine] = passing.admit_those(b, homes[mine], most)

    may_return = np.concatenate((waiting[admitted & returning], left_before))
    away = places.tally(places.cells(may_return, p.owner))
    gone = residents[first_of(cells, np.maximum(passing.gone - away, 0).ravel())]
    on = fresh[first_of(fresh_cells, np.maximum(came - passing.came, 0).ravel())]
    comes = np.maximum(passing.came - came, 0)
    back = may_return[first_of(places.cells(may_return, p.owner), np.maximum(away - passing.gone, 0).ravel())]
    # Who returns from where it had come to leaves that place to another of its block.
    leaves = np.setdiff1d(back[fleet.owner[back] >= 0], on)
    comes += places.tally(places.cells(leaves, fleet.owner))
    fleet.take(np.concatenate((gone, on, leaves)))
    fleet.put(back, p.owner[back])
    moving = np.concatenate((gone, on, waiting[admitted]))
    moving = moving[~np.isin(moving, back)]
    left = _settle(fleet, moving, comes, places, weight, limit)
    return Made(np.concatenate((waiting[~admitted], left)), gone)


def _settle(fleet: Fleet, moving: Ints, comes: Ints, places: _Places, weight: int, limit: Ints) -> Ints:
    """Give each place so many streams (B, P) of each block, the first ones; answer the others."""
    p = fleet.problem
    moving = moving[np.argsort(fleet.block_of(moving), kind="stable")]
    blocks = fleet.block_of(moving)
    chosen = ranks(blocks) < comes.sum(axis=1)[blocks]
    left, moving = [moving[~chosen]], moving[chosen]
    column = np.repeat(np.tile(np.arange(places.number), p.blocks), comes.ravel())
    alone = column >= p.kinds
    if alone.any():
        fleet.put(moving[alone], places.alone[column[alone] - p.kinds])
        moving, column = moving[~alone], column[~alone]
        limit = limit.copy()
        limit[places.alone] = 0
    left.append(pack(fleet, moving, column.astype(code_type(p.kinds)), weight, limit))
    return joined(left)


class _Places(NamedTuple):
    """Where streams can be: the kinds, and workers that some have left and may return to, each on its own."""

    blocks: int
    kind: Ints
    """(P,)"""
    alone: Ints
    """Workers that are a place of their own, which come after the kinds."""
    of_worker: Ints
    """(W,)"""
    away: Ints
    """Streams that may return to such a worker."""
    block: Codes

    @classmethod
    def of(cls, fleet: Fleet, streams: Ints) -> _Places:
        p = fleet.problem
        owner = p.owner[streams]
        left = (owner >= 0) & (owner != fleet.owner[streams])
        away = streams[left & p.may_take[p.block[streams], p.kind[np.maximum(owner, 0)]]]
        alone = np.unique(p.owner[away]).astype(np.int64)
        if len(alone) > _RETURNS:
            away, alone = none(), none()
        of_worker = p.kind.astype(np.int64)
        of_worker[alone] = p.kinds + np.arange(len(alone))
        return cls(p.blocks, np.concatenate((np.arange(p.kinds), p.kind[alone])), alone, of_worker, away, p.block)

    @property
    def number(self) -> int:
        return len(self.kind)

    def cells(self, streams: Ints, owner: Codes) -> Ints:
        """The place in (B, P), flattened, that each of these streams has with this owner."""
        cells: Ints = self.block[streams].astype(np.int64) * self.number + self.of_worker[owner[streams]]
        return cells

    def tally(self, cells: Ints) -> Ints:
        return counts(cells, self.blocks * self.number).reshape(self.blocks, self.number)


def squeeze(fleet: Fleet, waiting: Ints, limit: Ints) -> Ints:
    """Place what fits anywhere, one by one, the lightest first; answer the others."""
    p = fleet.problem
    left: list[int] = []
    blocks = fleet.block_of(waiting)
    weights = fleet.weight_of(waiting)
    order = np.lexsort((np.arange(len(waiting)), blocks, weights))
    hopeless: dict[tuple[int, int], int] = {}
    for n in order.tolist():
        stream, b, weight = int(waiting[n]), int(blocks[n]), int(weights[n])
        size = int(p.sizes[stream]) if p.bytes_bind else 0
        if size >= hopeless.get((b, weight), size + 1):
            left.append(stream)
            continue
        fits = fleet.may_take[b][p.kind] & (fleet.used + weight <= limit)
        if p.bytes_bind:
            fits &= fleet.bytes_used + size <= p.byte_capacity
        workers = np.flatnonzero(fits)
        if not len(workers):
            hopeless[b, weight] = size
            left.append(stream)
            continue
        loads = fleet.used[workers] / np.maximum(p.strength[workers], 1e-6)
        fleet.put(np.array([stream]), workers[[int(loads.argmin())]])
    return np.array(left, np.int64)


def gather(fleet: Fleet, waiting: Ints, limit: Ints) -> Made:
    """Place heavy streams where several lighter ones can step aside."""
    p = fleet.problem
    left: list[int] = []
    aside: list[Ints] = []
    hopeless: set[int] = set()
    full: set[tuple[int, int]] = set()
    lightest = int(p.weights[-1])
    for stream in waiting[np.argsort(p.stream_class[waiting], kind="stable")].tolist():
        weight, c = int(fleet.weight_of(np.array([stream]))[0]), int(p.stream_class[stream])
        moved = None
        if weight > lightest and c not in hopeless:
            moved = _gather_for(fleet, stream, weight, limit, full)
        if moved is None:
            hopeless.add(c)
            left.append(stream)
        else:
            aside.append(moved)
            full.clear()
    return Made(np.array(left, np.int64), joined(aside))


def _gather_for(fleet: Fleet, stream: int, weight: int, limit: Ints, full: set[tuple[int, int]]) -> Ints | None:
    """The streams that stepped aside. `full`: classes and bytes of streams for which no worker has room; extended."""
    p = fleet.problem
    b = int(fleet.block_of(np.array([stream]))[0])
    hosts = np.flatnonzero(fleet.may_take[b][p.kind] & p.is_open)
    emptiest = hosts[np.argsort(fleet.used[hosts] - limit[hosts], kind="stable")][:_WORKERS_TRIED]
    for worker in emptiest.tolist():
        with fleet.attempt() as attempt:
            moved = _clear(fleet, worker, stream, weight, limit, full)
            if moved is not None:
                fleet.put(np.array([stream]), np.array([worker]))
                if attempt.keep():
                    return moved
    return None


def _clear(
    fleet: Fleet, worker: int, for_stream: int, weight: int, limit: Ints, full: set[tuple[int, int]]
) -> Ints | None:
    """Move lighter streams off `worker` until there is room."""
    p = fleet.problem
    held = fleet.held_by(worker)
    lighter = held[fleet.weight_of(held) < weight]
    moved: list[int] = []
    homeless: set[tuple[int, int]] = set()
    size = int(p.sizes[for_stream])
    has_room = _has_room(fleet, worker, weight, size, limit)
    for other in lighter[np.argsort(p.stream_class[lighter], kind="stable")].tolist():
        if has_room:
            break
        # Elsewhere it only becomes fuller, so what found no place is not followed by its equals.
        equals = int(p.stream_class[other]), int(p.sizes[other]) if p.bytes_bind else 0
        if equals in homeless or equals in full:
            continue
        one = np.array([other])
        mine = int(fleet.weight_of(one)[0])
        fits = fleet.may_take[int(fleet.block_of(one)[0])][p.kind] & (fleet.used + mine <= limit) & p.is_open
        if p.bytes_bind:
            fits &= fleet.bytes_used + p.sizes[other] <= p.byte_capacity
        if not moved and not fits.any():
            full.add(equals)
        fits[worker] = False
        targets = np.flatnonzero(fits)
        if len(targets):
            loads = fleet.used[targets] / np.maximum(p.strength[targets], 1e-6)
            fleet.take(one)
            fleet.put(one, targets[[int(loads.argmin())]])
            moved.append(other)
            has_room = _has_room(fleet, worker, weight, size, limit)
        else:
            homeless.add(equals)
    return np.array(moved, np.int64) if has_room else None


def _has_room(fleet: Fleet, worker: int, weight: int, size: int, limit: Ints) -> bool:
    p = fleet.problem
    fits = fleet.used[worker] + weight <= limit[worker]
    return bool(fits and (not p.bytes_bind or fleet.bytes_used[worker] + size <= p.byte_capacity[worker]))
