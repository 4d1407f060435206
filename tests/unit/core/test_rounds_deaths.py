"""Who keeps dying, and of what, over many rounds; and what people overrule of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingerv7.core.model import Stream
from fingerv7.core.override import Override
from fingerv7.core.takeover import MassFailure

from .small_world import T_S, Pool, rules


def crash_whoever_has(pool: Pool, stream: str) -> str:
    """Let its worker crash within moments of getting the stream, and its streams go to others; who it was."""
    (name,) = [n for n, member in pool.members.items() if stream in member.runs]
    pool.now += 1.0
    pool.crash(name)
    pool.round()
    for _ in range(4):
        pool.round()
        for other in pool.members:
            if other != name:
                pool.acknowledge(other)
    return name


def test_a_worker_that_crashes_beside_its_sidecar_backs_off_longer_each_time():
    pool = Pool({"a": 10, "b": 10}, 4)
    pool.settle()
    waits = []
    for _ in range(3):
        pool.crash("a")
        pool.round()
        pool.round()
        pool.come_back("a")
        decision = pool.round()
        assert decision.standings["a"].reason == "BackingOff"
        waits.append(decision.facts["a"].backing_off_s)
        pool.pass_time(waits[-1])
        assert pool.round().standings["a"].accepts
        pool.settle()
    assert waits == [10.0, 20.0, 40.0]


def test_a_drained_or_ended_worker_has_not_died():
    pool = Pool({"a": 10, "b": 10}, 4)
    pool.settle()
    pool.crash("a")
    pool.members["a"].lease = replace(pool.members["a"].lease, gone="")
    pool.round()
    pool.come_back("a")
    assert pool.round().standings["a"].accepts


def test_a_stream_that_kills_every_worker_it_lands_on_is_kept_from_the_fourth():
    pool = Pool(dict.fromkeys("abcde", 10), 6)
    pool.settle()
    victims = [crash_whoever_has(pool, "s3") for _ in range(3)]
    assert len(set(victims)) == 3
    decision = pool.settle()
    assert set(decision.suspected) == {"s3"}
    assert ("s3", "SuspectedPoison") in decision.unassigned
    running = {stream for member in pool.members.values() for stream in member.runs}
    assert "s3" not in running
    assert len(running) >= 5, "the others go on"


@pytest.mark.parametrize("workers", ["abc", "abcdefgh"])
@pytest.mark.parametrize("apart_s", [0.0, 1.0])
def test_workers_that_keep_ending_together_say_nothing_of_their_streams(workers, apart_s):
    pool = Pool(dict.fromkeys(workers, 30), 24)
    pool.rules = rules(mass_failure=MassFailure(50, 60.0))
    pool.settle()
    for _ in range(5):
        for name in workers:
            pool.crash(name)
            pool.now += apart_s
            pool.round()
        for name in workers:
            pool.come_back(name)
        longest = max(pool.memory.deaths.backing_off_s(name, pool.now) for name in workers)
        assert longest, "they back off all the same"
        pool.pass_time(longest)
        pool.settle()
    assert not pool.round().suspected
    assert not pool.memory.deaths.victims
    assert sum(pool.loads().values()) == 24


@pytest.mark.parametrize("workers", ["abc", "abcde"])
def test_poison_in_a_small_pool_is_suspected_although_it_ends_most_of_it(workers):
    pool = Pool(dict.fromkeys(workers, 10), 6)
    pool.rules = rules(mass_failure=MassFailure(50, 60.0))
    pool.settle()
    for _ in range(3):
        crash_whoever_has(pool, "s3")
    assert "s3" in pool.round().suspected


def test_a_suspected_stream_is_released_by_an_annotation_or_another_url_or_in_time():
    for release in ("annotation", "url", "time"):
        pool = Pool(dict.fromkeys("abcde", 10), 6)
        pool.settle()
        for name in [crash_whoever_has(pool, "s3") for _ in range(3)]:
            pool.come_back(name)
        assert pool.settle().suspected
        if release == "annotation":
            pool.overrides = {Override.RELEASE_STREAMS: "now"}
            said = pool.round().overruled
            assert said == {Override.RELEASE_STREAMS: "workers may have 1 stream (s3) again"}
            pool.overrides = {}
        elif release == "url":
            pool.catalog = {**pool.catalog, "s3": Stream("s3", "http://radio.example/mended")}
        else:
            pool.pass_time(1801.0)
        assert not pool.settle().suspected
        assert "s3" in {stream for member in pool.members.values() for stream in member.runs}, release


def test_a_back_off_is_ended_by_an_annotation():
    pool = Pool({"a": 10, "b": 10}, 4)
    pool.settle()
    pool.crash("a")
    pool.round()
    pool.come_back("a")
    assert pool.round().standings["a"].reason == "BackingOff"
    pool.overrides = {Override.END_BACK_OFF: "now"}
    decision = pool.round()
    assert decision.overruled == {Override.END_BACK_OFF: "1 worker (a) may have streams again"}
    assert decision.standings["a"].accepts


def test_the_brake_is_released_by_an_annotation_for_this_mass_failure_only():
    pool = Pool(dict.fromkeys("abcd", 10), 8)
    pool.rules = rules(mass_failure=MassFailure(50, 60.0))
    pool.settle()
    for name in "abc":
        pool.kill(name)
    pool.pass_time(T_S + 5.0)
    assert pool.round().held_since is not None
    pool.overrides = {Override.RELEASE_TAKEOVERS: "now"}
    decision = pool.round()
    assert decision.newly_taken == {"a", "b", "c"}
    assert decision.overruled == {Override.RELEASE_TAKEOVERS: "3 workers (a, b, c) taken over at once"}
    pool.overrides = {}
    pool.settle()
    assert pool.loads()["d"] == 8


def test_an_annotation_that_finds_nothing_to_overrule_is_answered_and_used_up():
    pool = Pool({"a": 10}, 2)
    pool.settle()
    pool.overrides = dict.fromkeys(Override, "now")
    assert set(pool.round().overruled.values()) == {
        "no takeover is held",
        "no worker has died lately",
        "no stream is suspected",
    }
