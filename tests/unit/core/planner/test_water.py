from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerv7.core.planner.water import level, levels, pour

from .worlds import law

EVERYTHING = 1e9


def floats(*values: float) -> np.ndarray:
    return np.array(values, float)


@st.composite
def vessels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Used, room and width of a few."""
    number = draw(st.integers(1, 8))
    some = st.lists(st.integers(0, 50), min_size=number, max_size=number)
    wide = st.lists(st.integers(1, 40), min_size=number, max_size=number)
    return floats(*draw(some)), floats(*draw(some)), floats(*draw(wide))


@pytest.mark.parametrize(
    ("amount", "used", "room", "width", "expected"),
    [
        pytest.param(6, (0, 0), (9, 9), (1, 2), (2, 4), id="empty vessels are filled in proportion to their width"),
        pytest.param(3, (4, 0), (9, 9), (1, 1), (0, 3), id="the lowest first"),
        pytest.param(6, (4, 0), (9, 9), (1, 1), (1, 5), id="until the levels meet"),
        pytest.param(6, (0, 0), (1, 9), (1, 1), (1, 5), id="a full one gets no more"),
        pytest.param(30, (0, 0), (1, 9), (1, 1), (1, 9), id="what nobody has room for stays outside"),
        pytest.param(0, (1, 0), (9, 9), (1, 1), (0, 0), id="nothing"),
    ],
)
def test_water_finds_its_level(amount, used, room, width, expected):
    poured = level(float(amount), floats(*used), floats(*room), floats(*width))
    assert poured == pytest.approx(expected)


@law
@given(vessels(), st.integers(0, 400))
def test_nothing_is_spilled_and_only_who_is_full_or_higher_gets_less(given_vessels, amount):
    used, room, width = given_vessels
    poured = level(float(amount), used, room, width)
    assert np.all((poured >= 0) & (poured <= room))
    assert poured.sum() == pytest.approx(min(amount, room.sum()), abs=1e-6)
    surface = ((used + poured) / width)[poured > 1e-9].max(initial=0)
    assert np.all(((used + poured) / width >= surface - 1e-6) | (poured >= room - 1e-9))


@law
@given(st.lists(st.tuples(vessels(), st.integers(0, 400)), min_size=1, max_size=4))
def test_groups_are_filled_as_if_each_were_alone(groups):
    group = np.repeat(np.arange(len(groups)), [len(used) for (used, _, _), _ in groups])
    used, room, width = (np.concatenate([g[n] for g, _ in groups]) for n in range(3))
    together = levels(floats(*(amount for _, amount in groups)), group, used, room, width)
    alone = np.concatenate([level(float(amount), *g) for g, amount in groups])
    assert together == pytest.approx(alone, abs=1e-4)


def test_a_group_without_vessels_does_no_harm():
    poured = levels(floats(5, 7), np.array([1, 1]), floats(0, 0), floats(9, 9), floats(1, 1))
    assert poured == pytest.approx([3.5, 3.5])


def poured(amounts, capacities, *, group=None, used=None, weight=1) -> list[int]:
    zeros = np.zeros(len(capacities), int)
    used = zeros if used is None else np.array(used)
    room = (np.array(capacities) - used) // weight
    group = zeros if group is None else np.array(group)
    return pour(np.array(amounts), group, used.astype(float), room, floats(*capacities), weight).tolist()


def test_whole_streams_go_by_largest_remainder():
    assert poured([300], (100, 150, 50)) == [100, 150, 50]
    assert poured([10], (60, 30, 10)) == [6, 3, 1]
    assert poured([100], (50, 50, 50)) == [34, 33, 33]
    # Parts of 50.48 and five times 0.505.
    assert poured([53], (100, 1, 1, 1, 1, 1)) == [50, 1, 1, 1, 0, 0]


def test_equal_remainders_go_by_order():
    assert poured([2], (9, 9, 9)) == [1, 1, 0]


def test_every_group_has_its_own_amount():
    assert poured([3, 8], (10, 10, 5, 15), group=[0, 0, 1, 1]) == [2, 1, 2, 6]


def test_heavy_streams_are_counted_not_weighed():
    assert poured([3], (20, 10), weight=4) == [2, 1]
    assert poured([9], (20, 10), weight=4) == [5, 2]


def test_what_somebody_has_already_counts():
    assert poured([4], (10, 10), used=[6, 0]) == [0, 4]
    assert poured([10], (10, 10), used=[6, 0]) == [2, 8]


@law
@given(vessels(), st.integers(0, 400), st.integers(1, 7))
def test_pouring_whole_streams_is_off_by_less_than_one(given_vessels, amount, weight):
    used, room, width = given_vessels
    whole = (room // weight).astype(int)
    given_to = pour(np.array([amount]), np.zeros(len(used), int), used, whole, width, weight)
    exact = level(float(amount * weight), used, (whole * weight).astype(float), width) / weight
    assert given_to.sum() == min(amount, whole.sum())
    assert np.all((given_to >= 0) & (given_to <= whole))
    assert np.all(np.abs(given_to - exact) < 1 + 1e-6)
