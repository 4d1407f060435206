"""A plan's lazy parts behave as the dictionaries and lists that they stand for."""

from __future__ import annotations

import pytest

from fingerv7.core.planner import Move, Plan, Trigger

from .worlds import World, fleet, streams


def made() -> Plan:
    return World(streams(5), fleet(2, 2), {"s0001": "w1", "s0003": "gone", "s0004": "w1"}).plan()


MOVES = [
    Move("s0000", None, "w0", Trigger.NewStream),
    Move("s0003", "gone", "w0", Trigger.WorkerLost),
]


def test_moves_are_a_sequence():
    moves = made().moves
    assert len(moves) == 2
    assert list(moves) == MOVES
    assert moves == MOVES
    assert list(moves) == MOVES
    assert moves != MOVES[:1]
    assert moves == tuple(MOVES)
    assert repr(moves) == repr(MOVES)
    assert MOVES[1] in moves


@pytest.mark.parametrize("place", [0, 1, -1, -2])
def test_a_move_is_found_by_its_place(place: int):
    assert made().moves[place] == MOVES[place]


@pytest.mark.parametrize("place", [2, -3, 99])
def test_there_is_no_move_beyond_the_last(place: int):
    with pytest.raises(IndexError):
        made().moves[place]


@pytest.mark.parametrize("part", [slice(1), slice(1, None), slice(None, None, -1), slice(5, 9), slice(-1, None)])
def test_a_part_of_the_moves_is_a_sequence_too(part: slice):
    assert made().moves[part] == MOVES[part]


def test_moves_are_counted_by_reason_or_value():
    moves = made().moves
    assert moves.count(Trigger.WorkerLost) == 1
    assert moves.count(Trigger.Rotation) == 0


def test_the_target_is_a_mapping():
    target = made().target
    expected = {"s0000": "w0", "s0001": "w1", "s0003": "w0", "s0004": "w1"}
    assert target == expected
    assert expected == target
    assert dict(target) == expected
    assert list(target) == list(expected)
    assert list(target.items()) == list(expected.items())
    assert sorted(target.values()) == ["w0", "w0", "w1", "w1"]
    assert len(target) == 4
    assert "s0000" in target
    assert "s0002" not in target
    assert "unheard of" not in target
    assert target.get("s0002") is None
    assert repr(target) == repr(expected)


def test_loads_are_a_mapping_in_percent():
    done = made()
    assert done.loads_before == {"w0": 0, "w1": 100}
    assert done.loads_after == {"w0": 100, "w1": 100}
    assert "w2" not in done.loads_after
    assert list(done.loads_after) == ["w0", "w1"]
