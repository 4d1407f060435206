"""How many moves a plan makes, against the fewest that could do."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from fingerv7.core.planner import Strategy

from .worlds import World, fewest_moves, law, worlds

SHARED = (Strategy.Capacity, Strategy.Performance)


@law
@given(worlds(unit=True, strategies=SHARED))
def test_repairs_move_as_few_streams_as_a_linear_programme_can_do_with(world: World):
    done = replace(world, policy=replace(world.policy, may_balance=False)).plan()
    assert done.owned_moves == done.lower_bound == fewest_moves(world, list(done.target))
