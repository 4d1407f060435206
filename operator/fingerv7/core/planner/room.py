"""Moving streams aside, so that one more finds room.

Three ways, each for what the one before could not place. *Passing on*: a stream takes the place of another of its
weight, which can go elsewhere or takes the place of a third; along cheapest augmenting paths, so that as many streams
as possible are placed and as few as possible move. *Squeezing*: one by one, with exact sizes, into whatever is left.
*Gathering*: an evenly filled fleet is the worst place for a heavy stream, and several lighter ones on one worker may
make room for it.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from fingerv7.core.planner.arrays import Bools, Floats, Ints, code_type, counts, joined, ranks, sums
from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.flow import scarce_first
from fingerv7.core.planner.placing import pack

_WORKERS_TRIED = 4


class Made(NamedTuple):
    left: Ints
    """What still has no place."""
    aside: Ints
    """What moved to make room."""


def pass_on(fleet: Fleet, waiting: Ints, limit: Ints, most: int | None = None) -> Made:
    """Place streams of `waiting` by passing others of equal weight on, at most so many; light ones first."""
    p = fleet.problem
    left: list[Ints] = []
    aside: list[Ints] = []
    ranks_here = p.stream_class[waiting] // p.blocks
    for rank in np.unique(ranks_here)[::-1].tolist():
        mine = waiting[ranks_here == rank]
        with fleet.attempt() as attempt:
            made = _pass_on(fleet, mine, rank, limit, most)
            lost = np.intersect1d(made.left, made.aside, assume_unique=True)
            if len(made.left) < len(mine) and not len(lost):
                attempt.keep()
                mine = made.left
                aside.append(made.aside)
                most = None if most is None else most - len(made.aside)
        left.append(mine)
    return Made(joined(left), joined(aside))


def _pass_on(fleet: Fleet, waiting: Ints, rank: int, limit: Ints, most: int | None) -> Made:
    p, weight = fleet.problem, int(fleet.problem.weights[rank])
    blocks = fleet.block_of(waiting)
    # Only where a place that is left can be used up to the limit.
    usable = p.is_open & (fleet.used <= limit)
    usable |= ~p.is_open & p.keeps & (fleet.used <= limit)
    residents = np.flatnonzero(
        (p.stream_class // p.blocks == rank) & (fleet.owner >= 0) & usable[np.maximum(fleet.owner, 0)]
    )
    cells = fleet.block_of(residents).astype(np.int64) * p.kinds + p.kind[fleet.owner[residents]]
    stock = counts(cells, p.blocks * p.kinds).reshape(p.blocks, p.kinds)
    largest = int(p.sizes[waiting].max(initial=0)) if p.bytes_bind else 0
    free = sums(p.kind, fleet.rooms(limit, weight, largest), p.kinds).astype(np.int64)
    passing = _Passing(fleet.may_take, stock, free)
    asked = counts(blocks, p.blocks)
    capacity = sums(p.kind, p.capacity, p.kinds)
    for b in scarce_first(fleet.may_take, capacity, np.flatnonzero(asked).tolist()):
        passing.admit(b, int(asked[b]), most)

    gone = residents[_first_of(cells, passing.gone.ravel())]
    fleet.take(gone)
    moving = np.concatenate((gone, waiting))
    order = np.argsort(fleet.block_of(moving), kind="stable")
    moving = moving[order]
    chosen = ranks(fleet.block_of(moving)) < passing.came.sum(axis=1)[fleet.block_of(moving)]
    kinds = np.repeat(np.tile(np.arange(p.kinds, dtype=code_type(p.kinds)), p.blocks), passing.came.ravel())
    unpacked = pack(fleet, moving[chosen], kinds, weight, limit)
    return Made(np.concatenate((moving[~chosen], unpacked)), gone)


def _first_of(cells: Ints, counts: Ints) -> Ints:
    """Places of the first so many items of each cell."""
    wanted = np.flatnonzero(counts[cells] > 0)
    order = wanted[np.argsort(cells[wanted], kind="stable")]
    return order[ranks(cells[order]) < counts[cells[order]]]


class _Passing:
    """Streams of one weight, by block and kind: who lives where, who goes, who comes."""

    def __init__(self, may_take: Bools, stock: Ints, free: Ints) -> None:
        self.gone: Ints = np.zeros_like(stock)
        """(B, K) residents that leave."""
        self.came: Ints = np.zeros_like(stock)
        self._may_take, self._stock, self._free = may_take, stock, free

    def admit(self, block: int, count: int, most: int | None) -> None:
        """Place up to `count` streams of the block."""
        while count > 0:
            path = self._cheapest(block)
            if path is None:
                return
            step = min(count, self._capacity(path))
            if most is not None and self.gone.sum() + step * len(path) > most:
                step = min(step, max(0, most - int(self.gone.sum())) // max(1, len(path) - 1))
                if step <= 0:
                    return
            for n, (b, k) in enumerate(path):
                back = min(step, int(self.gone[b, k]))
                self.gone[b, k] -= back
                self.came[b, k] += step - back
                if n + 1 < len(path):
                    other = path[n + 1][0]
                    again = min(step, int(self.came[other, k]))
                    self.came[other, k] -= again
                    self.gone[other, k] += step - again
                else:
                    self._free[k] -= step
            count -= step

    def _capacity(self, path: list[tuple[int, int]]) -> int:
        """How many can go the same way at the same cost."""
        bounds = [int(self._free[path[-1][1]])]
        for n, (b, k) in enumerate(path):
            if self.gone[b, k]:
                bounds.append(int(self.gone[b, k]))
            if n + 1 < len(path):
                other = path[n + 1][0]
                bounds.append(int(self.came[other, k] or self._stock[other, k] - self.gone[other, k]))
        return min(bounds)

    def _cheapest(self, start: int) -> list[tuple[int, int]] | None:
        """(block, kind) steps of the way that moves fewest residents (R. Bellman, E. Moore): each block comes to the
        kind, which the next block leaves.
        """
        count = len(self._stock)
        comes = np.where(self._may_take, np.where(self.gone > 0, -1.0, 0.0), np.inf)
        leaves = np.where(self.came > 0, 0.0, np.where(self._stock > self.gone, 1.0, np.inf))
        cost: Floats = np.full(count, np.inf)
        cost[start] = 0.0
        came_by: list[tuple[int, int]] = [(-1, -1)] * count
        queue, waiting = deque([start]), {start}
        while queue:
            b = queue.popleft()
            waiting.discard(b)
            through = comes[b] + leaves
            kinds = through.argmin(axis=1)
            reached = cost[b] + through[np.arange(count), kinds]
            for other in np.flatnonzero(reached < cost - 1e-9).tolist():
                if other == start:
                    continue
                cost[other] = reached[other]
                came_by[other] = b, int(kinds[other])
                if other not in waiting:
                    waiting.add(other)
                    queue.append(other)
        ends = cost[:, None] + np.where(self._free > 0, comes, np.inf)
        best = int(ends.argmin())
        if not np.isfinite(ends.flat[best]):
            return None
        path = [(best // ends.shape[1], best % ends.shape[1])]
        while path[-1][0] != start:
            path.append(came_by[path[-1][0]])
        return path[::-1]


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
    lightest = int(p.weights[-1])
    for stream in waiting[np.argsort(p.stream_class[waiting], kind="stable")].tolist():
        weight, c = int(fleet.weight_of(np.array([stream]))[0]), int(p.stream_class[stream])
        moved = None
        if weight > lightest and c not in hopeless:
            moved = _gather_for(fleet, stream, weight, limit)
        if moved is None:
            hopeless.add(c)
            left.append(stream)
        else:
            aside.append(moved)
    return Made(np.array(left, np.int64), joined(aside))


def _gather_for(fleet: Fleet, stream: int, weight: int, limit: Ints) -> Ints | None:
    p = fleet.problem
    b = int(fleet.block_of(np.array([stream]))[0])
    hosts = np.flatnonzero(fleet.may_take[b][p.kind] & p.is_open)
    emptiest = hosts[np.argsort(fleet.used[hosts] - limit[hosts], kind="stable")][:_WORKERS_TRIED]
    for worker in emptiest.tolist():
        with fleet.attempt() as attempt:
            moved = _clear(fleet, worker, stream, weight, limit)
            if moved is not None:
                fleet.put(np.array([stream]), np.array([worker]))
                attempt.keep()
                return moved
    return None


def _clear(fleet: Fleet, worker: int, for_stream: int, weight: int, limit: Ints) -> Ints | None:
    """Move lighter streams off `worker` until there is room."""
    p = fleet.problem
    held = fleet.held_by(worker)
    lighter = held[fleet.weight_of(held) < weight]
    moved: list[int] = []
    for other in lighter[np.argsort(p.stream_class[lighter], kind="stable")].tolist():
        if _has_room(fleet, worker, weight, int(p.sizes[for_stream]), limit):
            break
        one = np.array([other])
        mine = int(fleet.weight_of(one)[0])
        fits = fleet.may_take[int(fleet.block_of(one)[0])][p.kind] & (fleet.used + mine <= limit) & p.is_open
        if p.bytes_bind:
            fits &= fleet.bytes_used + p.sizes[other] <= p.byte_capacity
        fits[worker] = False
        targets = np.flatnonzero(fits)
        if len(targets):
            loads = fleet.used[targets] / np.maximum(p.strength[targets], 1e-6)
            fleet.take(one)
            fleet.put(one, targets[[int(loads.argmin())]])
            moved.append(other)
    if _has_room(fleet, worker, weight, int(p.sizes[for_stream]), limit):
        return np.array(moved, np.int64)
    return None


def _has_room(fleet: Fleet, worker: int, weight: int, size: int, limit: Ints) -> bool:
    p = fleet.problem
    fits = fleet.used[worker] + weight <= limit[worker]
    return bool(fits and (not p.bytes_bind or fleet.bytes_used[worker] + size <= p.byte_capacity[worker]))
