"""How few moves of streams of several weights could lead to some loads."""

from __future__ import annotations

import numpy as np
import pytest

from fingerv7.core.planner import StreamTable, pose
from fingerv7.core.planner.exchanging import fewest_to_exchange

from .worlds import World, fewest_moves, fleet, stream


@pytest.mark.parametrize(
    ("held", "loads", "fewest"),
    [
        # The heavy one fits as it is.
        ([[5, 5, 5], [3, 2]], [10, 10], 1),
        # Two light ones come back for a heavy one.
        ([[7, 7], [1, 1, 1, 1]], [9, 9], 3),
        # Nobody has a heavy one to give.
        ([[1, 1, 1, 1, 1, 1], [5, 5]], [4, 12], 2),
        # Two get a light one for a heavy one, of the third.
        ([[3, 3], [3, 3], [2, 2]], [5, 5, 6], 4),
        # Twelve light ones are fewer than any exchange.
        ([[1] * 14, [20]], [2, 32], 12),
    ],
)
def test_what_each_worker_has_to_give_and_to_be_given_is_counted(
    held: list[list[int]], loads: list[int], fewest: int
):
    weights = [(f"w{n}", weight) for n, mine in enumerate(held) for weight in mine]
    catalog = {f"s{n:02d}": stream(f"s{n:02d}", weight=weight) for n, (_, weight) in enumerate(weights)}
    world = World(catalog, fleet(*[40] * len(held)), dict(zip(catalog, (owner for owner, _ in weights), strict=True)))
    problem = pose(StreamTable(catalog), world.candidates, world.current, world.policy)
    everybody = np.ones(len(catalog), bool)
    assert fewest_to_exchange(problem, problem.owner, everybody, np.array(loads)) == fewest
    reached = {f"w{n}": load for n, load in enumerate(loads)}
    assert fewest <= fewest_moves(world, list(catalog), loads=reached, whole=True)


def test_what_comes_for_nothing_is_no_move():
    catalog = {"a": stream("a", weight=3), "b": stream("b", weight=3), "new": stream("new", weight=2)}
    problem = pose(StreamTable(catalog), fleet(9, 9), {"a": "w0", "b": "w0"}, World({}, {}).policy)
    everybody = np.ones(3, bool)
    assert fewest_to_exchange(problem, problem.owner, everybody, np.array([6, 2])) == 0
    assert fewest_to_exchange(problem, problem.owner, everybody, np.array([3, 5])) == 1
    assert fewest_to_exchange(problem, problem.owner, everybody, np.array([5, 3])) == 1
