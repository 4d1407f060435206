"""Streams move because the loads are uneven.

Only outside the policy's tolerance, at most so many a round, and only where it clearly helps. The fair parts are
aimed at, not the edge of the tolerance, because a fleet that stops at the edge is outside it again with the next
stream. What is above a worker's part leaves it, and what is below is filled; where only one of the two calls for
moves, those on the other side who have the odd stream give it, or take it, so that nothing moves twice.
"""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import numpy as np

from fingerv7.core.planner.arrays import Codes, Floats, Ints, counts, joined, ranks, sums
from fingerv7.core.planner.evening import even_out
from fingerv7.core.planner.fairness import Fair, fair_parts, may_move, mean_parts, tolerable, with_room_at_home
from fingerv7.core.planner.fleet import Fleet, spread
from fingerv7.core.planner.giving import Gifts, choose
from fingerv7.core.planner.merging import merge
from fingerv7.core.planner.placing import bring_home, place
from fingerv7.core.planner.problem import NOBODY
from fingerv7.core.planner.regrouping import regroup
from fingerv7.core.planner.room import pass_on
from fingerv7.core.planner.shortening import shorten
from fingerv7.core.planner.water import pour

_STEPS = 6
_CLEARLY = 0.9
"""Balancing that leaves more than this part of the imbalance is not worth its moves."""
_NEARLY = 1 / 32
"""So much of what is uneven may be left where heavy streams were to save moves; else it is tried without them."""
_EPSILON = 1e-9


class Balancing(NamedTuple):
    came_home: Ints
    """Streams that went back to their location; what follows is the state without them, before the others moved."""
    owner: Codes
    used: Ints
    fair: Fair | None
    """The parts that were aimed at, if loads were evened out."""


def balance(fleet: Fleet) -> Balancing | None:
    """Even out the loads, where that is called for, allowed, and helps."""
    p = fleet.problem
    if not p.policy.may_balance or not len(fleet.open):
        return None
    work = _Work(fleet)
    came_home = work.bring_home()
    if not tolerable(fleet):
        owner, used = fleet.owner.copy(), fleet.used - fleet.weigh_of(came_home)
        owner[came_home] = NOBODY
        fair = fair_parts(fleet)
        if not tolerable(fleet, fair) and _even_out(work, fair):
            return Balancing(came_home, owner, used, fair)
    return Balancing(came_home, fleet.owner, fleet.used, None) if len(came_home) else None


def _even_out(work: _Work, fair: Fair) -> bool:
    """With few heavy streams if that makes loads nearly as even as they are to be: they may find no place."""
    again = work.anew()
    if _try_to_even_out(work, fair):
        return True
    return work.has_spared and _try_to_even_out(again, fair)


def _try_to_even_out(work: _Work, fair: Fair) -> bool:
    fleet = work.fleet
    before, uneven = _unevenness(fleet, fair), work.uneven_weight(fair)
    with fleet.attempt() as attempt:
        fleet.may_take = may_move(fleet.problem)
        for _ in range(_STEPS):
            if not work.step(fair):
                break
        if len(fleet.problem.weights) > 1 and not work.cut:
            even_out(fleet, fair, work.left)
        shorten(fleet, work.began)
        merge(fleet, work.began)
        regroup(fleet, work.began)
        fleet.may_take = fleet.problem.may_take
        helps = np.any(fleet.owner != attempt.owner) and _helps(before, _unevenness(fleet, fair), cut=work.cut)
        if helps and not (work.has_spared and work.uneven_weight(fair) > _NEARLY * uneven):
            attempt.keep()
    return attempt.kept


