"""How few moves of streams of several weights could lead to some loads."""

from __future__ import annotations

import numpy as np
import pytest

from fingerv7.core.planner import Problem, StreamTable, pose
from fingerv7.core.planner.exchanging import Asked, fewest_to_exchange

from .worlds import World, fewest_moves, fleet, named, stream, worker


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
    assert fewest_to_exchange(problem, _to_reach(problem, *loads), len(catalog)) == fewest
    reached = {f"w{n}": load for n, load in enumerate(loads)}
    assert fewest <= fewest_moves(world, list(catalog), loads=reached, whole=True)


def test_what_comes_for_nothing_is_no_move():
    catalog = {"a": stream("a", weight=3), "b": stream("b", weight=3), "new": stream("new", weight=2)}
    problem = pose(StreamTable(catalog), fleet(9, 9), {"a": "w0", "b": "w0"}, World({}, {}).policy)
    assert fewest_to_exchange(problem, _to_reach(problem, 6, 2), 3) == 0
    assert fewest_to_exchange(problem, _to_reach(problem, 3, 5), 3) == 1
    assert fewest_to_exchange(problem, _to_reach(problem, 5, 3), 3) == 1


def test_a_chain_of_workers_counts_at_each_of_them():
    # Nobody but the next one may take what each has.
    needs = {"a": "vpn", "b": "hls", "c": "aac"}
    catalog = {name: stream(name, weight=2, capabilities=frozenset({also})) for name, also in needs.items()}
    also = [("vpn",), ("vpn", "hls"), ("hls", "aac"), ("aac",)]
    candidates = named(*(worker(f"w{n}", 9, *each) for n, each in enumerate(also)))
    problem = pose(StreamTable(catalog), candidates, {"a": "w0", "b": "w1", "c": "w2"}, World({}, {}).policy)
    assert fewest_to_exchange(problem, _to_reach(problem, 0, 2, 2, 2), 3) == 3
    # It was not asked for more.
    assert fewest_to_exchange(problem, _to_reach(problem, 0, 2, 2, 2), 2) == 2


def test_what_fits_nowhere_as_it_is_needs_another_to_move():
    # 3 and 3 are free, and a stream of 5 is to come in: somebody makes room for it.
    weights = {"a": 3, "b": 4, "c": 2, "d": 5, "new": 5}
    catalog = {name: stream(name, weight=weight) for name, weight in weights.items()}
    world = World(catalog, fleet(10, 10), {"a": "w0", "b": "w0", "c": "w1", "d": "w1"})
    problem = pose(StreamTable(catalog), world.candidates, world.current, world.policy)
    none, all_ = np.zeros(2, np.int64), np.array([10, 10])
    asked = Asked(problem.owner, np.ones(5, bool), none, all_, problem.may_take)
    assert fewest_to_exchange(problem, asked, 5) == 1 == fewest_moves(world, list(catalog), whole=True)


def _to_reach(problem: Problem, *loads: int) -> Asked:
    everybody = np.ones(len(problem.ids), bool)
    return Asked(problem.owner, everybody, np.array(loads), np.array(loads), problem.may_take)
