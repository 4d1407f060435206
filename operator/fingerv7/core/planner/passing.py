"""Who passes a place on to whom, so that one more stream finds one and as few as possible move.

Cheapest augmenting paths (R. Busacker, P. Gowen, 1960) between blocks of streams and places: after each, no other way
to place as many streams moves fewer residents.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from fingerv7.core.planner.arrays import Bools, Floats, Ints


class Passing:
    """Streams of one weight, by block and place: who lives where, who goes, who comes.

    A place is a kind of workers, or a worker of its own. Residents in `stock` (B, P) cost a move when they leave,
    and give it back when they return; who has come already may be moved on for nothing.
    """

    def __init__(
        self, may_take: Bools, stock: Ints, free: Ints, gone: Ints | None = None, came: Ints | None = None
    ) -> None:
        self.gone: Ints = np.zeros_like(stock) if gone is None else gone.copy()
        """(B, P) residents that leave."""
        self.came: Ints = np.zeros_like(stock) if came is None else came.copy()
        self._may_take, self._stock, self._free = may_take, stock, free.copy()

    def admit(self, block: int, count: int, most: int | None = None) -> None:
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
        """(block, place) steps of the way that moves fewest residents (R. Bellman, E. Moore): each block comes to the
        place, which the next block leaves.
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
