"""How much of each block goes to which kinds of workers.

Between a hundred blocks and a hundred kinds, so that the size of the catalog does not matter. Scarce blocks are
poured first, each to the least loaded kinds that it may go to; where a block still lacks room, others are moved on
along an augmenting path (J. Edmonds, R. Karp, 1972); and in the end every block is poured anew for as long as that
evens out the loads. What is poured here has no names yet, so that moving it costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from fingerv7.core.planner.arrays import Bools, Floats, Ints
from fingerv7.core.planner.water import level

_SWEEPS = 60
_TINY = 1e-6


class Flow:
    """Amounts are weights. `used` and `width` are by kind; `room` bounds what may be added."""

    def __init__(self, may_take: Bools, used: Floats, room: Floats, width: Floats) -> None:
        self.may_take = may_take
        self.amounts: Floats = np.zeros(may_take.shape)
        """(B, K)"""
        self.used = used.astype(np.float64)
        self.room = room.astype(np.float64)
        self.width = np.maximum(width, _TINY)
        self._hopeless: set[int] = set()
        """Blocks that a search has shown to reach no room. Placing others does not change that: they find no way
        through what these reach.
        """

    def pour(self, block: int, amount: float, where: Bools, limit: Floats | None = None) -> float:
        """Pour up to `amount` into the kinds of `where`, at most `limit` each; answer what found no room."""
        kinds = where.nonzero()[0]
        if not len(kinds):
            return amount
        if len(kinds) == 1:
            k = int(kinds[0])
            poured = max(0.0, min(amount, float(self.room[k]), math.inf if limit is None else float(limit[k])))
            self.shift(block, k, poured)
            return amount - poured
        room = self.room[kinds]
        if limit is not None:
            room = np.minimum(room, np.maximum(limit[kinds], 0.0))
        shares = level(amount, self.used[kinds], room, self.width[kinds])
        self.shift(block, kinds, shares)
        return max(0.0, amount - float(shares.sum()))

    def shift(self, block: int, kinds: Ints | int, amount: Floats | float) -> None:
        """Add to (or, where negative, take from) what the block has in these kinds."""
        self.amounts[block, kinds] += amount
        self.used[kinds] += amount
        self.room[kinds] -= amount

    def augment(self, block: int, amount: float, allowed: Bools) -> float:
        """Make room by moving other blocks on, within `allowed` (B, K); answer what still lacks room."""
        while amount > _TINY:
            path = None if block in self._hopeless else self._path(block, allowed)
            if path is None:
                return amount
            step = min([amount, self.room[path[-1][1]], *(self.amounts[b, k] for (_, k), (b, _) in _pairs(path))])
            for b, k in path:
                self.shift(b, k, step)
            for (_, k), (b, _) in _pairs(path):
                self.shift(b, k, -step)
            amount -= step
        return 0.0

    def _path(self, block: int, allowed: Bools) -> list[tuple[int, int]] | None:
        """(block, kind) steps: each block goes to the kind, and the next block leaves it."""
        came_by: dict[int, tuple[int, int] | None] = {block: None}
        seen = np.zeros(allowed.shape[1], bool)
        queue = [block]
        for b in queue:
            for k in np.flatnonzero(allowed[b] & ~seen).tolist():
                seen[k] = True
                if self.room[k] > _TINY:
                    return self._back(came_by, b, k)
                for other in np.flatnonzero(self.amounts[:, k] > _TINY).tolist():
                    if other not in came_by and other not in self._hopeless:
                        came_by[other] = b, k
                        queue.append(other)
        self._hopeless.update(queue)
        return None

    def _back(self, came_by: dict[int, tuple[int, int] | None], block: int, kind: int) -> list[tuple[int, int]]:
        path = [(block, kind)]
        while (step := came_by[path[-1][0]]) is not None:
            path.append(step)
        return path[::-1]

    def even_out(self, blocks: Bools, allowed: Bools, slack: float) -> None:
        """Pour some blocks (B,) anew, within `allowed` (B, K), until no kind that one is on is fuller, by more than
        `slack`, than another with room that it may go to. The loads that this ends with do not depend on where it
        began (S. Fujishige, 1980).
        """
        self._hopeless.clear()
        strays = np.any((self.amounts > 0) & ~allowed, axis=1)
        for _ in range(_SWEEPS):
            load = self.used / self.width
            here = np.where(self.amounts > _TINY, load, -np.inf).max(axis=1)
            there = np.where(allowed & (self.room > _TINY), load, np.inf).min(axis=1)
            uneven = np.flatnonzero(blocks & (here - there > slack))
            if not len(uneven):
                return
            for b in uneven[np.argsort(there[uneven] - here[uneven], kind="stable")].tolist():
                amount = float(self.amounts[b].sum())
                if strays[b]:
                    elsewhere = np.flatnonzero(~allowed[b])
                    self.shift(b, elsewhere, -self.amounts[b, elsewhere])
                    strays[b] = False
                kinds = allowed[b].nonzero()[0]
                mine = self.amounts[b, kinds]
                used, room = self.used[kinds] - mine, self.room[kinds] + mine
                shares = level(amount, used, np.maximum(room, 0.0), self.width[kinds])
                self.amounts[b, kinds], self.used[kinds], self.room[kinds] = shares, used + shares, room - shares


def scarce_first(may_take: Bools, capacity: Floats, blocks: Iterable[int]) -> list[int]:
    """Blocks that little capacity can take come before those that could live elsewhere."""
    reach = may_take @ capacity
    return sorted(blocks, key=lambda b: (reach[b], b))


def _pairs(path: list[tuple[int, int]]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return list(pairwise(path))
