"""How few moves could do, counted from where streams were and what was reached, not from the moves that were made.

Only moves of streams that had a live owner who could have kept them count: everything else has to move anyway.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fingerv7.core.planner.arrays import Bools, Codes, Ints, counts, sums
from fingerv7.core.planner.exchanging import Asked, fewest_to_exchange
from fingerv7.core.planner.fairness import Fair, may_move
from fingerv7.core.planner.passing import Passing
from fingerv7.core.planner.problem import NOBODY, Problem

_ALONE = 4096
"""Size of a network, blocks times places, up to which each worker that has to give is looked at by itself."""
_LARGE = 1 << 15
"""Size above which only what workers have to give is counted, not what they have to pass on."""


def fewest_to_place(problem: Problem, reached: Codes) -> int:
    """Moves without which the streams that have an owner in the end (S,) cannot all have one, bytes apart. Where all
    weigh the same and bytes do not bind this is exact, unless there are many kinds; with weights it may be 0 in large
    fleets, for nothing is known.
    """
    p = problem
    placed = reached >= 0
    mine = np.maximum(p.owner, 0)
    kept = placed & (p.owner >= 0) & p.may_keep[p.block, p.kind[mine]]
    evicted = placed & (p.owner >= 0) & p.keeps[mine] & ~kept
    if len(p.weights) == 1:
        return _fewest_to_leave(p, placed, kept, p.owner, p.capacity, p.may_take) + int(evicted.sum())
    owner = np.where(kept, p.owner, p.owner.dtype.type(NOBODY))
    asked = Asked(owner, placed, np.zeros_like(p.capacity), p.capacity, p.may_take)
    return fewest_to_exchange(p, asked, int((kept & (owner != reached)).sum())) + int(evicted.sum())


def fewest_to_reach(problem: Problem, owner: Codes, reached: Codes) -> int:
    """Moves of streams with an owner (S,) without which no plan can make up the loads that it has reached with these
    owners (S,); as `fewest_to_balance`, with capabilities looked at: along a chain of workers each has to give a
    stream for one that it is given. Where there are many kinds chains are left out.

    Plans that send a stream of a location abroad for it do not count, unless this one has done so.
    """
    p = problem
    placed, moved = reached >= 0, np.flatnonzero((owner != reached) & (reached >= 0))
    may_take = may_move(p)
    if not may_take[p.block[moved], p.kind[reached[moved]]].all():
        may_take = p.may_take
    loads = np.bincount(reached[placed], p.weight[placed], len(p.names)).astype(np.int64)
    if len(p.weights) == 1:
        return _fewest_to_leave(p, placed, placed & (owner >= 0), owner, loads, may_take)
    return fewest_to_exchange(p, Asked(owner, placed, loads, loads, may_take), int((owner[moved] >= 0).sum()))


def _fewest_to_leave(problem: Problem, placed: Bools, kept: Bools, owner: Codes, limit: Ints, may_take: Bools) -> int:
    """How many of those who are `kept` have to leave their owners so that all who are `placed` have a place, and
    nobody holds more than its `limit` (W,).

    Everybody stays at first. Where there are too many, guests who can be nowhere else come in, then everywhere those
    who are not kept: each along a cheapest path. Where that would take long, those who are too many are counted only.
    """
    p = problem
    room = limit // int(p.weights[0])
    held = counts(owner[kept], len(p.names))
    over = np.flatnonzero(held > room)
    # Too many to look at each: those of a kind together, which may bound less, never more.
    alone = (p.blocks + len(over)) * (p.kinds + len(over)) <= _ALONE
    where = p.kind.astype(np.int64)
    full_kind, of_full = p.kind[over], np.arange(len(over))
    if not alone:
        full_kind, of_full = np.unique(p.kind[over], return_inverse=True)
    where[over] = p.kinds + of_full
    kind = np.concatenate((np.arange(p.kinds), full_kind))
    places, full = len(kind), len(kind) - p.kinds
    if (p.blocks + full) * places > _LARGE:
        return int((held - room)[over].sum())
    cells = p.block[kept].astype(np.int64) * places + where[owner[kept]]
    stock = counts(cells, p.blocks * places).reshape(p.blocks, places)
    free = sums(where, np.where(p.is_open, np.maximum(room - held, 0), 0), places).astype(np.int64)
    guests = sums(where, np.maximum(held - room, 0), places).astype(np.int64)[p.kinds :]
    passing = Passing(
        np.vstack((may_take[:, kind], np.eye(full, places, p.kinds, dtype=bool))),
        np.vstack((stock, np.zeros((full, places), stock.dtype))),
        free,
        may_return=True,
    )
    coming = np.concatenate((counts(p.block[placed & ~kept], p.blocks), guests))
    for b in [*range(p.blocks, p.blocks + full), *range(p.blocks)]:
        passing.admit(b, int(coming[b]))
    return int(passing.gone.sum())


def fewest_to_come_home(problem: Problem, streams: Ints, owner: Codes) -> int:
    """Moves without which these streams, which were abroad, are not where they are with these owners (S,): each
    brings one home.
    """
    p = problem
    return int((~p.abroad[p.block[streams], p.kind[owner[streams]]]).sum())


def fewest_to_balance(problem: Problem, owner: Codes, used: Ints, reached: Ints, fair: Fair, coming: int = 0) -> int:
    """Moves without which no plan can make the loads as even as `reached`, or as the fair parts where it is better.

    `owner` (S,) and `used` (W,) weight are the state before loads are evened out. Every worker above its part has to
    give so many streams, counted by the heaviest that do not take it below its part, or by its heaviest where it can
    be given others for it; where the workers below theirs need more than that, others give as well. Streams without
    an owner, of the weight `coming`, are given to whoever needs them besides, for nothing.
    """
    is_open = problem.is_open
    most = np.maximum(np.where(is_open, fair.most, used), reached)
    least = np.minimum(np.where(is_open, fair.least, used), reached)
    over, short = np.maximum(used - most, 0), int(np.maximum(least - used, 0).sum()) - coming
    if len(problem.weights) == 1:
        held = (used // problem.weights[0])[None]
    else:
        shape = len(problem.weights), len(used) + 2
        cells = problem.rank * np.int32(shape[1])
        cells += owner + 2
        held = counts(cells, shape[0] * shape[1]).reshape(shape)[:, 2:]
    gifts = _Gifts(problem.weights, held)
    light = gifts.fewest(over, np.maximum(used - least, 0), short)
    if len(problem.weights) == 1:
        return light or 0
    # Who gives a stream that is too heavy for it is given another: one more move, unless that comes for nothing.
    exchanging = max(
        1 if coming else 2, gifts.fewest(over, used, short) or 0, _fewest_givers(over, used - least, short)
    )
    return exchanging if light is None else min(light, exchanging)


def _fewest_givers(over: Ints, may_give: Ints, short: int) -> int:
    """How many workers end with less than they had: each of them gives a stream at least, whatever it is given."""
    must = over > 0
    wanted = short - int(may_give[must].sum())
    others = np.cumsum(-np.sort(-np.maximum(may_give[~must], 0)))
    needed = int(np.searchsorted(others, wanted)) + 1 if wanted > 0 else 0
    return int(must.sum()) + min(needed, int((may_give[~must] > 0).sum()))


class _Gifts(NamedTuple):
    weights: Ints
    """Descending."""
    held: Ints
    """(J, W) how many streams of each weight each worker has."""

    def fewest(self, over: Ints, may_give: Ints, short: int) -> int | None:
        """Streams that have to leave their workers, where each gives at least what it is over and at most what it
        may, and all together what others are short of; None where a worker has nothing light enough.
        """
        moves = given = 0
        gives = over == 0
        most_given = may_give
        others = np.zeros(int(self.weights[0]) + 1, np.int64)
        """How many moves of which weight could be made besides."""
        for weight, held in zip(self.weights.tolist(), self.held, strict=True):
            light = np.where(weight <= most_given, held, 0)
            whole = np.minimum(light, may_give // weight)
            must = np.minimum(whole, -(-over // weight))
            over = np.maximum(over - must * weight, 0)
            may_give = may_give - whole * weight
            # One more would take it below: it counts for what is left, which is more than is possible.
            part = np.where(light > whole, may_give, 0)
            may_give = may_give - part
            last = (part > 0) & (over > 0)
            over = np.where(last, 0, over)
            gives = gives | last | (must > 0)
            moves += int(must.sum() + last.sum())
            given += weight * int(must.sum()) + int(part[last].sum())
            others[weight] += int((whole - must).sum())
            others += counts(part[(part > 0) & ~last], len(others))
        return moves + _fewest(others, short - given) if gives.all() else None


def _fewest(supply: Ints, wanted: int) -> int:
    """So many of the heaviest sum up to what is wanted, or to all there is."""
    moves = 0
    for weight in range(len(supply) - 1, 0, -1):
        if wanted <= 0:
            break
        step = min(int(supply[weight]), -(-wanted // weight))
        moves += step
        wanted -= step * weight
    return moves
