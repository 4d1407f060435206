"""Single moves and swaps, where streams of different weights do not add up to the fair parts.

What is above a fair part by 7 cannot give a stream of 10, and yet the fleet may be far more even once it has: the
worst worker is evened out by the one move, or exchange of a heavy stream for a light one, that lowers the sum of
squared distances from the fair parts most. That sum falls with every step, so that this ends.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fingerv7.core.planner.arrays import Bools, Floats, Ints
from fingerv7.core.planner.fairness import Fair
from fingerv7.core.planner.fleet import Fleet

_PARTNERS = 8
"""How many of the best partners a worker is compared with."""
_PATIENCE = 8
"""After so many workers in a row that could not be helped, it is left at that."""


class _Step(NamedTuple):
    gain: float
    donor: int
    gives: int
    receiver: int
    returns: int | None


def even_out(fleet: Fleet, fair: Fair, moves: int) -> None:
    """Take steps until every load is within tolerance of the fair one and no whole stream is out of place, or
    `moves` are used up.
    """
    p, workers = fleet.problem, fleet.open
    tolerance = p.policy.imbalance_threshold_percent / 100
    index: _Index | None = None
    stuck: set[int] = set()
    in_vain = 0
    while moves > 0 and in_vain < _PATIENCE:
        away = fleet.used - fair.exact
        off = away / np.maximum(p.capacity, 1)
        far = [i for i in _furthest(workers, np.abs(off)) if i not in stuck]
        worst = next(
            (i for i in far if abs(off[i]) > tolerance and not fair.least[i] <= fleet.used[i] <= fair.most[i]), None
        )
        if worst is None:
            return
        if index is None:
            index = _Index(fleet)
            # Which kinds have something that another kind may take.
            gives = (fleet.stock().T > 0).astype(np.int32) @ fleet.may_take > 0
        step = _best(fleet, fair, index, worst, moves, gives)
        if step is None:
            stuck.add(worst)
            in_vain += 1
            continue
        in_vain = 0
        moves -= 1 if step.returns is None else 2
        index.move(step.gives, step.receiver)
        if step.returns is not None:
            index.move(step.returns, step.donor)
        stuck -= {step.donor, step.receiver}


def _furthest(workers: Ints, off: Floats) -> list[int]:
    some = _PATIENCE + _PARTNERS
    mine = workers if len(workers) <= some else workers[np.argpartition(-off[workers], some)[:some]]
    found: list[int] = mine[np.lexsort((mine, -off[mine]))].tolist()
    return found


def _best(fleet: Fleet, fair: Fair, index: _Index, worker: int, moves: int, gives: Bools) -> _Step | None:
    p, workers = fleet.problem, fleet.open
    off = (fleet.used - fair.exact) / np.maximum(p.capacity, 1)
    giving = off[worker] > 0
    kind = fleet.problem.kind
    suits = gives[kind[worker], kind[workers]] if giving else gives[kind[workers], kind[worker]]
    others = workers[suits & (workers != worker)]
    order = others[np.lexsort((others, off[others] if giving else -off[others]))][:_PARTNERS].tolist()
    pairs = [(worker, i) if giving else (i, worker) for i in order]
    held = {i: index.one_of_each(i) for i in {worker, *order}}
    steps = [step for pair in pairs for step in _moves(fleet, fair, held, *pair)]
    if not steps and moves > 1:
        steps = [step for pair in pairs for step in _swaps(fleet, fair, held, *pair)]
    return max(
        steps, key=lambda s: (round(s.gain, 9), -s.donor, -s.receiver, -s.gives, -(s.returns or 0)), default=None
    )


class _Index:
    """The streams of each worker, sorted into classes when somebody asks."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._order = np.argsort(fleet.owner, kind="stable")
        self._ends = np.searchsorted(fleet.owner[self._order], np.arange(len(fleet.problem.names) + 1))
        self._classes: dict[int, dict[int, list[int]]] = {}

    def one_of_each(self, worker: int) -> list[int]:
        """A stream of every class that lives there."""
        return [streams[-1] for _, streams in sorted(self._of(worker).items())]

    def move(self, stream: int, target: int) -> None:
        source, c = int(self._fleet.owner[stream]), int(self._fleet.problem.stream_class[stream])
        here, there = self._of(source), self._of(target)
        here[c].remove(stream)
        if not here[c]:
            del here[c]
        insort(there.setdefault(c, []), stream)
        one = np.array([stream])
        self._fleet.take(one)
        self._fleet.put(one, np.array([target]))

    def _of(self, worker: int) -> dict[int, list[int]]:
        if worker not in self._classes:
            found: dict[int, list[int]] = {}
            streams = self._order[self._ends[worker] : self._ends[worker + 1]]
            classes = self._fleet.problem.stream_class[streams]
            for stream, c in zip(streams.tolist(), classes.tolist(), strict=True):
                found.setdefault(c, []).append(stream)
            self._classes[worker] = found
        return self._classes[worker]


def _moves(fleet: Fleet, fair: Fair, held: dict[int, list[int]], donor: int, receiver: int) -> Iterator[_Step]:
    for stream in held[donor]:
        gain = _gain(fleet, fair, donor, receiver, _weight(fleet, stream))
        if gain > 0 and _fits(fleet, stream, receiver):
            yield _Step(gain, donor, stream, receiver, None)


def _swaps(fleet: Fleet, fair: Fair, held: dict[int, list[int]], donor: int, receiver: int) -> Iterator[_Step]:
    for stream in held[donor]:
        for back in held[receiver]:
            weight = _weight(fleet, stream) - _weight(fleet, back)
            gain = _gain(fleet, fair, donor, receiver, weight) if weight > 0 else 0.0
            if gain > 0 and _fits(fleet, stream, receiver, back) and _fits(fleet, back, donor, stream):
                yield _Step(gain, donor, stream, receiver, back)


def _weight(fleet: Fleet, stream: int) -> int:
    p = fleet.problem
    return int(p.weight[stream])


def _gain(fleet: Fleet, fair: Fair, donor: int, receiver: int, weight: int) -> float:
    """By how much the sum of squares, each divided by its worker's capacity, falls."""
    capacity = fleet.problem.capacity
    over, under = fleet.used[donor] - fair.exact[donor], fleet.used[receiver] - fair.exact[receiver]
    gain = weight / capacity[donor] * (2 * over - weight) - weight / capacity[receiver] * (2 * under + weight)
    return float(gain) if gain > 1e-9 else 0.0


def _fits(fleet: Fleet, stream: int, target: int, leaving: int | None = None) -> bool:
    p = fleet.problem
    block, kind = int(p.block[stream]), int(p.kind[target])
    if not fleet.may_take[block, kind]:
        return False
    used, size = int(fleet.used[target]) + _weight(fleet, stream), int(fleet.bytes_used[target] + p.sizes[stream])
    if leaving is not None:
        used -= _weight(fleet, leaving)
        size -= int(p.sizes[leaving])
    return used <= p.capacity[target] and (not p.bytes_bind or size <= p.byte_capacity[target])
