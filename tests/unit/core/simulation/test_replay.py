from __future__ import annotations

import pytest
from tests.unit.core.small_world import Pool

from fingerv7.core.model import Stream
from fingerv7.core.planner.model import Candidate, Policy, Strategy, Trigger
from fingerv7.core.simulation import ChangeError, World, replay, timeline

AUDIO = frozenset({"audio_fingerprinting"})
MINUTE = 60_000


def world(*capacities, streams=60):
    workers = {f"w{n}": Candidate(f"w{n}", capacity, AUDIO) for n, capacity in enumerate(capacities, 1)}
    return World({f"s{n:03}": Stream(f"s{n:03}", "http://radio.example") for n in range(streams)}, workers, {})


def play(start, *events, policy=None, cooldown_ms=5 * MINUTE, **options):
    timed = [event for at, phrase in events for event in timeline(at * MINUTE, phrase)]
    return list(replay(start, timed, policy or Policy(), cooldown_ms=cooldown_ms, **options))


def test_the_first_step_is_the_world_as_it_is():
    (first,) = play(world(50, 50))
    assert (first.at_ms, first.events, len(first.moves), first.triggers) == (0, (), 60, {"NewStream": 60})
    assert first.loads == {"w1": 60.0, "w2": 60.0}


def test_lost_streams_find_another_place_at_once():
    first, lost = play(world(50, 50, 50), (1, "lose w2"))
    assert (first.streams, lost.at_ms, lost.events) == (60, MINUTE, ("lose w2",))
    assert lost.triggers == {"WorkerLost": 20}
    assert (lost.lower_bound, lost.owned_moves) == (0, 0)
    assert sorted(lost.loads) == ["w1", "w3"]


def test_what_finds_no_place_is_counted_until_there_is_one():
    _, lost, joined = play(world(40, 40), (1, "lose w2"), (2, "join w3"))
    assert lost.reasons == {"NoCapacity": 20}
    assert (joined.reasons, joined.triggers["NewStream"]) == ({}, 20)


def test_balancing_takes_rounds_a_cooldown_apart():
    steps = play(world(100, streams=90), (1, "join w2 maxStreams=100"))
    assert [step.at_ms // MINUTE for step in steps] == [0, 1, 6, 11, 16]
    assert [len(step.moves) for step in steps[1:]] == [9, 9, 9, 9]
    assert all(step.owned_moves == len(step.moves) == step.lower_bound for step in steps[1:])
    assert steps[-1].balanced


def test_an_event_during_the_cooldown_is_repaired_and_not_balanced():
    steps = play(world(100, 100, streams=90), (1, "join w3 maxStreams=100"), (2, "lose w1"), (4, "join w4"))
    assert [step.at_ms // MINUTE for step in steps][:5] == [0, 1, 2, 4, 6]
    assert steps[2].triggers == {"WorkerLost": steps[2].triggers["WorkerLost"]}
    assert steps[3].triggers == {}


def test_without_balancing_only_repairs_happen():
    steps = play(world(100, streams=90), (1, "join w2 maxStreams=100"), policy=Policy(may_balance=False))
    assert [len(step.moves) for step in steps] == [90, 0]


def test_events_of_one_moment_are_one_round():
    _, both = play(world(50, 50, 50), (1, "lose w1"), (1, "add 5 streams"))
    assert both.events == ("lose w1", "add 5 streams")
    assert both.triggers == {"WorkerLost": 20, "NewStream": 5}


def test_a_drifting_score_is_told_as_it_drifts():
    steps = play(world(50, 50), (1, "score w1 100..50 over 10m"))
    assert [step.at_ms // MINUTE for step in steps] == [0, 1, 11]
    assert steps[1].events == ("score w1 100..50 over 10m",)
    assert steps[-1].events == ("score w1 is 50 now",)


def test_streams_leave_a_worker_whose_score_drifts_away():
    steps = play(
        world(50, 50),
        (1, "score w1 100..50 over 10m"),
        policy=Policy(strategy=Strategy.Performance, imbalance_threshold_percent=0),
        cooldown_ms=MINUTE,
    )
    moves = [move for step in steps[1:] for move in step.moves]
    assert {(move.source, move.target, move.trigger) for move in moves} == {("w1", "w2", Trigger.Imbalance)}
    assert steps[-1].balanced
    # Its even share falls from 30 streams to 20; the policy tolerates three more than that.
    assert 20 <= 30 - len(moves) <= 23


def test_nothing_happens_after_the_end():
    assert len(play(world(50, 50, 50), (1, "lose w1"), (90, "lose w2"), until_ms=60 * MINUTE)) == 2


def test_without_a_cooldown_all_rounds_come_at_once():
    steps = play(world(100, streams=90), (1, "join w2 maxStreams=100"), cooldown_ms=0)
    assert {step.at_ms for step in steps[1:]} == {MINUTE}


def test_an_impossible_event_says_when():
    with pytest.raises(ChangeError, match="at 2m: 'lose w1': there is no worker w1"):
        play(world(50, 50), (1, "lose w1"), (2, "lose w1"))


def test_the_operator_makes_the_same_moves_round_by_round():
    """A worker joins, and long after that another one dies."""
    pool = Pool({"w1": 30, "w2": 30, "w3": 30}, 75)
    candidates = {name: Candidate(name, 30, member.worker.capabilities) for name, member in pool.members.items()}
    steps = play(World(pool.catalog, candidates, {}), (1, "join w4 maxStreams=30 like w1"), (30, "lose w2"))
    owners, expected = {}, []
    for step in steps:
        owners = {**owners, **{move.stream: move.target for move in step.moves}}
        expected += [owners] if step.moves else []

    seen = []
    while pool.now < 60 * 60.0:
        if pool.now == 60.0:
            pool.join("w4", 30)
        if pool.now == 30 * 60.0:
            pool.kill("w2")
        pool.settle(6)
        owners = {i: name for name, member in pool.members.items() for i in member.runs}
        if len(owners) == len(pool.catalog) and owners != (seen or [None])[-1]:
            seen.append(owners)
        pool.now += 10.0
    assert len(seen) > 3
    assert seen == expected
