"""How few moves lead to loads within limits where streams differ in weight, and in who can take them.

A worker that has to become lighter by 7 and has weights of 10 and 3 gives one and is given another, or gives more:
what it can do is a pattern of streams given and got that sum up to what it has to lose. In any plan, as many streams
of a class are got as are given or had no owner before. So if giving one counts for some part of a move, and getting
it for the rest, each move counts once whatever the parts are, and the cheapest patterns of all workers together cost
no more than any plan does (Lagrangian relaxation). A part may be more than a move, and the rest less than nothing:
so the streams count that are passed on along a chain of workers.

The parts are prices. Where more streams of a class are given than got at these prices, giving becomes dearer, and
the other way round, by smaller and smaller steps (subgradient method; their size as J. Duchi, E. Hazan, Y. Singer,
2011). What the patterns cost is a bound at any prices: the best that was seen is the answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fingerv7.core.planner.arrays import Bools, Codes, Floats, Ints, counts
from fingerv7.core.planner.patterns import Limits, Trade, Workers, in_portions
from fingerv7.core.planner.problem import Problem

_MOVE = 128
"""Prices are whole numbers; a move costs so much."""
_ROUNDS = 40
"""So many prices are tried at most,"""
_CELLS = 1 << 21
"""So many weights, groups and workers are looked at together at most,"""
_EFFORT = 1 << 26
"""and so many numbers compared for it: about 0.15 s."""


class Asked(NamedTuple):
    """Streams that are `placed` (S,), of which some have an owner (S,), are to make up loads between `least` and
    `most` (W,), by moves to workers that may take them (B, K).
    """

    owner: Codes
    placed: Bools
    least: Ints
    most: Ints
    may_take: Bools


def fewest_to_exchange(problem: Problem, asked: Asked, enough: int) -> int:
    """Moves of streams with an owner without which that cannot be; not looked for more than `enough`. 0, for nothing
    is known, where it would take long.
    """
    if enough <= 0:
        return 0
    asked = asked._replace(most=np.minimum(asked.most, int(problem.weight[asked.placed].sum())))
    for group in _groupings(problem, asked.may_take):
        market = _Market(problem, asked, group)
        if 3 * market.effort <= _EFFORT:
            return market.best(enough)
    return 0


def _groupings(p: Problem, may_take: Bools) -> Iterator[Ints]:
    """(B,) which blocks have prices together: each its own, or those that the same sites take."""
    yield np.arange(p.blocks)
    reach = np.zeros((p.blocks, int(p.site.max()) + 1), bool)
    for kind, site in np.unique(np.stack((p.kind, p.site)), axis=1).T.tolist():
        reach[:, site] |= may_take[:, kind]
    yield np.unique(reach, axis=0, return_inverse=True)[1].ravel()


class _Market:
    """A class is a weight and a group of blocks."""

    def __init__(self, problem: Problem, asked: Asked, group: Ints) -> None:
        self._problem, self._asked, self._group = problem, asked, group
        self._groups = int(group.max()) + 1
        self._classes = len(problem.weights) * self._groups
        in_all = self._number(np.flatnonzero(asked.placed))
        self._free = self._number(np.flatnonzero(asked.placed & (asked.owner < 0)))
        """(C,) streams that come for nothing."""
        trading = self._trading(in_all)
        self._workers = trading or []
        self.effort = _EFFORT if trading is None else max(1, sum(some.effort for some in trading))

    def _number(self, streams: Ints) -> Ints:
        p = self._problem
        return counts(p.rank[streams].astype(np.int64) * self._groups + self._group[p.block[streams]], self._classes)

    def _trading(self, in_all: Ints) -> list[Workers] | None:
        """None for more than can be looked at."""
        p, asked, group = self._problem, self._asked, self._group
        mine = np.flatnonzero(asked.placed & (asked.owner >= 0))
        home, block = asked.owner[mine].astype(np.int64), p.block[mine]
        elsewhere = (asked.may_take @ counts(p.kind, p.kinds))[block] > asked.may_take[block, p.kind[home]]
        takes = np.zeros((self._groups, p.kinds), bool)
        np.logical_or.at(takes, group, asked.may_take)
        concerns = takes.copy()
        concerns[group[block], p.kind[home]] = True
        # The workers of a kind have to do with some groups only: their first, their second, and so on.
        slot = concerns.cumsum(axis=0) - 1
        shape = len(p.weights), int(slot.max()) + 1, len(p.names)
        size = math.prod(shape)
        if size > _CELLS:
            return None
        cells = (p.rank[mine].astype(np.int64) * shape[1] + slot[group[block], p.kind[home]]) * shape[2] + home
        held, gives = (counts(some, size).reshape(shape) for some in (cells, cells[elsewhere]))
        which, kind = np.nonzero(concerns)
        its_group, welcome = np.zeros((shape[1], p.kinds), np.int64), np.zeros((shape[1], p.kinds), bool)
        its_group[slot[which, kind], kind], welcome[slot[which, kind], kind] = which, takes[which, kind]
        given: list[Trade] = []
        got: list[Trade] = []
        for rank, weight in enumerate(p.weights.tolist()):
            for n in range(shape[1]):
                of = rank * self._groups + its_group[n, p.kind]
                theirs = np.minimum(in_all[of] - held[rank, n], asked.most // weight)
                given.append(Trade(weight, False, gives[rank, n], of))
                got.append(Trade(weight, True, np.where(welcome[n, p.kind], theirs, 0), of))
        had = np.bincount(home, p.weight[mine], len(p.names)).astype(np.int64)
        return in_portions(given + got, Limits(had, asked.least, asked.most))

    def best(self, enough: int) -> int:
        """Moves that the patterns cost at the best prices found."""
        prices: Floats = np.zeros(self._classes)
        given, best = prices, -1
        for part in (_MOVE, _MOVE // 2, 0):
            some = np.full(self._classes, float(part))
            cost, missing = self._cost(some)
            if cost > best:
                prices, given, best = some, missing, cost
        step = min(_MOVE / 2, (enough * _MOVE - best) / max(1.0, float(np.abs(given).sum())))
        far = np.zeros(self._classes)
        for _ in range(min(_ROUNDS, _EFFORT // self.effort - 3)):
            if best > (enough - 1) * _MOVE or not given.any():
                break
            far += given * given
            prices += step * given / np.sqrt(np.maximum(far, 1.0))
            cost, given = self._cost(prices)
            best = max(best, cost)
        return -(-best // _MOVE) if best > 0 else 0

    def _cost(self, parts: Floats) -> tuple[int, Floats]:
        """What the cheapest patterns cost at these prices of giving (C,), rounded; how many streams (C,) are given,
        or come for nothing, and are not got.
        """
        gives = np.rint(parts).astype(np.int64)
        gets = _MOVE - gives
        found = [some.cheapest(gives, gets) for some in self._workers]
        missing: Floats = np.sum([given for _, given in found], axis=0) + self._free
        return sum(cost for cost, _ in found) - int(gets @ self._free), missing
