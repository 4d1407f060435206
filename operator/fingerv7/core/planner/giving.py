"""Which streams leave their workers so that loads become even: as few as possible.

Who is above its part gives one stream that takes it a little below it, where it may, rather than two that do not.
What its site still lacks then comes from those who are between their part rounded down and rounded up. How many of
which weight each worker gives is decided first, and which streams these are in the end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fingerv7.core.planner.arrays import Bools, Floats, Ints, counts, joined, ranks
from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.problem import Problem
from fingerv7.core.planner.subsets import Subsets


class Gifts(NamedTuple):
    """What may be given and is wanted, as weight."""

    must: Ints
    """(W,) by workers above their part,"""
    may: Ints
    """(W,) and what they and others may give at most."""
    wanted: Ints
    """By site: what is to be given in all, where there is so much,"""
    room: Ints
    """and what there is room for elsewhere."""


class Choice(NamedTuple):
    """What leaves its workers."""

    movers: Ints
    """Streams."""
    takes: Ints
    """(W,) what those who give them are to take from others in return."""
    is_spared: bool
    """Whether heavier streams leave in place of several, though it is not known that there is a place for each."""


def choose(
    fleet: Fleet, gifts: Gifts, heights: Floats, has_room: Bools, *, light_first: bool, spare_up_to: int
) -> Choice:
    """`heights` (W,) say who gives first what nobody has to; only those streams leave that some kind with room (K,)
    may take. Where no more than `spare_up_to` leave, fewer are looked for that weigh as much.
    """
    p = fleet.problem
    may = np.where(gifts.room[p.site] > 0, gifts.may, gifts.must)
    movable: Bools = np.any(fleet.may_take & has_room, axis=1)
    stock = _stock(fleet, may > 0, movable)
    order = range(len(stock))[:: -1 if light_first else 1]
    gives = _amounts(p, stock, gifts._replace(may=may), order)
    given = p.weights @ gives
    missing = gifts.wanted - p.by_site(given)
    if np.any(missing > 0):
        rest = np.minimum(may - given, p.weights @ (stock - gives))
        exactly = _in_turn(p, rest, missing, np.argsort(-heights, kind="stable"))
        gifts = gifts._replace(must=exactly, may=exactly, room=p.by_site(exactly))
        gives += _amounts(p, stock - gives, gifts, order)
    fewer, takes = gives, np.zeros(len(p.names), np.int64)
    if len(stock) > 1 and gives.sum() <= spare_up_to:
        fewer, takes = _fewer(p, stock, gives)
    return Choice(_pick(fleet, fewer, movable), takes, bool(np.any(fewer != gives)))


def _fewer(p: Problem, stock: Ints, gives: Ints) -> tuple[Ints, Ints]:
    """As much by fewer streams (J, W), if need be for a lighter one in return: who gives 5, and takes a 2 that
    another gives anyway, need not give 1 and 2. Also (W,) what is taken so.
    """
    takes, number = np.zeros(len(p.names), np.int64), gives.sum(axis=0)
    several = np.flatnonzero(number > 1)
    given = p.weights @ gives[:, several]
    subsets = Subsets(p.weights, stock[:, several], given + p.weights[0])
    if not subsets.close:
        return gives, takes
    fewest = np.minimum(number[several], subsets.fewest(given))
    for rank, weight in reversed(list(enumerate(p.weights.tolist()))):
        able = (subsets.fewest(given + weight) < fewest) & (takes[several] == 0)
        if not able.any():
            continue
        fewer = np.zeros_like(takes)
        fewer[several] = able
        offered = p.by_site(np.where(fewer > 0, 0, gives[rank]))
        takes += weight * _in_turn(p, fewer, offered, np.arange(len(takes)))
    amounts = given + takes[several]
    better = np.flatnonzero(subsets.fewest(amounts) < number[several])
    gives = gives.copy()
    gives[:, several[better]] = subsets.of(amounts)[:, better]
    return gives, takes


def _held(fleet: Fleet, givers: Bools, movable: Bools) -> Ints:
    """Streams of these workers (W,) and blocks (B,)."""
    held = np.flatnonzero(np.take(np.append(givers, False), fleet.owner))
    return held if movable.all() else held[movable[fleet.block_of(held)]]


def _stock(fleet: Fleet, givers: Bools, movable: Bools) -> Ints:
    """(J, W) how many streams of these blocks (B,) each of the givers (W,) has of each weight."""
    p = fleet.problem
    shape = len(p.weights), len(p.names)
    if shape[0] == 1 and movable.all():
        return np.where(givers, fleet.used // p.weights[0], 0)[None]
    held = _held(fleet, givers, movable)
    cells = fleet.owner[held]
    if shape[0] > 1:
        cells = p.rank[held] * np.int32(shape[1]) + cells
    return counts(cells, shape[0] * shape[1]).reshape(shape)


def _amounts(p: Problem, stock: Ints, gifts: Gifts, order: range) -> Ints:
    """(J, W) how many streams of each weight leave: what must, or a little more where there is room for it."""
    must, may, _, room = gifts
    spare = room - p.by_site(must)
    everyone = np.arange(len(must))
    answer = np.zeros_like(stock)
    for rank in order:
        weight = int(p.weights[rank])
        gives = np.minimum(np.minimum(may // weight, -(-must // weight)), stock[rank])
        beyond = np.maximum(gives * weight - must, 0)
        if beyond.any():
            gives -= _in_turn(p, beyond, spare, everyone) < beyond
            spare = spare - p.by_site(np.maximum(gives * weight - must, 0))
        must, may = np.maximum(must - gives * weight, 0), may - gives * weight
        answer[rank] = gives
    return answer


def _in_turn(p: Problem, amounts: Ints, limits: Ints, order: Ints) -> Ints:
    """(W,) of these amounts, as much as its site's limit leaves when one worker after the other takes its own."""
    order = order[np.argsort(p.site[order], kind="stable")]
    sites, mine = p.site[order], amounts[order]
    total = p.by_site(amounts)
    before = mine.cumsum() - mine - (total.cumsum() - total)[sites]
    answer = np.zeros_like(amounts)
    answer[order] = np.clip(limits[sites] - before, 0, mine)
    return answer


def _pick(fleet: Fleet, gives: Ints, movable: Bools) -> Ints:
    """So many (J, W) streams of these blocks (B,)."""
    givers: Bools = np.any(gives, axis=0)
    held = _held(fleet, givers, movable)
    owners = fleet.owner[held]
    rank = fleet.problem.rank[held] if len(gives) > 1 else None
    chosen: list[Ints] = []
    for j, mine in enumerate(gives):
        those = np.arange(len(held)) if rank is None else np.flatnonzero((rank == j) & np.take(mine > 0, owners))
        those = those[np.argsort(owners[those], kind="stable")]
        of = owners[those]
        chosen.append(held[those[ranks(of) < np.take(mine, of)]])
    return joined(chosen)
