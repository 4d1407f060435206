"""How few of its streams does each worker give that weigh exactly so much together?

Bounded knapsacks, by dynamic programming over what is given, for all workers at once. Much is to be given only where
streams are many: of that the heaviest go first, and only the last of it is looked at closely.
"""

from __future__ import annotations

import numpy as np

from fingerv7.core.planner.arrays import Bools, Ints

_CLOSELY = 4
"""So many times the heaviest weight is looked at closely."""
_HEIGHT = 1 << 8
"""Amounts above which nothing is looked at closely."""
NEVER = 1 << 13


class Subsets:
    """Of a `stock` (J, W) of streams of these weights (J,), what weighs up to `most` (W,)."""

    def __init__(self, weights: Ints, stock: Ints, most: Ints) -> None:
        self._weights = weights
        self._first = self._bulk(stock, most)
        self._less: Ints = weights @ self._first
        rest, left = stock - self._first, most - self._less
        height = int(left.max(initial=0)) + 1
        self.close = height <= _HEIGHT
        """Whether there is an answer."""
        if not self.close:
            return
        self._cost = np.full((height, stock.shape[1]), NEVER, np.int16)
        self._cost[0] = 0
        self._taken: list[tuple[int, Bools]] = []
        """Which stream of which weight is given on the way to each amount, one after the other."""
        for rank, weight in enumerate(weights.tolist()):
            for n in range(min(int(rest[rank].max(initial=0)), (height - 1) // weight)):
                added = self._cost[: height - weight] + np.where(rest[rank] > n, 1, NEVER).astype(np.int16)
                better = added < self._cost[weight:]
                np.minimum(self._cost[weight:], added, out=self._cost[weight:])
                self._taken.append((rank, better))

    def _bulk(self, stock: Ints, most: Ints) -> Ints:
        """(J, W) the heaviest streams, as long as enough is left."""
        left = np.maximum(most - _CLOSELY * int(self._weights[0]), 0)
        first = np.zeros_like(stock)
        for rank, weight in enumerate(self._weights.tolist()):
            first[rank] = np.minimum(stock[rank], left // weight)
            left = left - first[rank] * weight
        return first

    def fewest(self, amounts: Ints) -> Ints:
        """(W,) how many streams weigh just that; `NEVER` or more where none do, or it is far less than `most`."""
        rows = amounts - self._less
        found = self._cost[np.clip(rows, 0, len(self._cost) - 1), np.arange(len(rows))]
        return np.where((rows >= 0) & (rows < len(self._cost)), found + self._first.sum(axis=0), NEVER)

    def of(self, amounts: Ints) -> Ints:
        """(J, W) those streams, where there are some."""
        chosen, rows = self._first.copy(), amounts - self._less
        for rank, better in reversed(self._taken):
            weight = int(self._weights[rank])
            some = np.flatnonzero(rows >= weight)
            some = some[better[rows[some] - weight, some]]
            chosen[rank, some] += 1
            rows[some] -= weight
        return chosen
