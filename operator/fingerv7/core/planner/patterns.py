"""What is the cheapest that each worker can give and get so that its load is as it has to be, at given prices?

By dynamic programming over the load, for all workers at once: a worker gives first and gets then, one class of
streams after the other. How many streams of a class there are is rounded up where there are many, which allows more,
never less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fingerv7.core.planner.arrays import Bools, Floats, Ints, sums

_SINGLY = 3
"""So many streams of a class are looked at one by one, the others in bundles of twice the size each."""
_CELLS = 1 << 16
"""Loads times workers that are looked at together: what stays near the processor."""
_NEVER = 1 << 28
"""A cost that no pattern has."""


class Trade(NamedTuple):
    """Streams of one weight that workers may give, or get; each worker those of one class."""

    weight: int
    gets: bool
    supply: Ints
    """(W,) how many at most,"""
    of: Ints
    """(W,) and of which class."""


class Limits(NamedTuple):
    """The load that each worker (W,) has, and between which it is to end."""

    had: Ints
    least: Ints
    most: Ints


class _Step(NamedTuple):
    """So many streams of a trade at once, or none."""

    trade: Trade
    bundle: int
    never: Ints
    """(W,) what it costs where there are not so many."""

    @property
    def rise(self) -> int:
        return self.trade.weight * self.bundle


class Workers:
    """Some workers and what they may trade."""

    def __init__(self, trades: Sequence[Trade], limits: Limits) -> None:
        self._limits = limits
        self._height = int(max(limits.had.max(), limits.most.max())) + 1
        self._steps = [step for trade in trades for step in _steps(trade, self._height)]

    @property
    def effort(self) -> int:
        """How many numbers are compared to answer what is cheapest."""
        return len(self._steps) * self._height * len(self._limits.had)

    def cheapest(self, gives: Ints, gets: Ints) -> tuple[int, Floats]:
        """What it costs all of them at these prices by class (C,), and (C,) how many streams more than they get they
        give then.
        """
        height, columns = self._height, np.arange(len(self._limits.had))
        cost = np.full((height, len(columns)), _NEVER, np.int32)
        cost[self._limits.had, columns] = 0
        taken: list[Bools] = []
        for step in self._steps:
            low, high = cost[: height - step.rise], cost[step.rise :]
            source, target = (low, high) if step.trade.gets else (high, low)
            price = (gets if step.trade.gets else gives)[step.trade.of]
            added = source + (price * step.bundle + step.never).astype(np.int32)
            taken.append(added < target)
            np.minimum(target, added, out=target)
        loads = np.arange(height)[:, None]
        cost[(loads < self._limits.least) | (loads > self._limits.most)] = 2 * _NEVER
        load = cost.argmin(axis=0)
        return int(cost[load, columns].sum()), self._given(taken, load, len(gives))

    def _given(self, taken: list[Bools], load: Ints, classes: int) -> Floats:
        """Back along the cheapest way, from the loads that workers end with (W,)."""
        given = np.zeros(classes)
        for step, better in zip(reversed(self._steps), reversed(taken), strict=True):
            row = load - step.rise if step.trade.gets else load
            some = np.flatnonzero((row >= 0) & (row < len(better)))
            some = some[better[row[some], some]]
            if len(some):
                sign = -1 if step.trade.gets else 1
                given += sums(step.trade.of[some], np.full(len(some), sign * step.bundle), classes)
                load[some] += sign * step.rise
        return given


def in_portions(trades: Sequence[Trade], limits: Limits) -> list[Workers]:
    """A few workers each, of about the same load."""
    height = np.maximum(limits.had, limits.most) + 1
    order = np.argsort(height, kind="stable")
    ends = np.flatnonzero(np.diff(np.cumsum(height[order]) // _CELLS)) + 1
    return [
        Workers(
            [trade._replace(supply=trade.supply[those], of=trade.of[those]) for trade in trades],
            Limits(limits.had[those], limits.least[those], limits.most[those]),
        )
        for those in np.split(order, ends)
    ]


def _steps(trade: Trade, height: int) -> Iterator[_Step]:
    most, taken, bundle = int(trade.supply.max(initial=0)), 0, 1
    while taken < most and trade.weight * bundle < height:
        bundle = min(bundle, most - taken)
        yield _Step(trade, bundle, np.where(trade.supply > taken, 0, _NEVER))
        taken += bundle
        if taken >= _SINGLY:
            bundle = taken + 1
