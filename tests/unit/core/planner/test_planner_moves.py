"""How many moves a plan makes, against the fewest that could do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given

from fingerv7.core.planner import Strategy

from .worlds import World, counts, fewest_moves, law, worlds

SHARED = (Strategy.Capacity, Strategy.Performance)


@law
@given(worlds(unit=True, strategies=SHARED))
def test_repairs_move_as_few_streams_as_a_linear_programme_can_do_with(world: World):
    done = replace(world, policy=replace(world.policy, may_balance=False)).plan()
    assert done.owned_moves == done.lower_bound == fewest_moves(world, list(done.target))


@law
@given(worlds(strategies=SHARED))
def test_no_plan_could_do_with_fewer_repairs_than_the_bound_says_weights_and_bytes_included(world: World):
    done = replace(world, policy=replace(world.policy, may_balance=False)).plan()
    assert done.lower_bound <= fewest_moves(world, list(done.target), whole=True) <= done.owned_moves


@law
@given(worlds(unit=True, strategies=SHARED))
def test_balancing_reaches_its_loads_with_as_few_moves_as_a_linear_programme(world: World):
    # Along chains of workers too, where a worker passes on as many streams as it is given.
    repaired = replace(world, policy=replace(world.policy, may_balance=False)).plan()
    placed = {name: world.streams[name] for name in repaired.target}
    policy = replace(world.policy, may_balance=True, max_moves_per_round_percent=100, rotate=())
    world = replace(world, streams=placed, current=dict(repaired.target), policy=policy)
    done = world.plan()
    fewest = fewest_moves(world, list(placed), loads=counts(done))
    assert len(done.moves) == done.lower_bound == fewest


@law
@given(worlds(strategies=SHARED))
def test_no_plan_could_reach_these_loads_with_fewer_moves_than_the_bound_says_weights_included(world: World):
    repaired = replace(world, policy=replace(world.policy, may_balance=False)).plan()
    placed = {name: world.streams[name] for name in repaired.target}
    policy = replace(world.policy, may_balance=True, max_moves_per_round_percent=100, rotate=())
    world = replace(world, streams=placed, current=dict(repaired.target), policy=policy)
    done = world.plan()
    loads = Counter[str]()
    for name, owner in done.target.items():
        loads[owner] += placed[name].weight
    assert done.lower_bound <= fewest_moves(world, list(placed), loads=loads, whole=True) <= len(done.moves)
