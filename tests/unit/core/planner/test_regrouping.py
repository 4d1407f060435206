"""One stream leaves a worker in place of several, and others go elsewhere for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fingerv7.core.planner import Candidate, StreamTable, pose
from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.regrouping import regroup

from .worlds import World, fleet, named, stream, worker

Moves = set[tuple[int, int, int]]
"""From, to, weight."""


def regrouped(held: Sequence[Sequence[int]], moves: Sequence[str], candidates: dict[str, Candidate]) -> Moves:
    """What is left of these moves, "w0 2 w1" each, between workers with these weights."""
    owners = {f"w{n}-{m}": (n, weight) for n, mine in enumerate(held) for m, weight in enumerate(mine)}
    catalog = {name: stream(name, weight=weight, size=100 * weight**2) for name, (_, weight) in owners.items()}
    current = {name: f"w{n}" for name, (n, _) in owners.items()}
    posed = pose(StreamTable(catalog), candidates, current, World({}, {}).policy)
    state = Fleet(posed)
    for source, weight, target in map(str.split, moves):
        stays = (state.owner == posed.owner) & (posed.owner == posed.names.index(source))
        one = np.flatnonzero(stays & (posed.weight == int(weight)))[:1]
        state.take(one)
        state.put(one, np.array([posed.names.index(target)]))
    used = state.used.tolist()
    regroup(state, posed.owner)
    assert state.used.tolist() == used == state.weigh(state.owner).tolist()
    moved = np.flatnonzero(state.owner != posed.owner)
    return set(
        zip(posed.owner[moved].tolist(), state.owner[moved].tolist(), posed.weight[moved].tolist(), strict=True)
    )


@pytest.mark.parametrize(
    ("held", "moves", "left"),
    [
        # w2 is given the 3, and what it was given goes to w1 and w4.
        (
            [[1, 2, 3], [], [], [1, 2], []],
            ["w0 1 w1", "w0 2 w4", "w3 1 w2", "w3 2 w2"],
            {(0, 2, 3), (3, 1, 1), (3, 4, 2)},
        ),
        # As the 2 comes to w0, it may give 5.
        (
            [[1, 2, 5], [], [], [1, 2, 2], []],
            ["w0 1 w1", "w0 2 w4", "w3 1 w2", "w3 2 w2", "w3 2 w2"],
            {(0, 2, 5), (3, 1, 1), (3, 4, 2), (3, 0, 2)},
        ),
        # One that had stayed comes back, where that still saves one.
        ([[1, 1, 2, 5], [1]], ["w0 1 w1", "w0 1 w1", "w0 2 w1"], {(0, 1, 5), (1, 0, 1)}),
        # There is no 3.
        (
            [[1, 2], [], [], [1, 2], []],
            ["w0 1 w1", "w0 2 w4", "w3 1 w2", "w3 2 w2"],
            {(0, 1, 1), (0, 4, 2), (3, 2, 1), (3, 2, 2)},
        ),
    ],
)
def test_one_is_given_for_several(held: list[list[int]], moves: list[str], left: Moves):
    assert regrouped(held, moves, fleet(*[20] * len(held))) == left


def test_nothing_is_given_that_has_no_room_in_bytes():
    held, moves = [[1, 2, 3], [], [], [1, 2], []], ["w0 1 w1", "w0 2 w4", "w3 1 w2", "w3 2 w2"]
    roomy, tight = (
        named(*(worker(f"w{n}", 20, max_bytes=size if n == 2 else 9999) for n in range(5))) for size in (900, 899)
    )
    assert len(regrouped(held, moves, roomy)) == 3
    assert len(regrouped(held, moves, tight)) == 4
