"""Streams change workers because their time is over."""

from __future__ import annotations

from fingerv7.core.planner import Plan, Policy, Trigger

from .worlds import World, check, counts, fleet, held, named, stream, streams, worker


def rotated(world: World) -> Plan:
    done = world.plan()
    check(world, done)
    assert {m.trigger for m in done.moves} <= {Trigger.Rotation}
    return done


def rotate(*ids: str, share: int = 100, **policy: object) -> Policy:
    return Policy(rotate=ids, max_moves_per_round_percent=share, **policy)  # type: ignore[arg-type]


def test_streams_whose_time_is_over_change_places():
    done = rotated(World(streams(20), fleet(10, 10), held(10, 10), rotate("s0003", "s0012")))
    assert {m.stream: m.target for m in done.moves} == {"s0003": "w1", "s0012": "w0"}
    assert done.lower_bound == 2


def test_one_that_finds_nobody_goes_where_loads_stay_within_tolerance():
    done = rotated(World(streams(20), fleet(20, 20), held(10, 10), rotate("s0003")))
    assert counts(done) == {"w0": 9, "w1": 11}


def test_one_that_would_break_the_balance_waits():
    strict = rotate("s0003", imbalance_threshold_percent=0, max_stream_difference=0)
    assert rotated(World(streams(20), fleet(20, 20), held(10, 10), strict)).moves == ()


def test_one_that_waits_does_not_keep_others_from_their_turn():
    # w1 is full, so that s0000 cannot leave; one move a round is allowed, and s0004 can be the one.
    policy = rotate("s0000", "s0004", share=1)
    done = rotated(World(streams(6), fleet(9, 3), held(3, 3), policy))
    assert [m.stream for m in done.moves] == ["s0004"]


def test_no_more_change_in_a_round_than_may_move():
    ids = [f"s{i:04d}" for i in range(100)]
    done = rotated(World(streams(100), fleet(60, 60), held(50, 50), rotate(*ids, share=10)))
    assert len(done.moves) == 10


def test_streams_change_places_with_their_like_only():
    catalog = {"heavy": stream("heavy", weight=5), "light": stream("light")}
    world = World(catalog, fleet(5, 5), {"heavy": "w0", "light": "w1"}, rotate("heavy", "light"))
    assert rotated(world).moves == ()


def test_a_pinned_stream_and_one_on_a_late_worker_stay():
    candidates = fleet(10, 10) | named(worker("w2", 10, eligible=False))
    policy = rotate("s0000", "s0025", pins={"s0000": "w0"})
    assert rotated(World(streams(30), candidates, held(10, 10, 10), policy)).moves == ()


def test_nothing_rotates_while_balancing_is_not_allowed_or_the_loads_are_uneven():
    ids = tuple(streams(20))
    assert World(streams(20), fleet(20, 20), held(10, 10), rotate(*ids, may_balance=False)).plan().moves == ()
    uneven = World(streams(20), fleet(20, 20), held(18, 2), rotate(*ids)).plan()
    assert {m.trigger for m in uneven.moves} == {Trigger.Imbalance}


def test_bytes_are_kept_when_places_are_changed():
    catalog = {"big": stream("big", size=900), "small": stream("small", size=100)}
    candidates = named(worker("w0", 1, max_bytes=900), worker("w1", 1, max_bytes=100))
    assert rotated(World(catalog, candidates, {"big": "w0", "small": "w1"}, rotate("big", "small"))).moves == ()
