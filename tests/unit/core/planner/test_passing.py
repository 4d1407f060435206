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


def test_where_there_are_many_kinds_the_bound_leaves_out_who_makes_room():
    # Finding out who has to would take long.
    names = [f"x{n:03d}" for n in range(200)]
    others = {name: stream(name, capabilities=frozenset({name})) for name in names}
    catalog = {s.id: s for s in (stream("a"), stream("v", capabilities=frozenset({"vpn"})))}
    few = World(catalog, named(worker("w0", 1, "vpn"), worker("w1", 1)), {"a": "w0"}, KEEP)
    many = World(
        catalog | others,
        few.candidates | named(*(worker(name, 1, name) for name in names)),
        {**few.current, **dict(zip(names, names, strict=True))},
        KEEP,
    )
    assert [(done.owned_moves, done.lower_bound) for done in (few.plan(), many.plan())] == [(1, 1), (1, 0)]


def test_who_waits_returns_to_an_over_full_worker_only_when_it_is_placed_itself():
    # `h` can have w0 only, from which `a` can go to w1 when `p` leaves that. `b` and `c` have just left w1, and are
    # like `a`: if one of them returned there, `a` would be left without a place.
    vpn, paris = frozenset({"vpn"}), {"location": "paris"}
    catalog = {
        s.id: s
        for s in (
            stream("a", capabilities=vpn),
            stream("b", capabilities=vpn),
            stream("c", capabilities=vpn),
            stream("h", capabilities=frozenset({"hls"})),
            stream("p", **paris),
        )
    }
    candidates = named(worker("w0", 1, "vpn", "hls"), worker("w1", 1, "vpn", **paris), worker("w2", 1))
    world = World(catalog, candidates, {"a": "w0", "b": "w1", "c": "w1", "p": "w1"}, KEEP)
    done = world.plan()
    check(world, done)
    assert done.target == {"a": "w1", "h": "w0", "p": "w2"}
    assert done.owned_moves == done.lower_bound == 2


def test_nobody_who_was_just_placed_gives_way_to_one_that_returns():
    # `r` has left w0, where `p` is at home, and `q` was given w1, to which it is like. `s` gets a place when `p` moves
    # to w2, whoever of them has which.
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
    assert done.target.keys() == {"p", "q", "s"}
    assert done.owned_moves == done.lower_bound == 1


def test_of_those_that_ask_who_can_return_is_placed_and_the_places_of_the_others_are_closed():
    # Both places are full: place 0 of block 1, which can have place 2 too, place 1 of block 2, which cannot.
    may_take = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    passing = Passing(may_take, np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([0, 0, 1]))
    assert passing.admit_those(0, np.array([-1, 1, 0])).tolist() == [False, False, True]
    assert passing.gone.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert passing.came.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
