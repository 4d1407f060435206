"""Loads are as even as they are to be: can fewer moves lead to the same ones?

Giving and taking go step by step, and what one step brought, the next may take on: a worker was given a stream and
gave another of the same weight, where its giver could have sent one to where the other went, if need be along a chain
of others. Every such detour is a ring in the network of what moved, and is undone (see `passing`).
"""

from __future__ import annotations

import numpy as np

from fingerv7.core.planner.arrays import Bools, Codes, Ints, counts, first_of
from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.passing import Passing

_LARGE = 1 << 17
"""Size of a network, blocks times places, above which it is not looked for detours."""
_RINGS = 1 << 22
"""So many times that size is spent on undoing them."""


def shorten(fleet: Fleet, began: Codes) -> None:
    """Save what can be saved of the moves since streams had these owners (S,). Every worker ends with as many of each
    weight as it has now; for weights of one there is no way with fewer moves.
    """
    p = fleet.problem
    moved = fleet.moved_since(began)
    for weight in p.weights.tolist():
        some = moved[p.weight[moved] == weight] if len(p.weights) > 1 else moved
        given, taken = counts(began[some], len(p.names)), counts(fleet.owner[some], len(p.names))
        # Where nobody was given one and gave one, each move lowers a number that has to become lower.
        if np.any((given > 0) & (taken > 0)):
            _shorten(fleet, began, some, (given > 0) | (taken > 0), weight)


def _shorten(fleet: Fleet, began: Codes, moved: Ints, busy: Bools, weight: int) -> None:
    p = fleet.problem
    # Those that gave or were given something are places of their own, the others of a kind one together.
    alone = np.flatnonzero(busy)
    number = p.kinds + len(alone)
    if p.blocks * number > _LARGE:
        return
    place = p.kind.astype(np.int64)
    place[alone] = p.kinds + np.arange(len(alone))
    stayed = fleet.owner == began
    if len(p.weights) > 1:
        stayed &= p.weight == weight
    others = np.flatnonzero(stayed)
    residents = np.concatenate((moved, others[began[others] >= 0]))
    cells = p.block[residents].astype(np.int64) * number + place[began[residents]]
    shape = p.blocks, number
    came = p.block[moved].astype(np.int64) * number + place[fleet.owner[moved]]
    passing = Passing(
        fleet.may_take[:, np.concatenate((np.arange(p.kinds), p.kind[alone]))],
        counts(cells, p.blocks * number).reshape(shape),
        np.zeros(number, np.int64),
        counts(cells[: len(moved)], p.blocks * number).reshape(shape),
        counts(came, p.blocks * number).reshape(shape),
    )
    if not passing.cancel(max(1, _RINGS // (p.blocks * number))):
        return
    goes = residents[first_of(cells, passing.gone.ravel())]
    goes = goes[np.argsort(p.block[goes], kind="stable")]
    stays = np.setdiff1d(moved, goes)
    with fleet.attempt() as attempt:
        left = counts(fleet.take(np.union1d(moved, goes)), len(p.names))
        fleet.put(stays, began[stays].astype(np.int64))
        left -= counts(began[stays], len(p.names))
        column = np.repeat(np.tile(np.arange(number), p.blocks), passing.came.ravel())
        workers = np.argsort(place, kind="stable")
        target = np.empty(len(goes), np.int64)
        target[np.argsort(column, kind="stable")] = np.repeat(workers, left[workers])
        fleet.put(goes, target)
        attempt.keep()
