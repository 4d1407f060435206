"""Scores: who recognises more with less gets more, and a flapping report moves nothing."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerv7.core.model import Assignment, Grant, Lease, Stream, Token, Worker
from fingerv7.core.performance import BAND, MEASURE_EVERY_S, SMOOTHING_S, STEP, Scores, settled, smoothed
from fingerv7.core.planner.model import MAX_SCORE, MIN_SCORE


def worker(name: str, streams: int = 10, *, score: int | None = None, **status: object) -> Worker:
    grants = {f"{name}{n}": Grant(Stream(f"{name}{n}", "http://radio.example/"), Token(1, n)) for n in range(streams)}
    assignment = Assignment(1, 1, grants)
    return Worker(name, f"uid-{name}", 1, "radio", 50, score_percent=score, assignment=assignment, status=status)


class Pool:
    """Workers that report counters; `rates` are pieces and errors per stream and minute, and CPU per stream."""

    def __init__(self, rates: dict[str, tuple[float, float, float]], **workers: Worker) -> None:
        self.rates = rates
        self.workers = {name: workers.get(name) or worker(name) for name in rates}
        self.totals = {name: [0.0, 0.0] for name in rates}
        self.lives = dict.fromkeys(rates, 1)
        self.now = 0.0
        self.scores = Scores()

    def look(self) -> dict[str, int]:
        leases = {}
        for name, (_, _, cpu) in self.rates.items():
            processed, errors = self.totals[name]
            streams = len(self.workers[name].assignment.grants)
            report = {"processedCount": int(processed), "errorCount": int(errors), "cpuPercent": cpu * streams}
            holder = f"pod-{name}/{self.lives[name]}"
            leases[name] = Lease(name, "u", 1, "radio", holder, "", report=json.dumps(report))
        return self.scores.look(self.workers, leases, self.now)

    def pass_minutes(self, minutes: int) -> dict[str, int]:
        for _ in range(minutes):
            self.now += 60.0
            for name, (pieces, errors, _) in self.rates.items():
                streams = len(self.workers[name].assignment.grants)
                self.totals[name][0] += pieces * streams
                self.totals[name][1] += errors * streams
            scores = self.look()
        return scores


def test_before_anything_was_measured_everybody_is_ordinary():
    assert Pool({"a": (1, 0, 1), "b": (9, 0, 1)}).look() == {"a": 100, "b": 100}


def test_what_the_spec_says_counts_at_once_within_bounds():
    pool = Pool(
        {"a": (1, 0, 1), "b": (1, 0, 1), "c": (1, 0, 1)},
        a=worker("a", score=95),
        b=worker("b", score=1),
        c=worker("c", score=200),
    )
    assert pool.look() == {"a": 95, "b": MIN_SCORE, "c": MAX_SCORE}


@pytest.mark.parametrize(
    ("rates", "score"),
    [
        ((10, 0, 2), 100),
        ((5, 0, 2), 50),
        ((10, 10, 2), 50),
        ((10, 0, 4), 50),
        ((10, 0, 1), MAX_SCORE),
        ((0, 10, 9), 30),
    ],
)
def test_a_lasting_difference_is_found(rates, score):
    pool = Pool({"a": (10, 0, 2), "b": (10, 0, 2), "c": rates})
    pool.look()
    found = pool.pass_minutes(90)
    assert (found["a"], found["b"]) == (100, 100)
    assert abs(found["c"] - score) <= BAND


def test_a_short_disturbance_is_none():
    pool = Pool({"a": (10, 0, 2), "b": (10, 0, 2), "c": (10, 0, 2)})
    pool.look()
    pool.pass_minutes(5)
    pool.rates["c"] = (4, 0, 3)
    pool.pass_minutes(2)
    pool.rates["c"] = (10, 0, 2)
    assert pool.pass_minutes(30) == {"a": 100, "b": 100, "c": 100}


def test_counters_that_begin_anew_are_not_compared():
    pool = Pool({"a": (10, 0, 0), "b": (10, 0, 0), "c": (10, 0, 0)})
    pool.look()
    for _ in range(20):
        pool.pass_minutes(1)
        pool.totals["c"] = [0.0, 0.0]
        pool.lives["c"] += 1
    assert pool.look()["c"] == 100


def test_who_runs_nothing_or_reports_nonsense_keeps_its_score():
    pool = Pool({"a": (10, 0, 2), "b": (10, 0, 2)}, a=worker("a", 0))
    pool.look()
    assert pool.pass_minutes(30)["a"] == 100
    lease = Lease("a", "u", 1, "radio", "pod/1", "", report='["no", "object"]')
    assert pool.scores.look(pool.workers, {"a": lease, "b": lease}, pool.now + 60) == {"a": 100, "b": 100}


def test_a_new_leader_goes_on_with_the_score_in_use():
    pool = Pool({"a": (10, 0, 2), "b": (10, 0, 2)}, a=worker("a", performanceScorePercent=60))
    assert pool.look()["a"] == 60


def test_who_is_gone_is_forgotten():
    pool = Pool({"a": (10, 0, 2), "b": (10, 0, 2)})
    pool.look()
    del pool.workers["b"], pool.rates["b"]
    assert pool.look() == {"a": 100}
    assert len(pool.scores._known) == 1


@settings(deadline=None)
@given(
    st.floats(MIN_SCORE, MAX_SCORE),
    st.floats(0, 40),
    st.lists(st.integers(1, 3), min_size=1, max_size=5),
    st.integers(0, 3),
)
def test_a_score_that_swings_around_a_value_never_takes_the_one_in_use_back_and_forth(value, swing, pattern, n):
    """Up and down for a minute or a few, in any pattern that is as often above as below.

    Once may be late: where the swing just reaches the end of the band, the last of its approach decides.
    """
    signs = [sign for length in pattern for sign in [1] * length + [-1] * length]
    signs = signs[n % len(signs) :] + signs[: n % len(signs)]
    smooth, used = 100.0, 100
    seen = []
    for minute in range(60 * len(signs) * 2):
        raw = value + swing * signs[minute % len(signs)]
        smooth = smoothed(smooth, raw, MEASURE_EVERY_S)
        used = settled(used, smooth)
        if minute * MEASURE_EVERY_S > 10 * SMOOTHING_S:
            seen.append(used)
    assert sum(one != next_one for one, next_one in pairwise(seen)) <= 1


@given(st.floats(0, 1000), st.lists(st.floats(0, 10_000), max_size=50), st.floats(0, 1e6))
def test_scores_stay_within_their_bounds(first, raws, elapsed_s):
    smooth, used = min(200.0, max(25.0, first)), 100
    for raw in raws:
        smooth = smoothed(smooth, raw, elapsed_s)
        used = settled(used, smooth)
        assert MIN_SCORE <= used <= MAX_SCORE
        assert used % STEP == 0 or used in (MIN_SCORE, MAX_SCORE)
