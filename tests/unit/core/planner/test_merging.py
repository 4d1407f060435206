"""Fewer streams of other weights make the same difference to the loads."""

from __future__ import annotations

import numpy as np
import pytest

from fingerv7.core.planner import Candidate, StreamTable, pose
from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.merging import merge
from fingerv7.core.planner.problem import Problem

from .worlds import World, fleet, named, stream, worker

WEIGHTS = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 1, "f": 1}


def problem(current: dict[str, str], candidates: dict[str, Candidate]) -> Problem:
    catalog = {name: stream(name, weight=weight, size=100 * weight**2) for name, weight in WEIGHTS.items()}
    return pose(StreamTable(catalog), candidates, current, World({}, {}).policy)


def merged(current: dict[str, str], moves: dict[str, str], candidates: dict[str, Candidate]) -> dict[str, str]:
    """The moves that are left of these."""
    posed = problem(current, candidates)
    state = Fleet(posed)
    for name, target in moves.items():
        one = np.array([posed.index[name]])
        state.take(one)
        state.put(one, np.array([posed.names.index(target)]))
    used = state.used.tolist()
    merge(state, posed.owner)
    assert state.used.tolist() == used == state.weigh(state.owner).tolist()
    return {posed.ids[i]: posed.names[state.owner[i]] for i in np.flatnonzero(state.owner != posed.owner).tolist()}


@pytest.mark.parametrize(
    ("held", "moves", "left"),
    [
        # One of 3 for 1 and 2.
        ({"w0": "abc", "w1": "def"}, {"a": "w1", "b": "w1"}, {"c": "w1"}),
        # What comes back is subtracted.
        ({"w0": "cb", "w1": "adef"}, {"c": "w1", "a": "w0"}, {"b": "w1"}),
        # All can stay.
        ({"w0": "c", "w1": "abdef"}, {"c": "w1", "a": "w0", "b": "w0"}, {}),
        # w1 has no part in it.
        ({"w0": "aed", "w1": "fbc", "w2": ""}, {"a": "w1", "e": "w1", "b": "w2"}, {"a": "w2", "e": "w2"}),
        # w0 gives 4 in all, of which 1 goes on from w1.
        ({"w0": "abed", "w1": "fc", "w2": ""}, {"a": "w2", "e": "w1", "b": "w1"}, {"d": "w1", "f": "w2"}),
    ],
)
def test_fewer_moves_lead_to_the_same_loads(held: dict[str, str], moves: dict[str, str], left: dict[str, str]):
    current = {name: owner for owner, names in held.items() for name in names}
    assert merged(current, moves, fleet(*[20] * len(held))) == left


def test_what_the_other_worker_cannot_have_is_not_merged():
    current, moves = {"a": "w0", "b": "w0", "c": "w0"}, {"a": "w1", "b": "w1"}
    roomy, tight = (named(worker("w0", 9), worker("w1", 9, max_bytes=size)) for size in (900, 899))
    assert merged(current, moves, roomy) == {"c": "w1"}
    assert merged(current, moves, tight) == moves
