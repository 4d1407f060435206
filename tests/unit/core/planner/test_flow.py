from __future__ import annotations

import numpy as np
import pytest

from fingerv7.core.planner.flow import Flow, scarce_first

YES, NO = True, False


def flow(may_take: list[list[bool]], room: list[float], used: list[float] | None = None) -> Flow:
    allowed = np.array(may_take)
    return Flow(allowed, np.array(used or [0.0] * len(room)), np.array(room, float), np.full(len(room), 10.0))


def test_what_is_poured_is_shared_by_level_and_the_rest_is_answered():
    made = flow([[YES, YES]], [4, 2])
    assert made.pour(0, 9.0, made.may_take[0]) == pytest.approx(3)
    assert made.amounts[0].tolist() == [4, 2]
    assert made.room.tolist() == [0, 0]


def test_a_limit_bounds_each_kind():
    made = flow([[YES, YES]], [4, 4])
    assert made.pour(0, 9.0, made.may_take[0], np.array([1.0, -1.0])) == pytest.approx(8)
    assert made.amounts[0].tolist() == [1, 0]


def test_a_block_that_may_go_nowhere_stays_outside():
    made = flow([[NO, NO]], [4, 4])
    assert made.pour(0, 9.0, made.may_take[0]) == 9
    assert made.augment(0, 9.0, made.may_take) == 9


def test_others_are_moved_on_along_a_chain():
    # Block 1 must have kind 0, which block 0 took; that goes to kind 1, whose block 2 goes to kind 2.
    made = flow([[YES, YES, NO], [YES, NO, NO], [NO, YES, YES]], [2, 2, 2])
    made.shift(0, 0, 2.0)
    made.shift(2, 1, 2.0)
    assert made.augment(1, 2.0, made.may_take) == 0
    assert made.amounts.tolist() == [[0, 2, 0], [2, 0, 0], [0, 0, 2]]
    assert made.room.tolist() == [0, 0, 0]


def test_what_no_chain_makes_room_for_is_answered():
    made = flow([[YES, YES], [YES, NO]], [3, 1])
    made.shift(0, 0, 3.0)
    assert made.augment(1, 3.0, made.may_take) == pytest.approx(2)
    assert made.amounts.tolist() == [[2, 1], [1, 0]]


def test_evening_out_reaches_one_level_across_overlapping_blocks():
    made = flow([[YES, YES, NO], [NO, YES, YES]], [50, 50, 50])
    made.shift(0, 0, 20.0)
    made.shift(1, 1, 22.0)
    made.even_out(np.array([YES, YES]), made.may_take, 1e-6)
    assert made.used == pytest.approx([14, 14, 14], abs=1e-3)
    assert made.amounts.sum(axis=1) == pytest.approx([20, 22])


def test_evening_out_leaves_other_blocks_alone():
    made = flow([[YES, YES], [YES, YES]], [50, 50])
    made.shift(0, 0, 20.0)
    made.shift(1, 0, 10.0)
    made.even_out(np.array([NO, YES]), made.may_take, 1e-6)
    assert made.amounts[0].tolist() == [20, 0]
    assert made.amounts[1] == pytest.approx([0, 10])


def test_scarce_blocks_come_first_and_equals_in_order():
    may_take = np.array([[YES, YES, YES], [YES, NO, NO], [NO, YES, NO], [YES, NO, NO]])
    assert scarce_first(may_take, np.array([5.0, 3.0, 9.0]), [0, 1, 2, 3]) == [2, 1, 3, 0]
