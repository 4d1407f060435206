"""What is each worker's fair part, and when loads are even enough.

Two measures. Quick: everybody at the mean load, of the fleet or of the worker's location as the strategy says. Exact:
the most even loads that capabilities and locations allow, which need not be one load for all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fingerv7.core.planner.arrays import Bools, Floats, Ints, sums
from fingerv7.core.planner.fleet import Fleet, spread
from fingerv7.core.planner.flow import Flow
from fingerv7.core.planner.problem import Problem
from fingerv7.core.planner.water import levels

_EPSILON = 1e-6
_EXACT = 1e-4
"""Part of a stream that a worker's fair part may be off by."""


class Fair(NamedTuple):
    """By worker, as weight; 0 for those that are not open."""

    exact: Floats
    least: Ints
    """The part rounded down,"""
    most: Ints
    """and up: whole streams cannot be shared more evenly."""


def mean_parts(fleet: Fleet, used: Ints) -> Floats:
    """(W,) the parts if every worker could take every stream of its site."""
    if fleet.means is None or fleet.means[0] is not used:
        fleet.means = used, _mean_parts(fleet, used)
    return fleet.means[1]


def _mean_parts(fleet: Fleet, used: Ints) -> Floats:
    p, workers = fleet.problem, fleet.open
    parts: Floats = np.zeros(len(p.names))
    if len(workers):
        sites, strength = p.site[workers], p.strength[workers]
        count = int(sites.max()) + 1
        total = sums(sites, used[workers], count)
        parts[workers] = (total / np.maximum(sums(sites, strength, count), _EPSILON))[sites] * strength
        if np.any(parts > p.capacity + _EPSILON):
            room = p.capacity[workers].astype(np.float64)
            parts[workers] = levels(total, sites, np.zeros(len(workers)), room, strength)
    return parts


def may_move(problem: Problem) -> Bools:
    """(B, K) where streams may be moved to for the sake of even loads: those of a location stay there."""
    home = problem.may_take & problem.at_home
    return np.where((problem.stays_home & home.any(axis=1))[:, None], home, problem.may_take)


def fair_parts(fleet: Fleet) -> Fair:
    """The most even parts of what is on open workers now. Streams abroad are taken as given."""
    p, workers = fleet.problem, fleet.open
    open_kinds = np.zeros(p.kinds, bool)
    open_kinds[p.kind[workers]] = True
    allowed = may_move(p) & open_kinds
    used = sums(p.kind[workers], fleet.used[workers], p.kinds)
    if p.kinds > 1:
        capacity = sums(p.kind[workers], p.capacity[workers], p.kinds)
        width = sums(p.kind[workers], p.strength[workers], p.kinds)
        flow = Flow(allowed, used, np.maximum(capacity - used, 0), width)
        flow.amounts = np.where(allowed, fleet.stock(), 0.0)
        flow.even_out(np.ones(p.blocks, bool), allowed, _EXACT / max(float(p.strength.max(initial=1.0)), 1.0))
        used = flow.used
    exact: Floats = np.zeros(len(p.names))
    if len(workers):
        room = p.capacity[workers].astype(np.float64)
        exact[workers] = levels(used, p.kind[workers], np.zeros(len(workers)), room, p.strength[workers])
    slack = 10 * _EXACT
    least, most = np.floor(exact + slack).astype(np.int64), np.ceil(exact - slack).astype(np.int64)
    return Fair(exact, least, np.minimum(most, p.capacity))


def tolerable(fleet: Fleet, fair: Fair | None = None) -> bool:
    """Whether loads are within the policy's tolerance of the mean, or of the fair parts where those are known."""
    policy = fleet.problem.policy
    parts = mean_parts(fleet, fleet.used) if fair is None else fair.exact
    imbalance, difference = spread(fleet.problem, fleet.open, fleet.used, parts)
    if (
        imbalance * 100 <= policy.imbalance_threshold_percent + _EPSILON
        or difference <= policy.max_stream_difference + _EPSILON
    ):
        return True
    if fair is None:
        return False
    used = fleet.used[fleet.open]
    return bool(np.all((used >= fair.least[fleet.open]) & (used <= fair.most[fleet.open])))


def strangers(fleet: Fleet) -> Ints:
    """Streams that live abroad though a worker of their own location has room for them."""
    return with_room_at_home(fleet, fleet.abroad())


def with_room_at_home(fleet: Fleet, away: Ints) -> Ints:
    """Those of these streams for which a worker of their own location has room."""
    p = fleet.problem
    if not len(away):
        return away
    room = np.zeros(p.kinds, np.int64)
    limit = p.capacity * p.policy.target_load_percent // 100
    np.maximum.at(room, p.kind[fleet.open], (limit - fleet.used)[fleet.open])
    at_home = np.where(p.may_take & p.at_home, room, 0).max(axis=1)
    found: Ints = away[at_home[p.block[away]] >= p.weight[away]]
    return found