class _Work:
    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.began = fleet.owner.copy()
        """(S,) owners before anything moved."""
        self.left = fleet.budget
        """Moves that may still be made."""
        self._steps = 0
        self.may_spare = True
        """Whether few heavy streams may leave in place of several, though they may find no place,"""
        self.has_spared = False
        """and whether that was done."""
        self.cut = False
        """Whether more moves were wanted than may be made."""

    def anew(self) -> _Work:
        """The same from here on, sparing nothing."""
        other = copy(self)
        other.may_spare = False
        return other

    def uneven(self, fair: Fair) -> tuple[Ints, Ints]:
        """(W,) what is above what each may have and below what it should have, of those who may give and take."""
        used, closed = self.fleet.used, ~self.fleet.problem.is_open
        above, below = np.maximum(used - fair.most, 0), np.maximum(fair.least - used, 0)
        above[closed] = below[closed] = 0
        return above, below

    def uneven_weight(self, fair: Fair) -> int:
        return int(sum(some.sum() for some in self.uneven(fair)))

    def bring_home(self) -> Ints:
        """Streams whose location has room for them leave the others, and those after them for whom that makes room;
        those that did.
        """
        away = self.fleet.abroad()
        came: list[Ints] = []
        while self.left > 0 and len(movers := with_room_at_home(self.fleet, away)):
            movers = self._within_budget(movers, mean_parts(self.fleet, self.fleet.used))
            came.append(self._charge(movers, bring_home(self.fleet, movers)))
            if not len(came[-1]):
                break
            away = np.setdiff1d(away, came[-1], assume_unique=True)
        return joined(came)

    def step(self, fair: Fair) -> bool:
        """One round of giving and taking; whether anything moved."""
        fleet, p = self.fleet, self.fleet.problem
        used, is_open = fleet.used, p.is_open
        above, below = self.uneven(fair)
        if not (above.any() or below.any()):
            return False
        if self.left <= 0:
            self.cut = True
            return False
        short = p.by_site(below)
        # Who gives takes nothing, or lighter ones in return: where more is above than below, others are filled up as
        # far as they may be.
        fills_up = p.by_site(above) > short
        room = np.where(fills_up[p.site] & is_open, np.maximum(fair.most - used, 0), below)
        gifts = Gifts(
            must=above,
            may=np.where(is_open, np.maximum(used - fair.least, 0), 0),
            wanted=short,
            room=p.by_site(room),
        )
        heights = (used - above - fair.exact) / np.maximum(p.strength, 1.0)
        has_room = sums(p.kind, room, p.kinds) > 0
        first, self._steps = self._steps == 0, self._steps + 1
        spare_up_to = self.left if first and self.may_spare else 0
        movers, takes, is_spared = choose(
            fleet, gifts, heights, has_room, light_first=not first, spare_up_to=spare_up_to
        )
        self.has_spared |= is_spared
        takes_up_to = np.where(takes > 0, used - fleet.weigh_of(movers) + takes, 0)
        movers = self._within_budget(movers, fair.exact)
        if not len(movers):
            return False
        with fleet.attempt() as attempt:
            homes, aside = fleet.take(movers), 0
            givers = np.zeros(len(p.names), bool)
            givers[homes] = True
            left = place(fleet, movers, np.where(givers, takes_up_to, fair.least), all_that_fit=False)
            left = place(fleet, left, np.where(givers, takes_up_to, fair.most), all_that_fit=False)
            if len(left) == len(movers) and p.blocks > 1:
                made = pass_on(fleet, left, np.where(givers, fleet.used, fair.most), self.left - len(movers))
                aside = len(made.aside)
            # Who is passed on to a giver weighs no more than what left it, and may be larger in bytes.
            nowhere = fleet.owner[movers] < 0
            fleet.put(movers[nowhere], homes[nowhere])
            if not attempt.keep():
                return False
        self.left -= aside
        return len(self._charge(movers, homes)) > 0

    def _from_the_fullest(self, wanted: int, at_most: Ints, parts: Floats) -> Ints:
        """(W,) what each worker gives: poured upside down."""
        fleet, p = self.fleet, self.fleet.problem
        group = np.zeros(len(p.names), np.int16)
        height = parts - fleet.used
        return pour(np.array([wanted]), group, height, at_most, np.maximum(p.strength, 1.0))

    def _within_budget(self, movers: Ints, parts: Floats) -> Ints:
        """As many as may be moved, from the fullest workers evenly."""
        fleet, p = self.fleet, self.fleet.problem
        if len(movers) <= self.left:
            return movers
        self.cut = True
        may = self._from_the_fullest(self.left, counts(fleet.owner[movers], len(p.names)), parts)
        movers = movers[np.argsort(fleet.owner[movers], kind="stable")]
        owners = fleet.owner[movers]
        return movers[ranks(owners) < may[owners]]

    def _charge(self, movers: Ints, homes: Ints) -> Ints:
        """Count the moves; answer who made them."""
        moved: Ints = movers[self.fleet.owner[movers] != homes]
        self.left -= len(moved)
        return moved


class _Unevenness(NamedTuple):
    from_mean: float
    """Largest distance from the mean load,"""
    from_fair: float
    """and from the fair load."""
    squares: float
    """Sum of squared distances from the fair parts, each as a share of the capacity."""


def _unevenness(fleet: Fleet, fair: Fair) -> _Unevenness:
    p, workers = fleet.problem, fleet.open
    away = fleet.used[workers] - fair.exact[workers]
    return _Unevenness(
        spread(p, workers, fleet.used, mean_parts(fleet, fleet.used))[0],
        spread(p, workers, fleet.used, fair.exact)[0],
        float((away * away / p.capacity[workers]).sum()),
    )


def _helps(before: _Unevenness, after: _Unevenness, *, cut: bool) -> bool:
    """A step that the budget cut short need not reach the worst worker yet, but it must come nearer."""
    if after.from_mean > before.from_mean + _EPSILON:
        return False
    if cut:
        return after.squares < before.squares - _EPSILON
    return after.from_mean <= _CLEARLY * before.from_mean or after.from_fair <= _CLEARLY * before.from_fair
