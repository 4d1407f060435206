from __future__ import annotations

import pytest

from fingerv7.core.explain import because, explain
from fingerv7.core.model import Stream
from fingerv7.core.planner import plan
from fingerv7.core.planner.model import Candidate, Move, Plan, Policy, Strategy, Trigger, Unplaced, UnplacedReason

AUDIO = frozenset({"audio_fingerprinting"})


def workers(*given):
    return {each.name: each for each in given}


def worker(name, capacity=50, *more, **options):
    return Candidate(name, capacity, AUDIO | set(more), **options)


def streams(count, **options):
    return {f"s{n:02}": Stream(f"s{n:02}", "http://u:p@radio.example/?key=1", **options) for n in range(count)}


def told(stream, all_streams, candidates, target, *, current=None, moves=(), unplaced=(), policy=None, **options):
    balanced = options.pop("balanced", True)
    made = Plan(target, moves, unplaced, 32.0, 4.0, judge=lambda: balanced)
    current = target if current is None else current
    return explain(stream, all_streams, candidates, current, made, policy or Policy(), **options)


def answers(explanation):
    return {each.worker: each.why_not for each in explanation.alternatives}


def test_a_stream_that_stays():
    found = told("s00", streams(4), workers(worker("w1"), worker("w2")), {"s00": "w1", "s01": "w1", "s02": "w2"})
    assert (found.worker, found.why) == ("w1", "kept: it was here and nothing asked for a move")
    assert answers(found) == {"w2": "would be fuller: load 4 % with it, against 4 %"}


def test_every_hard_reason_has_its_words():
    candidates = workers(
        worker("here", 50, "vpn"),
        worker("plain"),
        worker("drains", 50, "vpn", keeps=False, eligible=False),
        worker("silent", 50, "vpn", eligible=False),
        worker("full", 1, "vpn"),
        worker("shut", 50, "vpn"),
        worker("pair", 50, "vpn"),
        worker("small", 50, "vpn", max_bytes=10),
    )
    all_streams = streams(2, capabilities=frozenset({"vpn"}), size=100)
    policy = Policy(excluded_workers=frozenset({"shut"}), excluded_pairs=frozenset({("s00", "pair")}))
    found = told("s00", all_streams, candidates, {"s00": "here", "s01": "full"}, policy=policy)
    assert answers(found) == {
        "plain": "lacks vpn",
        "drains": "draining",
        "silent": "may be given nothing now",
        "full": "no room: 1 of 1 taken",
        "shut": "the policy gives it nothing new",
        "pair": "excluded by the policy",
        "small": "no room: its assignment would be too large to store",
    }


def test_a_heavy_stream_says_what_it_weighs():
    all_streams = {**streams(1, weight=5), "x": Stream("x", "http://a", weight=8)}
    found = told("s00", all_streams, workers(worker("w1", 5), worker("w2", 10)), {"s00": "w1", "x": "w2"})
    assert answers(found) == {"w2": "no room: 8 of 10 taken, and it weighs 5"}


def test_a_pin():
    pinned = Policy(pins={"s00": "w2"})
    found = told("s00", streams(1), workers(worker("w1"), worker("w2")), {"s00": "w2"}, policy=pinned)
    assert found.why == "kept: it was here and the policy pins it here"
    assert answers(found) == {"w1": "the policy pins it to w2"}


def test_a_target_load():
    target = {f"s{n:02}": "w1" if n < 8 else "w2" for n in range(15)}
    found = told(
        "s09",
        streams(15),
        workers(worker("w1", 10), worker("w2", 20)),
        target,
        policy=Policy(target_load_percent=80),
    )
    assert answers(found) == {"w1": "load 80 % is at or above the target of 80 %"}


def test_another_location():
    all_streams = streams(2, location="berlin")
    candidates = workers(
        worker("b", location="berlin"), worker("p", location="paris"), worker("b2", 1, location="berlin")
    )
    found = told("s00", all_streams, candidates, {"s00": "b"}, policy=Policy(strategy=Strategy.Location))
    assert answers(found)["p"] == "another location (paris) while berlin has room"


def test_an_emptier_worker_needs_more_than_a_little_imbalance():
    target = {f"s{n:02}": "w1" if n < 9 else "w2" for n in range(15)}
    fleet = workers(worker("w1"), worker("w2"))
    found = told("s00", streams(15), fleet, target)
    assert answers(found) == {
        "w2": "emptier (load 12 % against 18 %), but within the tolerance of 15 points and 3 streams"
    }
    found = told("s00", streams(15), fleet, target, policy=Policy(may_balance=False))
    assert answers(found)["w2"].endswith("but nothing moves for balance now")
    found = told("s00", streams(15), fleet, target, balanced=False)
    assert answers(found)["w2"].endswith("but this round moves others first")


