from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerv7.core.managed.autoscale import Demand, History, Slack, demand, needed, placeable
from fingerv7.core.managed.model import Scaling, Traits
from fingerv7.core.model import Stream

BASE, VPN = frozenset({"audio_fingerprinting"}), frozenset({"audio_fingerprinting", "vpn"})
ANY, ONLY_VPN = frozenset(), frozenset({"vpn"})
SCALING = Scaling(least=1, most=20, target_percent=80, window_s=300.0)


ALIKE = [Traits(50, BASE)] * 30


@pytest.mark.parametrize(("weight", "workers"), [(0, 1), (1, 1), (40, 1), (41, 2), (800, 20), (5000, 20)])
def test_as_many_as_keep_the_target_load_within_the_bounds(weight, workers):
    assert needed(Demand({ANY: weight}), [], ALIKE, SCALING) == workers


def test_what_workers_of_others_can_do_is_not_needed_here():
    assert needed(Demand({ANY: 120}), [], ALIKE, SCALING, [Traits(100, BASE)]) == 1


def test_streams_that_only_one_kind_of_worker_can_take_ask_for_enough_of_those():
    third_is_special = [Traits(50, BASE), Traits(50, BASE), Traits(50, VPN)] * 7
    assert needed(Demand({ANY: 10, ONLY_VPN: 10}), [], third_is_special, SCALING) == 3
    assert needed(Demand({ANY: 10, ONLY_VPN: 60}), [], third_is_special, SCALING) == 6


def test_who_is_there_counts_first_and_by_what_it_can_do():
    small, large = Traits(50, BASE), Traits(200, BASE)
    assert needed(Demand({ANY: 100}), [small, small], [large, small], SCALING) == 3
    assert needed(Demand({ANY: 80}), [small, small], [large], SCALING) == 2
    assert needed(Demand({ANY: 80}), [small, small, large], [], SCALING) == 1
    assert needed(Demand({ANY: 161}), [small, small, large], [], SCALING) == 2


def test_many_kinds_of_requirements_are_bounded_and_count_nevertheless():
    many = Demand({frozenset({f"c{n}"}): 1 for n in range(1_000)})
    able = Traits(50, frozenset(many_of for need in many for many_of in need))
    assert len(placeable(many, [able])) <= 201
    assert needed(many, [], [able] * 30, SCALING) == 20


def test_streams_that_nobody_could_ever_take_ask_for_nothing():
    asked = Demand({ANY: 10, ONLY_VPN: 900})
    assert needed(asked, [], ALIKE, SCALING) == 1
    assert placeable(asked, [Traits(50, BASE)]) == {ANY: 10}


def test_demand_is_the_weight_of_what_somebody_may_have():
    catalog = [
        Stream("a", "http://x", weight=3),
        Stream("b", "http://x", capabilities=ONLY_VPN),
        Stream("c", "http://x"),
    ]
    assert demand(catalog, {"c"}) == {ANY: 3, ONLY_VPN: 1}


def test_nobody_is_spared_whose_places_are_needed():
    slack = Slack(Demand({ANY: 10, ONLY_VPN: 5}), [Traits(10, BASE), Traits(5, VPN), Traits(4, BASE), Traits(5, VPN)])
    assert not slack.spare(Traits(10, BASE))
    assert slack.spare(Traits(5, VPN))
    assert not slack.spare(Traits(5, VPN)), "it is the last that can do it"
    assert slack.spare(Traits(4, BASE))
    assert not slack.spare(Traits(4, BASE))


def test_it_grows_at_once_and_shrinks_to_the_most_of_the_window():
    history = History()
    assert history.settle(5, present=3, window_s=300, now=0) == 5
    assert history.settle(2, present=5, window_s=300, now=10) == 5
    assert history.settle(4, present=5, window_s=300, now=200) == 5
    assert history.settle(2, present=5, window_s=300, now=290) == 5
    assert history.settle(2, present=5, window_s=300, now=310) == 4
    assert history.settle(2, present=4, window_s=300, now=589) == 4
    assert history.settle(2, present=4, window_s=300, now=590) == 2


def test_a_low_moment_after_nobody_looked_for_a_window_is_no_window():
    history = History()
    assert history.settle(5, present=5, window_s=300, now=0) == 5
    assert history.settle(1, present=5, window_s=300, now=1000) == 5
    assert history.settle(1, present=5, window_s=300, now=1299) == 5
    assert history.settle(1, present=5, window_s=300, now=1300) == 1


def test_a_new_leader_gives_what_it_finds_a_whole_window():
    history = History()
    assert history.settle(2, present=6, window_s=300, now=1000) == 6
    assert history.settle(2, present=6, window_s=300, now=1299) == 6
    assert history.settle(2, present=6, window_s=300, now=1301) == 2


def test_without_a_window_it_follows():
    history = History()
    assert [history.settle(need, present=9, window_s=0, now=0) for need in (3, 7, 2)] == [3, 7, 2]


@given(st.lists(st.tuples(st.floats(0.1, 400), st.integers(0, 20)), min_size=1, max_size=40))
def test_it_is_always_the_most_of_the_window(steps):
    history, now, seen = History(), 0.0, []
    history.settle(0, present=0, window_s=300, now=0)
    for pause, need in steps:
        now += pause
        seen.append((now, need))
        ends = [at for at, _ in seen[1:]] + [now]
        most = max(n for end, (_, n) in zip(ends, seen, strict=True) if now - end < 300)
        assert history.settle(need, present=0, window_s=300, now=now) == most
