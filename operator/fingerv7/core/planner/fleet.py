"""How full each worker is, and with what: the one mutable thing of a round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fingerv7.core.planner.arrays import Bools, Codes, Floats, Ints, counts, none, sums
from fingerv7.core.planner.problem import NOBODY, Problem

_FEW = 64
"""Below this, numbers are added one by one."""


class Fleet:
    """Streams and workers by index. Sums are of what has a place so far."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        p = problem
        owned = p.owner >= 0
        kept = owned if p.may_keep.all() else owned & np.take(p.may_keep, self._cells(p.owner))
        self.homeless: Ints = np.flatnonzero(~kept)
        """Streams without a place when the round began."""
        self.owner: Codes = p.owner if not len(self.homeless) else np.where(kept, p.owner, p.owner.dtype.type(NOBODY))
        self._shared = self.owner is p.owner
        self.used: Ints = self.weigh(self.owner)
        """(W,) weight; another array when it changes."""
        self.bytes_used: Ints = np.zeros(len(p.names), np.int64)
        if p.bytes_bind:
            self.bytes_used = sums(self.owner + 1, p.sizes, len(p.names) + 1)[1:].astype(np.int64)
        self.may_take: Bools = p.may_take
        """(B, K); narrower than the problem's while streams are to stay at home."""
        self.open: Ints = np.flatnonzero(p.is_open)
        """Workers that may be given something new."""
        self.means: tuple[Ints, Floats] | None = None
        """Loads (W,) and what was last found to be the mean parts with them."""

    def _cells(self, owner: Codes) -> Ints:
        """(S,) the place of each stream's (block, kind) in a flattened (B, K); meaningless without an owner."""
        p = self.problem
        cells = p.block * np.int32(p.kinds)
        cells += np.take(p.kind, np.maximum(owner, 0))
        return cells

    @property
    def budget(self) -> int:
        """How many moves a round may make that nobody needs."""
        return max(1, len(self.problem.ids) * self.problem.policy.max_moves_per_round_percent // 100)

    def block_of(self, streams: Ints) -> Codes:
        return self.problem.block[streams]

    def weight_of(self, streams: Ints) -> Ints:
        return self.problem.weight[streams]

    def abroad(self) -> Ints:
        """Streams away from home on open workers."""
        p = self.problem
        if not p.abroad.any():
            return none()
        away = np.take(p.abroad, self._cells(self.owner))
        return np.flatnonzero(away if self.owner.min() >= 0 else away & (self.owner >= 0))

    def moved_since(self, began: Codes) -> Ints:
        """Streams that had another owner when these were their owners (S,)."""
        moved = np.flatnonzero(self.owner != began)
        return moved[(self.owner[moved] >= 0) & (began[moved] >= 0)]

    def weigh(self, owner: Codes) -> Ints:
        """(W,) the weight that this ownership puts on each worker."""
        p, count = self.problem, len(self.problem.names)
        if owner.max(initial=NOBODY) < 0:
            return np.zeros(count, np.int64)
        if len(p.weights) == 1:
            plain: Ints = counts(owner + 2, count + 2)[2:] * p.weights[0]
            return plain
        return sums(owner + 2, p.weight, count + 2)[2:].astype(np.int64)

    def weigh_of(self, streams: Ints) -> Ints:
        """(W,) what these streams weigh where they are."""
        return self._weights(streams, self.owner[streams])

    def put(self, streams: Ints, workers: Ints) -> None:
        """Give each stream to the worker beside it, of which it is known that it has room for all of them; where it
        is not known, in an `attempt`.
        """
        self._own()
        self.owner[streams] = workers
        self._count(streams, workers, 1)

    def take(self, streams: Ints) -> Ints:
        """Remove streams from their workers, which are returned."""
        self._own()
        workers = self.owner[streams].astype(np.int64)
        self.owner[streams] = NOBODY
        self._count(streams, workers, -1)
        return workers

    def adopt(self, other: Fleet) -> None:
        """Be as another fleet of the same streams and workers."""
        self.owner, self.used, self.bytes_used = other.owner.copy(), other.used, other.bytes_used
        self._shared = False

    def _own(self) -> None:
        if self._shared:
            self.owner, self._shared = self.owner.copy(), False

    def _count(self, streams: Ints, workers: Ints, sign: int) -> None:
        p = self.problem
        if len(streams) < _FEW:
            self.used, self.bytes_used = self.used.copy(), self.bytes_used.copy()
            np.add.at(self.used, workers, sign * self.weight_of(streams))
            if p.bytes_bind:
                np.add.at(self.bytes_used, workers, sign * p.sizes[streams])
            return
        count = len(p.names)
        self.used = self.used + sign * self._weights(streams, workers)
        if p.bytes_bind:
            self.bytes_used = self.bytes_used + sign * sums(workers, p.sizes[streams], count).astype(np.int64)

    def _weights(self, streams: Ints, workers: Ints) -> Ints:
        """(W,) what these streams weigh on the workers beside them."""
        p, count = self.problem, len(self.problem.names)
        if len(p.weights) == 1:
            plain: Ints = counts(workers, count) * p.weights[0]
            return plain
        return sums(workers, self.weight_of(streams), count).astype(np.int64)

    def rooms(self, limit: Ints, weight: int, largest: int) -> Ints:
        """(W,) how many streams of this weight, none larger than `largest` bytes, each worker can take up to `limit`
        (weight); of closed ones too.
        """
        room: Ints = np.maximum(limit - self.used, 0) // weight
        if self.problem.bytes_bind and largest:
            room = np.minimum(room, np.maximum(self.problem.byte_capacity - self.bytes_used, 0) // largest)
        return room

    def overfull(self) -> bool:
        """Whether any worker holds more than it can."""
        p = self.problem
        return bool(np.any(self.used > p.capacity) or (p.bytes_bind and np.any(self.bytes_used > p.byte_capacity)))

    def held_by(self, worker: int) -> Ints:
        return np.flatnonzero(self.owner == worker)

    def stock(self) -> Floats:
        """(B, K) the weight of each block on open workers of each kind."""
        p = self.problem
        cells, weight = self._cells(self.owner), p.weight
        if len(self.open) < len(p.names) or self.owner.min(initial=0) < 0:
            on_open = np.take(np.append(p.is_open, False), self.owner)
            cells, weight = cells[on_open], weight[on_open]
        return sums(cells, weight, p.blocks * p.kinds).reshape(p.blocks, p.kinds)

    @contextmanager
    def attempt(self) -> Iterator[Attempt]:
        """What happens inside is undone unless it is kept."""
        self._own()
        before = Attempt(self, self.owner.copy(), self.used.copy(), self.bytes_used.copy())
        yield before
        if not before.kept:
            self.owner, self.used, self.bytes_used = before.owner, before.used, before.bytes_used


class Attempt:
    """The state before an attempt, inside of which streams may be put where nobody asked for room."""

    def __init__(self, fleet: Fleet, owner: Codes, used: Ints, bytes_used: Ints) -> None:
        self._fleet = fleet
        self.owner, self.used, self.bytes_used = owner, used, bytes_used
        self.kept = False

    def keep(self) -> bool:
        """Keep what happened, unless a worker holds more than it can now; whether it is kept."""
        self.kept = not self._fleet.overfull()
        return self.kept


def spread(problem: Problem, workers: Ints, used: Ints, fair: Floats) -> tuple[float, float]:
    """Largest distance of these workers from their fair part: as a load, 0..1, and as weight."""
    if not len(workers):
        return 0.0, 0.0
    away = np.abs(used[workers] - fair[workers])
    return float((away / problem.capacity[workers]).max()), float(away.max())
