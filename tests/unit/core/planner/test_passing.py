"""Places are passed on along the cheapest chain, and no move is made that could be spared."""

from __future__ import annotations

import numpy as np

from fingerv7.core.planner import Move, Policy, Trigger
from fingerv7.core.planner.passing import Passing

from .worlds import World, check, named, stream, worker

KEEP = Policy(may_balance=False)


def test_who_finds_room_asks_nobody():
    passing = Passing(np.array([[True, True]]), np.array([[2, 0]]), np.array([0, 3]))
    passing.admit(0, 2)
    assert passing.came.tolist() == [[0, 2]]
    assert passing.gone.tolist() == [[0, 0]]


def test_the_shorter_of_two_chains_is_taken():
    # Block 0 can displace 1, which displaces 2 to reach what is free; or 3, which reaches it itself.
    may_take = np.array([[1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 1, 1]], bool)
    stock = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    passing = Passing(may_take, stock, np.array([0, 0, 0, 1]))
    passing.admit(0, 1)
    assert passing.gone.sum() == 1
    assert passing.came.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_no_more_moves_are_made_than_are_allowed():
    may_take = np.array([[1, 0], [1, 1]], bool)
    stock = np.array([[0, 0], [5, 0]])
    passing = Passing(may_take, stock, np.array([0, 5]))
    passing.admit(0, 4, most=2)
    assert passing.came.tolist() == [[2, 0], [0, 2]]


def test_who_left_for_nothing_returns():
    # One of block 0 had left place 0, for one of block 1 that could as well be where it went.
    both = np.ones((2, 2), bool)
    passing = Passing(
        both,
        stock=np.array([[1, 0], [0, 0]]),
        free=np.array([0, 0]),
        gone=np.array([[1, 0], [0, 0]]),
        came=np.array([[0, 1], [1, 0]]),
    )
    passing.cancel()
    assert passing.gone.sum() == 0
    assert passing.came.tolist() == [[0, 0], [0, 1]]


def test_who_left_returns_to_what_has_become_free():
    passing = Passing(
        np.ones((1, 2), bool), np.array([[1, 0]]), np.array([1, 0]), np.array([[1, 0]]), np.array([[0, 1]])
    )
    passing.cancel()
    assert passing.gone.sum() == passing.came.sum() == 0


def test_an_over_full_worker_gives_what_nobody_has_to_step_aside_for():
    # `a` can go to the full w1 only, `b` to w2, where there is room: b leaves, although a is asked for first.
    catalog = {
        s.id: s
        for s in (
            stream("a", capabilities=frozenset({"vpn"})),
            stream("b", capabilities=frozenset({"hls"})),
            stream("c"),
        )
    }
    candidates = named(worker("w0", 1, "vpn", "hls"), worker("w1", 1, "vpn"), worker("w2", 1, "hls"))
    world = World(catalog, candidates, {"a": "w0", "b": "w0", "c": "w1"}, KEEP)
    done = world.plan()
    check(world, done)
    assert [(m.stream, m.source, m.target) for m in done.moves] == [("b", "w0", "w2")]
    assert done.lower_bound == 1


def test_streams_that_make_room_count_as_needed():
    catalog = {s.id: s for s in (stream("a"), stream("v", capabilities=frozenset({"vpn"})))}
    world = World(catalog, named(worker("w0", 1, "vpn"), worker("w1", 1)), {"a": "w0"}, KEEP)
    done = world.plan()
    check(world, done)
    assert done.moves == [
        Move("a", "w0", "w1", Trigger.MakingRoom),
        Move("v", None, "w0", Trigger.NewStream),
    ]
    assert done.owned_moves == done.lower_bound == 1


def test_who_was_placed_waits_again_where_that_lets_one_more_in():
    # w0 is over-full and keeps p, which is at home; q has w1. One place more is found when r returns to w0, p goes to
    # w2 for it, and s has w1: r and q are alike, so that q waits where r did.
    berlin = {"location": "berlin", "capabilities": frozenset({"vpn"})}
    catalog = {
        s.id: s
        for s in (
            stream("p", location="paris"),
            stream("q", **berlin),
            stream("r", **berlin),
            stream("s", capabilities=frozenset({"vpn"})),
        )
    }
    candidates = named(
        worker("w0", 1, "vpn", location="paris"), worker("w1", 1, "vpn", location="berlin"), worker("w2", 1)
    )
    world = World(catalog, candidates, {"p": "w0", "q": "gone", "r": "w0"}, KEEP)
    done = world.plan()
    check(world, done)
    assert done.target == {"p": "w2", "r": "w0", "s": "w1"}
    assert [u.stream for u in done.unplaced] == ["q"]
    assert done.owned_moves == done.lower_bound == 1
