"""How few moves lead from one set of loads to another where streams differ in weight, counted worker by worker.

A worker that has to become lighter by 7 and has weights of 10 and 3 gives one and is given another, or gives more:
what it can do is a pattern of streams given and got that sum up to what it has to lose. Every move but those of
streams that had no owner is given by one worker, and every move is got by one. So if giving counts for a part of a
move and getting for the rest of it, whatever the part, the cheapest patterns of all workers together cost no more
than the moves of any plan with these loads. The part that says most is taken.

The cheapest pattern is found by dynamic programming over what has been lost so far, for all workers at once. How many
streams of a weight there are is rounded up where there are many, which allows more patterns, never fewer.
"""

from __future__ import annotations

import numpy as np

from fingerv7.core.planner.arrays import Bools, Codes, Ints, counts
from fingerv7.core.planner.problem import Problem

_PARTS = 2
"""Of so many parts of a move, 0 to all count for giving."""
_BEYOND = 4
"""How many of the heaviest streams a worker may have given, or got, on the way more than it has to."""
_FAR = 1 << 12
"""What a worker has to lose or gain, above which it is not counted,"""
_SIZE = 1 << 22
"""and workers times weights times loads on the way."""
_SINGLY = 3
"""So many streams of a weight are looked at one by one, the others in bundles of twice the size each."""
_NEVER = 1 << 13


def fewest_to_exchange(problem: Problem, owner: Codes, placed: Bools, reached: Ints) -> int:
    """Moves of streams with an owner (S,) without which those that are `placed` (S,) cannot make up the loads
    `reached` (W,). 0, for nothing is known, where that would take long.
    """
    p = problem
    held = placed & (owner >= 0)
    used = np.bincount(owner[held], p.weight[held], len(p.names)).astype(np.int64)
    workers = np.flatnonzero(used != reached)
    lose = (used - reached)[workers]
    if not len(workers):
        return 0
    reach = int(np.abs(lose).max()) + _BEYOND * int(p.weights[0])
    if reach > _FAR or len(workers) * len(p.weights) * reach > _SIZE:
        return 0
    gives, gets = _supply(p, owner, placed, workers)
    parts = np.arange(_PARTS + 1)
    cost = np.full((len(parts), 2 * reach + 1, len(workers)), _NEVER, np.int16)
    """By part, what has been lost so far (what is got on the way lies below the middle) and worker."""
    cost[:, reach] = 0
    for rank, weight in enumerate(p.weights.tolist()):
        _add(cost, gives[rank], weight, parts)
        _add(cost[:, ::-1], gets[rank], weight, parts[::-1])
    fewest = cost[:, reach + lose, np.arange(len(workers))].astype(np.int64)
    # Who leaves that range on the way has given, or got, so much, and got or given as much but for what it loses.
    beyond = np.full(len(workers), reach)
    part = parts[:, None]
    above = part * _fewest(gives, p.weights, beyond) + part[::-1] * _fewest(gets, p.weights, beyond - lose)
    below = part[::-1] * _fewest(gets, p.weights, beyond) + part * _fewest(gives, p.weights, beyond + lose)
    in_all = np.minimum(fewest, np.minimum(above, below)).sum(axis=1)
    free = int((placed & (owner < 0)).sum())
    return max(0, int((-(-(in_all - parts[::-1] * free) // _PARTS)).max()))


def _supply(p: Problem, owner: Codes, placed: Bools, workers: Ints) -> tuple[Ints, Ints]:
    """(J, W') how many streams of each weight each of these workers could give to another, and be given by others."""
    shape, count = (len(p.weights), p.blocks), len(p.names)
    all_ = counts(p.stream_class[placed], shape[0] * shape[1]).reshape(shape)
    mine = np.flatnonzero(placed & (owner >= 0))
    home = owner[mine].astype(np.int64)
    welcome = p.may_take[p.block[mine], p.kind[home]]
    elsewhere = (p.may_take @ counts(p.kind, p.kinds))[p.block[mine]] > welcome
    cells = p.stream_class[mine] // p.blocks * np.int64(count) + home
    size = len(p.weights), count
    gives = counts(cells[elsewhere], size[0] * size[1]).reshape(size)[:, workers]
    theirs = counts(cells[welcome], size[0] * size[1]).reshape(size)[:, workers]
    return gives, (all_ @ p.may_take)[:, p.kind[workers]] - theirs


def _fewest(supply: Ints, weights: Ints, wanted: Ints) -> Ints:
    """(W',) how many of these streams (J, W') weigh so much at least; very many where all of them do not."""
    number = np.zeros_like(wanted)
    for mine, weight in zip(supply, weights.tolist(), strict=True):
        some = np.minimum(mine, -(-np.maximum(wanted, 0) // weight))
        number, wanted = number + some, wanted - some * weight
    return np.where(wanted > 0, _NEVER, number)


def _add(cost: Ints, supply: Ints, weight: int, prices: Ints) -> None:
    """Let each worker lose up to so many streams of a weight, at these prices each."""
    width, taken, bundle = cost.shape[1], 0, 1
    while weight * bundle < width and (able := supply > taken).any():
        step = weight * bundle
        for those, price in zip(cost, prices.tolist(), strict=True):
            added = np.where(able, price * bundle, _NEVER).astype(np.int16)
            np.minimum(those[step:], those[: width - step] + added, out=those[step:])
        taken += bundle
        if taken >= _SINGLY:
            bundle = taken + 1