def test_performance_is_compared_by_score():
    fleet = workers(worker("w1", score_percent=100), worker("w2", score_percent=50))
    target = {f"s{n:02}": "w1" if n < 8 else "w2" for n in range(12)}
    found = told("s00", streams(12), fleet, target, policy=Policy(strategy=Strategy.Performance))
    assert answers(found) == {
        "w2": "no emptier: load 8 % at a score of 50 against 16 % at a score of 100",
    } or answers(found) == {"w2": "fuller: load 8 % at a score of 50 against 16 % at a score of 100"}


def test_workers_with_one_reason_stand_together():
    fleet = workers(worker("here", 50, "vpn"), *(worker(f"w{n}") for n in range(7)), worker("full", 1, "vpn"))
    all_streams = streams(2, capabilities=frozenset({"vpn"}))
    found = told("s00", all_streams, fleet, {"s00": "here", "s01": "full"}, at_most=1)
    assert answers(found) == {"w0, w1 and 5 others": "lacks vpn"}


def test_a_new_stream_is_told_what_spoke_for_its_worker():
    fleet = workers(worker("w1", 50, "vpn"), worker("w2", 50, "vpn"), worker("w3", 50, "vpn"), worker("w4"))
    all_streams = streams(3, capabilities=frozenset({"vpn"}))
    current = {"s01": "w1", "s02": "w2"}
    made = plan(all_streams, fleet, current, Policy())
    found = explain("s00", all_streams, fleet, current, made, Policy())
    assert (found.worker, found.why) == ("w3", "nobody had it; here: the lowest load of 3 workers with vpn")


def test_a_lost_worker_and_the_only_one_left():
    fleet = workers(worker("w1"), worker("w2", 50, "vpn"))
    all_streams = streams(1, capabilities=frozenset({"vpn"}))
    made = plan(all_streams, fleet, {"s00": "gone"}, Policy())
    found = explain("s00", all_streams, fleet, {"s00": "gone"}, made, Policy())
    assert found.why == "gone is gone; here: the only worker with vpn"


@pytest.mark.parametrize(
    ("reason", "fleet", "why"),
    [
        (UnplacedReason.NoCapableWorker, [worker("w1")], "on no worker: none has vpn"),
        (
            UnplacedReason.NoEligibleWorker,
            [worker("w1", 50, "vpn", eligible=False)],
            "on no worker: none with vpn may be given anything now",
        ),
        (UnplacedReason.NoCapacity, [worker("w1", 0, "vpn")], "on no worker: the only worker with vpn is full"),
    ],
)
def test_a_stream_without_a_place(reason, fleet, why):
    all_streams = streams(1, capabilities=frozenset({"vpn"}))
    found = told("s00", all_streams, workers(*fleet), {}, unplaced=(Unplaced("s00", reason),))
    assert (found.worker, found.why) == (None, why)
    assert answers(found)["w1"]


def test_a_pin_that_cannot_be_kept():
    pinned = Policy(pins={"s00": "w9"})
    left = (Unplaced("s00", UnplacedReason.Excluded),)
    found = told("s00", streams(1), workers(worker("w1")), {}, unplaced=left, policy=pinned)
    assert found.why == "on no worker: the policy pins it to w9, which is not there"


def test_an_unknown_stream():
    assert told("nobody", streams(1), {}, {}).why == "it is not among the streams"


@pytest.mark.parametrize(
    ("trigger", "sentence"),
    [
        (Trigger.NewStream, "nobody had it"),
        (Trigger.WorkerLost, "old is gone"),
        (Trigger.WorkerIneligible, "old lacks vpn"),
        (Trigger.OverCapacity, "old holds more than its 10"),
        (Trigger.MakingRoom, "its place is needed by a stream that finds no other"),
        (Trigger.Imbalance, "the loads are 32 points from even"),
        (Trigger.NewWorker, "new had nothing"),
        (Trigger.CapacityChanged, "the capacity of new changed"),
        (Trigger.ComingHome, "its own location (rome) has room again"),
        (Trigger.Rotation, "its time on old is over"),
    ],
)
def test_every_trigger_has_a_sentence(trigger, sentence):
    fleet = workers(worker("old", 10), worker("new", 10, "vpn", capacity_changed=True))
    all_streams = streams(1, capabilities=frozenset({"vpn"}), location="rome")
    made = Plan({"s00": "new"}, (), (), 32.0, 4.0)
    move = Move("s00", None if trigger is Trigger.NewStream else "old", "new", trigger)
    assert because(move, all_streams, fleet, Policy(), made) == sentence


def test_no_sentence_contains_an_address():
    fleet = workers(worker("w1", 1), worker("w2", 1))
    all_streams = streams(3)
    made = plan(all_streams, fleet, {}, Policy())
    for stream in all_streams:
        assert "radio.example" not in repr(explain(stream, all_streams, fleet, {}, made, Policy()))
