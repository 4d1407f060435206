"""The order of a round: keep, shed, place; and when nothing had to be placed, balance, or else rotate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from fingerv7.core.model import Stream
from fingerv7.core.planner.arrays import Bools, Codes, Ints
from fingerv7.core.planner.balancing import Balancing, balance
from fingerv7.core.planner.bound import fewest_to_balance, fewest_to_come_home, fewest_to_place, fewest_to_reach
from fingerv7.core.planner.fairness import fair_parts, mean_parts, strangers, tolerable
from fingerv7.core.planner.fleet import Fleet, spread
from fingerv7.core.planner.model import Candidate, Plan, Policy, Strategy, Trigger, Unplaced
from fingerv7.core.planner.overflow import shed
from fingerv7.core.planner.placing import bring_home, place
from fingerv7.core.planner.problem import GONE, NOBODY, Problem, pose
from fingerv7.core.planner.room import gather, pass_on, squeeze
from fingerv7.core.planner.rotating import rotate
from fingerv7.core.planner.table import StreamTable
from fingerv7.core.planner.views import TRIGGERS, Loads, Moves, Target

_CODE = {trigger: code for code, trigger in enumerate(TRIGGERS)}


def plan(
    streams: Mapping[str, Stream] | StreamTable,
    candidates: Mapping[str, Candidate],
    current: Mapping[str, str],
    policy: Policy,
) -> Plan:
    """Who should run what.

    `current` maps a stream to the worker that has it, or is about to get it: hand-overs in flight count as done. Ids
    that are not in `streams` are ignored, owners that are not in `candidates` have lost what they had. A worker's
    load is weight / capacity, with capacity = `max_streams` - `reserved_weight`; mean load and imbalance are taken
    over the workers that may be given something, and over what these hold. A `StreamTable` made before from the same
    streams gives the same plan sooner.
    """
    table = streams if isinstance(streams, StreamTable) else StreamTable(streams)
    return solve(pose(table, candidates, current, policy))


def solve(problem: Problem) -> Plan:
    """As `plan`, for a problem that was posed already."""
    return _Round(problem).plan() if len(problem.names) else _nobody(problem)


def _nobody(problem: Problem) -> Plan:
    """The plan without any worker."""
    blocks = problem.stream_class % max(1, problem.blocks)
    return Plan(
        target={},
        moves=(),
        unplaced=tuple(map(Unplaced, problem.ids, (problem.why_not[b] for b in blocks.tolist()))),
        imbalance_before_percent=0.0,
        imbalance_after_percent=0.0,
    )


class _Round:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.fleet = Fleet(problem)
        self._codes: Codes = np.full(len(problem.ids), -1, np.int8)
        """(S,) why each stream moves; -1 where it does not."""

    def plan(self) -> Plan:
        p, fleet = self.problem, self.fleet
        before = fleet.weigh(p.owner) if len(fleet.homeless) else fleet.used
        parts = mean_parts(fleet, before)
        imbalance_before = spread(p, fleet.open, before, parts)[0]
        homeless = fleet.homeless
        owner = p.owner[homeless]
        self._mark(homeless[owner == NOBODY], Trigger.NewStream)
        self._mark(homeless[owner == GONE], Trigger.WorkerLost)
        self._mark(homeless[owner >= 0], Trigger.WorkerIneligible)
        overflow, shed_least = shed(fleet)
        self._mark(overflow, Trigger.OverCapacity)
        waiting = np.sort(np.concatenate((homeless, overflow))) if len(overflow) else homeless
        was_owned = p.owner[waiting] != NOBODY
        if was_owned.any() and not was_owned.all():
            waiting = np.concatenate((waiting[was_owned], waiting[~was_owned]))
        least = shed_least + int(self._is_kept(homeless).sum())
        forced: list[Callable[[], int]] = []
        wished = spared = 0

        asked = len(waiting)
        waiting = self._place(waiting)
        if len(overflow) > shed_least or np.any(self._codes == _CODE[Trigger.MakingRoom]):
            forced.append(partial(self._more_to_place, fleet.owner.copy(), waiting, least))
        if len(waiting) == asked:
            # Only when nothing else moves: loads are judged once repairs have settled.
            waited, balancing = waiting, balance(fleet)
            if balancing:
                self._label(np.flatnonzero(fleet.owner != p.owner), busy=before > 0)
                waiting = self._place(waiting)
                forced.append(partial(self._fewest_to_balance, balancing, np.setdiff1d(waited, waiting)))
            else:
                rotated = rotate(fleet)
                self._mark(rotated, Trigger.Rotation)
                if len(rotated) and len(waiting):
                    # Loads and bytes are others now: there may be room for one that waits.
                    waiting = self._place_later(squeeze(fleet, waiting, p.capacity))
                wished = int((fleet.owner[rotated] != p.owner[rotated]).sum())
            # Who left an over-full worker and is back now did not have to move after all.
            spared = int(((fleet.owner[waited] >= 0) & (fleet.owner[waited] == p.owner[waited])).sum())
        spared += int(self._is_kept(waiting).sum())

        def fewest() -> int:
            return max(0, least + sum(count() for count in forced) - spared) + wished

        return self._answer(np.sort(waiting), before, imbalance_before, fewest)

    def _more_to_place(self, reached: Codes, waiting: Ints, least: int) -> int:
        """How many more moves than at `least` the repairs cannot do without."""
        return max(0, fewest_to_place(self.problem, reached) + int(self._is_kept(waiting).sum()) - least)

    def _fewest_to_balance(self, balancing: Balancing, placed: Ints) -> int:
        """Moves that did not come about without: who is home now, and then the loads that balancing led to, with the
        streams that found a place at last.
        """
        p, fleet = self.problem, self.fleet
        home, owner = balancing.came_home, balancing.owner
        came_home = fewest_to_come_home(p, home, fleet.owner)
        if balancing.fair is None:
            return came_home
        coming = int(p.weight[home].sum() + p.weight[placed].sum())
        least = fewest_to_balance(p, owner, balancing.used, fleet.used, balancing.fair, coming)
        if (p.blocks > 1 or len(p.weights) > 1) and least < int(((owner >= 0) & (owner != fleet.owner)).sum()):
            # Not as few as that: there may be chains, and exchanges, which take longer to count.
            back = home[p.abroad[p.block[home], p.kind[fleet.owner[home]]]]
            owner = owner.copy()
            owner[back] = p.owner[back]
            least = max(least, fewest_to_reach(p, owner, fleet.owner))
        return came_home + least

    def _mark(self, streams: Ints, trigger: Trigger) -> None:
        self._codes[streams] = _CODE[trigger]

    def _is_kept(self, streams: Ints) -> Bools:
        """Whether a stream has an owner that may keep what it has."""
        owner = self.problem.owner[streams]
        owned: Bools = owner >= 0
        return owned & self.problem.keeps[np.maximum(owner, 0)] if owned.any() else owned

    def _place(self, waiting: Ints) -> Ints:
        """Place what can be placed; answer the others, in the same order."""
        return self._place_later(self._place_now(waiting)) if len(waiting) else waiting

    def _place_later(self, waiting: Ints) -> Ints:
        """Place what the next round would find a place for, and the one after it; answer the others.

        Where sizes count, places are searched by weight and tried with bytes: an attempt in which streams return, or
        move on for nothing, may fail where one that takes them as settled does not.
        """
        p, fleet = self.problem, self.fleet
        asked = p.owner
        while len(waiting) and (p.bytes_bind or len(p.weights) > 1) and not np.array_equal(asked, fleet.owner):
            asked = fleet.owner
            later = _Round(p.after(asked))
            later._mark(waiting, Trigger.NewStream)
            left = later._place_now(np.sort(waiting))
            if len(left) == len(waiting):
                break
            fleet.adopt(later.fleet)
            self._mark_aside(np.flatnonzero((asked >= 0) & (asked != fleet.owner)))
            # Only now one may return to an owner that is given nothing new.
            waiting = squeeze(fleet, waiting[np.isin(waiting, left)], p.capacity)
        return waiting

    def _place_now(self, waiting: Ints) -> Ints:
        p, fleet = self.problem, self.fleet
        order = waiting
        limits = [p.capacity]
        if p.policy.target_load_percent < 100:
            limits.insert(0, p.capacity * p.policy.target_load_percent // 100)
        while len(waiting):
            before = len(waiting)
            for limit in limits:
                waiting = place(fleet, waiting, limit)
            if len(waiting):
                waiting = squeeze(fleet, waiting, p.capacity)
            if len(waiting):
                moved = np.flatnonzero((self._codes >= 0) & (fleet.owner >= 0))
                made = pass_on(fleet, waiting, p.capacity, moved=moved)
                self._mark_aside(made.aside)
                waiting = made.left
            if len(waiting) and len(p.weights) > 1:
                made = gather(fleet, waiting, p.capacity)
                self._mark_aside(made.aside)
                waiting = made.left
            if len(waiting) == before:
                break
            # What just went abroad for want of a gap of its size may find one now, and moves for nothing.
            away = strangers(fleet)
            away = away[self._codes[away] >= 0]
            if len(away):
                bring_home(fleet, away)
        return order[np.isin(order, waiting)] if len(waiting) else waiting

    def _mark_aside(self, streams: Ints) -> None:
        # What was only just placed has its reason already.
        p = self.problem
        self._mark(streams[(p.owner[streams] >= 0) & (self._codes[streams] < 0)], Trigger.MakingRoom)

    def _label(self, moved: Ints, busy: Bools) -> None:
        """Note the reason of balancing moves; streams that were placed just now keep theirs."""
        p, fleet = self.problem, self.fleet
        moved = moved[(self._codes[moved] < 0) & (fleet.owner[moved] >= 0)]
        source, target = p.owner[moved], fleet.owner[moved]
        self._mark(moved, Trigger.Imbalance)
        changed = p.capacity_changed[source] | p.capacity_changed[target]
        self._mark(moved[changed], Trigger.CapacityChanged)
        self._mark(moved[~busy[target]], Trigger.NewWorker)
        if p.policy.strategy is Strategy.Location:
            blocks = fleet.block_of(moved)
            home = p.at_home[blocks, p.kind[target]] & ~p.at_home[blocks, p.kind[source]]
            self._mark(moved[home], Trigger.ComingHome)

    def _answer(self, left: Ints, before: Ints, imbalance_before: float, fewest: Callable[[], int]) -> Plan:
        p, fleet = self.problem, self.fleet
        moved = np.flatnonzero((fleet.owner != p.owner) & (fleet.owner >= 0))
        owned = int(self._is_kept(moved).sum())
        capacity = np.maximum(p.capacity, 1)
        blocks = fleet.block_of(left)
        return Plan(
            target=Target(p, fleet.owner),
            moves=Moves(p, moved, fleet.owner[moved], self._codes[moved]),
            unplaced=tuple(
                Unplaced(p.ids[i], p.why_not[b]) for i, b in zip(left.tolist(), blocks.tolist(), strict=True)
            ),
            imbalance_before_percent=100 * imbalance_before,
            imbalance_after_percent=100 * spread(p, fleet.open, fleet.used, mean_parts(fleet, fleet.used))[0],
            owned_moves=owned,
            loads_before=Loads(p.names, 100 * before / capacity),
            loads_after=Loads(p.names, 100 * fleet.used / capacity),
            count_fewest=fewest,
            judge=lambda: (tolerable(fleet) or tolerable(fleet, fair_parts(fleet))) and not len(strangers(fleet)),
        )
