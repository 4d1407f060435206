"""Fair parts where capabilities tie some of the work to some workers."""

from __future__ import annotations

from fractions import Fraction
from itertools import chain, combinations

from hypothesis import given
from hypothesis import strategies as st

from fingerv7.core.planner.shares import levels

from .worlds import law


@st.composite
def demands(draw):
    capacity = draw(st.lists(st.integers(1, 9), min_size=1, max_size=5))
    kinds = st.frozensets(st.integers(0, len(capacity) - 1), min_size=1)
    return draw(st.dictionaries(kinds, st.integers(1, 40), max_size=6)), capacity


def subsets(items):
    return chain.from_iterable(combinations(items, n) for n in range(1, len(items) + 1))


@law
@given(demands())
def test_the_highest_load_is_the_lowest_that_is_possible_and_nothing_gets_lost(given_demand):
    demand, capacity = given_demand
    solved = levels(demand, capacity)
    assert sorted(chain.from_iterable(kinds for kinds, _ in solved)) == list(range(len(capacity)))
    assert sum(weight for _, weight in solved) == sum(demand.values())
    loads = [Fraction(weight, sum(capacity[k] for k in kinds)) for kinds, weight in solved]
    # P. Hall: no set of streams fits into less than what the workers that can take any of it must carry.
    densest = max(
        (
            Fraction(sum(demand[c] for c in some), sum(capacity[k] for k in frozenset().union(*some)))
            for some in subsets(list(demand))
        ),
        default=Fraction(0),
    )
    assert max(loads) == densest


@law
@given(demands())
def test_no_class_could_lower_a_load_by_going_elsewhere(given_demand):
    demand, capacity = given_demand
    load = {
        k: Fraction(weight, sum(capacity[k] for k in kinds))
        for kinds, weight in levels(demand, capacity)
        for k in kinds
    }
    # What can only go to loads above the lowest ones fills at least the groups above: by level, from the top.
    for least in set(load.values()):
        above = {k for k in load if load[k] >= least}
        bound_to = sum(weight for kinds, weight in demand.items() if min(load[k] for k in kinds) >= least)
        assert sum(load[k] * capacity[k] for k in above) == bound_to


def test_one_crowded_group_is_told_apart_from_the_rest():
    vpn, any_worker = frozenset({0}), frozenset({0, 1, 2})
    assert sorted(levels({vpn: 9, any_worker: 2}, [10, 10, 10]), key=str) == [
        (frozenset({0}), 9),
        (frozenset({1, 2}), 2),
    ]
