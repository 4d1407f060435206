"""Who passes a place on to whom, so that one more stream finds one and as few as possible move.

Cheapest augmenting paths (R. Busacker, P. Gowen, 1960) between blocks of streams and places: after each, no other way
to place as many streams moves fewer residents.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fingerv7.core.planner.arrays import Bools, Floats, Ints, counts, first_of

_TINY = 1e-9

Path = list[tuple[int, int]]
"""(block, place): the block comes to the place, which the next block leaves."""


class Passing:
    """Streams of one weight, by block and place: who lives where, who goes, who comes.

    A place is a kind of workers, or a worker of its own. Residents in `stock` (B, P) cost a move when they leave,
    and give it back when they return; who has come already may be moved on for nothing. `free` (P,) is what is left.
    """

    def __init__(
        self,
        may_take: Bools,
        stock: Ints,
        free: Ints,
        gone: Ints | None = None,
        came: Ints | None = None,
        *,
        may_return: bool = False,
    ) -> None:
        nothing = np.zeros_like(stock)
        # What is free is one more block, which can be anywhere.
        self._free = len(stock)
        self._may_take = np.vstack((may_take, np.ones_like(may_take[:1])))
        self._stock = np.vstack((stock, nothing[:1]))
        self._gone = np.vstack((nothing if gone is None else gone, nothing[:1]))
        self._came = np.vstack((nothing if came is None else came, free))
        self._may_return = may_return
        """Whether residents who left may come back where nobody else of their block may come."""
        self._hopeless: set[int] = set()
        """Blocks that a search has shown to reach no free place. Placing others does not change that, since nobody
        whom they reach can step aside; a stream that leaves does.
        """

    @property
    def gone(self) -> Ints:
        """(B, P) residents that leave."""
        return self._gone[:-1]

    @property
    def came(self) -> Ints:
        """(B, P)"""
        return self._came[:-1]

    def admit(self, block: int, count: int, most: int | None = None) -> int:
        """Place up to `count` streams of the block, for at most so many moves; answer how many."""
        left = count
        while left > 0:
            path = None if block in self._hopeless else self._cheapest(block)
            if path is None:
                break
            step, moves = min(left, self._capacity(path)), len(path) - 2
            if most is not None and moves:
                step = min(step, max(0, most - int(self.gone.sum())) // moves)
                if step <= 0:
                    break
            self._go(path, step)
            left -= step
        return count - left

    def admit_those(self, block: int, homes: Ints, most: int | None = None) -> Bools:
        """As `admit`, for streams that have left these places, or none (-1); answer which are placed: those who
        return, and then the first. Nobody returns to the places of the others any more.
        """
        owned = np.flatnonzero(homes >= 0)
        places = self._stock.shape[1]
        away = counts(homes[owned], places)
        self._leave(block, away)
        before = self._gone[block].copy()
        number = self.admit(block, len(homes), most)
        placed = np.zeros(len(homes), bool)
        placed[owned[first_of(homes[owned], before - self._gone[block])]] = True
        placed[np.flatnonzero(~placed)[: number - int(placed.sum())]] = True
        self._leave(block, -counts(homes[owned[~placed[owned]]], places))
        return placed

    def _leave(self, block: int, away: Ints) -> None:
        if away.any():
            self._hopeless.clear()
        self._stock[block] += away
        self._gone[block] += away

    def cancel(self, most: int | None = None) -> bool:
        """Undo what was moved for nothing, until no way round saves a move (M. Klein, 1967), at most so many ways;
        whether there was one. Paths are the cheapest only then; where nobody has come yet it is so.
        """
        found = 0
        while found != most and (ring := self._saving()) is not None:
            self._go(ring, self._capacity(ring))
            found += 1
        return found > 0

    def _go(self, path: Path, step: int) -> None:
        for (b, k), (other, _) in pairwise(path):
            back = min(step, int(self._gone[b, k]))
            self._gone[b, k] -= back
            self._came[b, k] += step - back
            again = min(step, int(self._came[other, k]))
            self._came[other, k] -= again
            self._gone[other, k] += step - again

    def _capacity(self, path: Path) -> int:
        """How many can go the same way at the same cost."""
        bounds: list[int] = []
        for (b, k), (other, _) in pairwise(path):
            if self._gone[b, k]:
                bounds.append(int(self._gone[b, k]))
            bounds.append(int(self._came[other, k] or self._stock[other, k] - self._gone[other, k]))
        return min(bounds)

    def _costs(self) -> tuple[Floats, Floats]:
        """(B + 1, P) what it costs that one of a block comes, and that one leaves."""
        comes = np.where(self._entries(), np.where(self._gone > 0, -1.0, 0.0), np.inf)
        leaves = np.where(self._came > 0, 0.0, np.where(self._stock > self._gone, 1.0, np.inf))
        return comes, leaves

    def _entries(self) -> Bools:
        return self._may_take | (self._gone > 0) if self._may_return else self._may_take

    def _cheapest(self, start: int) -> Path | None:
        """The way to something free that moves fewest residents (R. Bellman, E. Moore)."""
        reached = self._reached_from(start)
        if not reached[self._free]:
            self._hopeless.update(np.flatnonzero(reached).tolist())
            return None
        comes, leaves = self._costs()
        leaves[start] = np.inf  # Nobody comes back to where the way begins.
        cost: Floats = np.full(len(comes), np.inf)
        cost[start] = 0.0
        came_by: Path = [(-1, -1)] * len(comes)
        nearer = np.array([start])
        while len(nearer):
            nearer = nearer[nearer != self._free]
            nearer = _relax(comes, leaves, nearer, cost, came_by)
        path = [(self._free, -1)]
        while path[-1][0] != start:
            path.append(came_by[path[-1][0]])
        return path[::-1]

    def _reached_from(self, start: int) -> Bools:
        """(B + 1,) blocks on the ways from this one; not all of them where one ends at something free."""
        leaves = (self._came > 0) | (self._stock > self._gone)
        entries = self._entries()
        reached, entered = np.zeros(len(leaves), bool), np.zeros(leaves.shape[1], bool)
        reached[start], new = True, np.array([start])
        while len(new) and not reached[self._free]:
            entering = entries[new].any(axis=0) & ~entered
            entered |= entering
            new = np.flatnonzero(leaves[:, entering].any(axis=1) & ~reached)
            reached[new] = True
        return reached

    def _saving(self) -> Path | None:
        """A way round that saves moves; it ends with the block that it begins with."""
        comes, leaves = self._costs()
        cost: Floats = np.zeros(len(comes))
        came_by: Path = [(-1, -1)] * len(comes)
        nearer = np.arange(len(comes))
        while len(nearer):
            nearer = _relax(comes, leaves, nearer, cost, came_by)
            if (node := _on_a_ring(came_by)) is not None:
                ring = [(node, -1)]
                while len(ring) == 1 or ring[-1][0] != node:
                    ring.append(came_by[ring[-1][0]])
                return ring[::-1]
        return None


def _relax(comes: Floats, leaves: Floats, blocks: Ints, cost: Floats, came_by: Path) -> Ints:
    """Go on from these blocks by one place; answer the blocks that are nearer now."""
    if not len(blocks):
        return blocks
    there = cost[blocks, None] + comes[blocks]
    first = there.argmin(axis=0)
    through = there[first, np.arange(len(first))] + leaves
    places = through.argmin(axis=1)
    reached = through[np.arange(len(places)), places]
    nearer = np.flatnonzero(reached < cost - _TINY)
    cost[nearer] = reached[nearer]
    for other, place in zip(nearer.tolist(), places[nearer].tolist(), strict=True):
        came_by[other] = int(blocks[first[place]]), place
    return nearer


def _on_a_ring(came_by: Path) -> int | None:
    """A block from which the way back leads to itself: such a ring has a negative cost."""
    seen_by: dict[int, int] = {-1: -1}
    for start in range(len(came_by)):
        block = start
        while block not in seen_by:
            seen_by[block] = start
            block = came_by[block][0]
        if seen_by[block] == start:
            return block
    return None
