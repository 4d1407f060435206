"""Single moves and swaps, where streams of different weights do not add up to the fair parts.

What is above a fair part by 7 cannot give a stream of 10, and yet the fleet may be far more even once it has: the
worst worker is evened out by the one move, or exchange of a heavy stream for a light one, that lowers the sum of
squared distances from the fair parts most. That sum falls with every step, so that this ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fingerv7.core.planner.arrays import Floats, Ints
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
        step = _best(fleet, fair, worst, moves)
        if step is None:
            stuck.add(worst)
            in_vain += 1
            continue
        in_vain = 0
        moves -= 1 if step.returns is None else 2
        _move(fleet, step.gives, step.receiver)
        if step.returns is not None:
            _move(fleet, step.returns, step.donor)
        stuck -= {step.donor, step.receiver}


def _furthest(workers: Ints, off: Floats) -> list[int]:
    some = _PATIENCE + _PARTNERS
    mine = workers if len(workers) <= some else workers[np.argpartition(-off[workers], some)[:some]]
    found: list[int] = mine[np.lexsort((mine, -off[mine]))].tolist()
    return found


def _move(fleet: Fleet, stream: int, target: int) -> None:
    one = np.array([stream])
    fleet.take(one)
    fleet.put(one, np.array([target]))


def _best(fleet: Fleet, fair: Fair, worker: int, moves: int) -> _Step | None:
    p, workers = fleet.problem, fleet.open
    off = (fleet.used - fair.exact) / np.maximum(p.capacity, 1)
    giving = off[worker] > 0
    others = workers[workers != worker]
    order = others[np.lexsort((others, off[others] if giving else -off[others]))][:_PARTNERS].tolist()
    pairs = [(worker, i) if giving else (i, worker) for i in order]
    held = {i: _one_of_each(fleet, i) for i in {worker, *order}}
    steps = [step for pair in pairs for step in _moves(fleet, fair, held, *pair)]
    if not steps and moves > 1:
        steps = [step for pair in pairs for step in _swaps(fleet, fair, held, *pair)]
    return max(
        steps, key=lambda s: (round(s.gain, 9), -s.donor, -s.receiver, -s.gives, -(s.returns or 0)), default=None
    )


def _one_of_each(fleet: Fleet, worker: int) -> list[int]:
    """A stream of every class that lives there."""
    held = fleet.held_by(worker)
    found: list[int] = held[np.unique(fleet.problem.stream_class[held], return_index=True)[1]].tolist()
    return found


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
    capacity, away = fleet.problem.capacity, fleet.used - fair.exact
    lost, won = weight / capacity[donor], weight / capacity[receiver]
    gain = lost * (2 * away[donor] - weight) - won * (2 * away[receiver] + weight)
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
