"""Single moves and swaps, where streams of different weights do not add up to the fair parts.

What is above a fair part by 7 cannot give a stream of 10, and yet the fleet may be far more even once it has: the
worst worker is evened out by the one move, or exchange of a heavy stream for a light one, that lowers the sum of
squared distances from the fair loads most. That sum falls with every step, so that this ends. It stops inside the
tolerance.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.shares import Shares

_PARTNERS = 8
"""How many of the best partners a worker is compared with."""
_PATIENCE = 64
"""After so many workers in a row that could not be helped, it is left at that."""


@dataclass(frozen=True, slots=True)
class _Step:
    gain: float
    donor: int
    gives: int
    receiver: int
    returns: int | None = None


class Evening:
    def __init__(self, fleet: Fleet, shares: Shares) -> None:
        self.touched: set[str] = set()
        """The streams that were moved."""
        self._fleet = fleet
        self._shares = shares
        self._ids: dict[int, dict[int, list[str]]] = {i: {} for i in fleet.open}
        for i, ids in sorted(fleet.held_by(set(fleet.open)).items()):
            for stream_id in ids:
                self._ids[i].setdefault(fleet.class_of(stream_id), []).append(stream_id)
        self._order = sorted((self._off(i), i) for i in fleet.open)

    def run(self, moves: int, tolerance: float) -> None:
        """Take steps until every load is within `tolerance` of the fair one, or `moves` are used up."""
        stuck: set[int] = set()
        in_vain = 0
        while moves > 0 and in_vain < _PATIENCE:
            worst = self._worst(stuck)
            if worst is None or abs(self._off(worst)) <= tolerance:
                return
            step = self._best(worst, moves)
            if step is None:
                stuck.add(worst)
                in_vain += 1
                continue
            in_vain = 0
            moves -= 1 if step.returns is None else 2
            self._shift(step.gives, step.donor, step.receiver)
            if step.returns is not None:
                self._shift(step.returns, step.receiver, step.donor)
            stuck -= {step.donor, step.receiver}

    def _worst(self, stuck: set[int]) -> int | None:
        """The worker furthest from its fair load, in either direction."""
        ends = [
            next((entry for entry in order if entry[1] not in stuck), None)
            for order in (self._order, reversed(self._order))
        ]
        return max(((abs(end[0]), end[1]) for end in ends if end), default=(0.0, None))[1]

    def _off(self, worker: int) -> float:
        """Distance from the fair load."""
        return self._fleet.used[worker] / self._fleet.capacity[worker] - self._shares.loads[worker]

    def _best(self, worker: int, moves: int) -> _Step | None:
        if self._off(worker) > 0:
            pairs = [(worker, i) for _, i in self._partners(self._order, worker)]
        else:
            pairs = [(i, worker) for _, i in self._partners(reversed(self._order), worker)]
        steps = [step for donor, receiver in pairs for step in self._moves(donor, receiver)]
        if not steps and moves > 1:
            steps = [step for donor, receiver in pairs for step in self._swaps(donor, receiver)]
        return max(steps, key=lambda s: (s.gain, -s.donor, -s.receiver, -s.gives, -(s.returns or 0)), default=None)

    def _partners(self, order: Iterable[tuple[float, int]], worker: int) -> Iterable[tuple[float, int]]:
        """Those at the other end of the order that something can be moved to or from."""
        kinds, fleet = self._fleet.kind, self._fleet
        mine = {k for c in self._ids[worker] for k in fleet.classes[c].kinds}
        giving = self._off(worker) > 0

        def suits(i: int) -> bool:
            if giving:
                return kinds[i] in mine
            return any(kinds[worker] in fleet.classes[c].kinds for c in self._ids[i])

        return islice((entry for entry in order if entry[1] != worker and suits(entry[1])), _PARTNERS)

    def _moves(self, donor: int, receiver: int) -> Iterable[_Step]:
        for c in self._ids[donor]:
            gain = self._gain(donor, receiver, self._fleet.classes[c].weight)
            if gain > 0 and self._fits(c, donor, receiver):
                yield _Step(gain, donor, c, receiver)

    def _swaps(self, donor: int, receiver: int) -> Iterable[_Step]:
        classes = self._fleet.classes
        for c in self._ids[donor]:
            for back in self._ids[receiver]:
                weight = classes[c].weight - classes[back].weight
                gain = self._gain(donor, receiver, weight) if weight > 0 else 0
                if gain > 0 and self._fits(c, donor, receiver, back) and self._fits(back, receiver, donor, c):
                    yield _Step(gain, donor, c, receiver, back)

    def _gain(self, donor: int, receiver: int, weight: int) -> float:
        """By how much the sum of squares, each divided by its worker's capacity, falls (Ψ = Σ off² · capacity)."""
        capacity = self._fleet.capacity
        lost, won = weight / capacity[donor], weight / capacity[receiver]
        gain = weight * (2 * self._off(donor) - lost) - weight * (2 * self._off(receiver) + won)
        return gain if gain > 1e-9 else 0.0

    def _fits(self, c: int, source: int, target: int, leaving: int | None = None) -> bool:
        fleet = self._fleet
        if fleet.kind[target] not in fleet.classes[c].kinds:
            return False
        used, bytes_used = fleet.used[target], fleet.bytes_used[target]
        if leaving is not None:
            used -= fleet.classes[leaving].weight
            bytes_used -= fleet.streams[self._ids[target][leaving][-1]].size
        size = fleet.streams[self._ids[source][c][-1]].size
        return used + fleet.classes[c].weight <= fleet.capacity[target] and (
            bytes_used + size <= fleet.byte_capacity[target]
        )

    def _shift(self, c: int, source: int, target: int) -> None:
        for i in (source, target):
            del self._order[bisect_left(self._order, (self._off(i), i))]
        ids = self._ids[source][c]
        stream_id = ids.pop()
        if not ids:
            del self._ids[source][c]
        self._fleet.take(stream_id)
        self._fleet.put(target, stream_id)
        insort(self._ids[target].setdefault(c, []), stream_id)
        self.touched.add(stream_id)
        for i in (source, target):
            insort(self._order, (self._off(i), i))
