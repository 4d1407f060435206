"""The brake on mass failure, back-off and suspected poison."""

from __future__ import annotations

from fingerv7.core.liveness import Health, Verdict
from fingerv7.core.model import Stream
from fingerv7.core.takeover import QUARANTINE_S, Deaths, MassFailure, Takeovers

POLICY = MassFailure(threshold_percent=50, max_hold_s=60.0)
T = 20.0


STREAM = Stream("s", "http://radio.example/s")
CATALOG = {"s": STREAM}


def decide(takeovers, health, now, *, holding=None, confirmed=None, override=False, watch_silent=False):
    return takeovers.decide(
        health,
        holding=set(health) if holding is None else holding,
        confirmed=set(health) if confirmed is None else confirmed,
        policy=POLICY,
        t_s=T,
        now=now,
        override=override,
        watch_silent=watch_silent,
    )


def suspected(deaths: Deaths, now: float, catalog=CATALOG) -> set[str]:
    return set(deaths.suspected(catalog, now))


def fleet(alive: int, *, silent: int = 0, late: int = 0) -> dict[str, Health]:
    kinds = [Verdict.ALIVE] * alive + [Verdict.SILENT] * silent + [Verdict.LATE] * late
    return {f"w{n:02}": Health(kind, 0.0, "") for n, kind in enumerate(kinds)}


def test_one_silent_worker_is_taken_over_at_once():
    assert decide(Takeovers(), fleet(7, silent=1), 0.0) == {"w07"}


def test_two_of_two_are_no_mass():
    assert len(decide(Takeovers(), fleet(0, silent=2), 0.0)) == 2


def test_the_first_silent_one_of_a_mass_waits_because_the_others_are_late():
    takeovers = Takeovers()
    assert decide(takeovers, fleet(3, silent=1, late=4), 0.0) == frozenset()
    assert takeovers.held_since == 0.0


def test_after_max_hold_takeovers_proceed_at_a_bounded_rate():
    takeovers, health = Takeovers(), fleet(4, silent=6)
    sizes = [len(decide(takeovers, health, t)) for t in (0.0, 59.9, 60.0, 60.1, 65.0, 70.0)]
    assert sizes == [0, 0, 1, 1, 2, 3]


def test_the_brake_lets_go_when_they_are_heard_again():
    takeovers = Takeovers()
    decide(takeovers, fleet(3, silent=5), 0.0)
    assert decide(takeovers, fleet(8), 10.0) == frozenset()
    assert takeovers.held_since is None


def test_when_half_of_a_mass_is_heard_again_the_others_have_one_takeover_time_to_follow():
    takeovers = Takeovers()
    decide(takeovers, fleet(3, silent=5), 0.0)
    assert decide(takeovers, fleet(6, silent=2), 10.0) == frozenset()
    assert decide(takeovers, fleet(7, silent=1), T - 0.1) == frozenset()
    assert decide(takeovers, fleet(8), T) == frozenset()
    assert takeovers.held_since is None


def test_who_is_dead_in_a_mass_that_is_over_waits_no_longer_than_that():
    takeovers = Takeovers()
    decide(takeovers, fleet(3, silent=5), 0.0)
    assert decide(takeovers, fleet(6, silent=2), 10.0) == frozenset()
    assert len(decide(takeovers, fleet(6, silent=2), T)) == 2
    assert takeovers.held_since is None


def test_where_the_watch_is_silent_the_late_are_read_before_a_mass_is_made_of_them():
    takeovers = Takeovers()
    assert decide(takeovers, fleet(0, silent=1, late=3), 0.0, confirmed={"w00"}, watch_silent=True) == frozenset()
    assert takeovers.unconfirmed == ["w01", "w02", "w03"]
    alive = dict(zip(sorted(fleet(4)), [*fleet(0, silent=1).values(), *fleet(3).values()], strict=True))
    assert decide(takeovers, alive, 0.1, confirmed={"w00"}, watch_silent=True) == {"w00"}, "they were heard directly"


def test_a_mass_that_direct_reads_confirm_is_one_although_the_watch_is_silent():
    takeovers, health = Takeovers(), fleet(0, silent=1, late=3)
    assert decide(takeovers, health, 0.0, watch_silent=True) == frozenset()
    assert takeovers.held_since == 0.0
    assert takeovers.unconfirmed == []


def test_who_goes_silent_alone_after_a_mass_is_taken_over_at_once():
    takeovers = Takeovers()
    decide(takeovers, fleet(3, silent=5), 0.0)
    decide(takeovers, fleet(8), 1.0)
    assert len(decide(takeovers, fleet(7, silent=1), 2.0)) == 1


def test_a_worker_that_is_heard_again_is_no_longer_taken_over():
    takeovers = Takeovers()
    decide(takeovers, fleet(7, silent=1), 0.0)
    assert decide(takeovers, fleet(8), 5.0) == frozenset()


def test_one_death_after_another_is_no_mass():
    takeovers, health = Takeovers(), fleet(8)
    for n in range(4):
        health[f"w{n:02}"] = Health(Verdict.SILENT, 0.0, "")
        taken = decide(takeovers, health, 100.0 * n)
    assert len(taken) == 4


def test_back_off_doubles_up_to_ten_minutes_and_is_forgotten():
    deaths, waits, now = Deaths(), [], 0.0
    for _ in range(9):
        deaths.died("a", last_heard=now - 20.0, now=now)
        waits.append(deaths.backing_off_s("a", now))
        now += 500.0
    assert waits == [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0, 600.0]
    deaths.died("a", last_heard=now, now=now + 1000.0)
    assert deaths.backing_off_s("a", now + 1000.0) == 10.0


def test_only_age_ends_a_back_off_so_a_worker_that_was_made_again_does_not_begin_anew():
    deaths = Deaths()
    deaths.died("a", last_heard=0.0, now=20.0)
    deaths.survived(80.0, 620.0)
    deaths.died("a", last_heard=600.0, now=620.0)
    assert deaths.backing_off_s("a", 620.0) == 20.0
    deaths.survived(80.0, 1241.0)
    assert not deaths.count
    assert not deaths.last


def test_a_stream_gained_shortly_before_three_workers_died_is_suspected():
    deaths = Deaths()
    for n, name in enumerate("abc"):
        deaths.granted(name, STREAM, 100.0 * n)
        deaths.died(name, last_heard=100.0 * n + 5.0, now=100.0 * n + 30.0)
        assert suspected(deaths, 100.0 * n + 30.0) == ({"s"} if name == "c" else set())
    deaths.survived(80.0, 3000.0)
    assert suspected(deaths, 3000.0) == set()


def test_a_stream_whose_worker_lived_on_is_innocent():
    deaths = Deaths()
    for n, name in enumerate("ab"):
        deaths.granted(name, STREAM, 100.0 * n)
        deaths.died(name, last_heard=100.0 * n + 5.0, now=100.0 * n + 30.0)
    deaths.granted("c", STREAM, 300.0)
    deaths.survived(80.0, 400.0)
    deaths.granted("d", STREAM, 500.0)
    deaths.died("d", last_heard=505.0, now=510.0)
    assert suspected(deaths, 510.0) == set()


def test_a_silent_worker_that_no_direct_read_has_confirmed_is_read_first():
    takeovers, health = Takeovers(), fleet(7, silent=1)
    assert decide(takeovers, health, 0.0, confirmed=set()) == frozenset()
    assert takeovers.unconfirmed == ["w07"]


def test_the_long_dead_who_hold_nothing_do_not_hold_up_a_takeover():
    health = fleet(9, silent=13)
    alive_or_dying = {f"w{n:02}" for n in range(10)}
    assert "w09" in decide(Takeovers(), health, 0.0, holding=alive_or_dying)


def test_a_stream_that_a_worker_had_for_a_while_is_not_suspected():
    deaths = Deaths()
    for n, name in enumerate("abc"):
        deaths.granted(name, STREAM, 100.0 * n)
        deaths.died(name, last_heard=100.0 * n + 15.0, now=100.0 * n + 35.0)
    assert suspected(deaths, 235.0) == set()


def test_somebody_who_knows_that_they_are_dead_releases_them_all_at_once():
    takeovers, health = Takeovers(), fleet(3, silent=4, late=1)
    decide(takeovers, health, 0.0)
    assert not takeovers.at_peace
    assert len(decide(takeovers, health, 1.0, override=True)) == 4
    assert takeovers.released == ["w03", "w04", "w05", "w06"]
    assert takeovers.held_since is None
    health["w07"] = Health(Verdict.SILENT, 0.0, "")
    assert len(decide(takeovers, health, 2.0)) == 5, "the same failure is not held again"


def test_a_released_brake_holds_the_next_mass_failure():
    takeovers = Takeovers()
    decide(takeovers, fleet(3, silent=5), 0.0, override=True)
    decide(takeovers, fleet(8), 100.0)
    assert takeovers.at_peace
    assert decide(takeovers, fleet(3, silent=5), 200.0) == frozenset()
    assert takeovers.held_since == 200.0


def test_one_that_dies_as_soon_as_its_longest_back_off_ends_begins_no_shorter_one():
    deaths, now = Deaths(), 0.0
    for _ in range(10):
        deaths.died("a", last_heard=now, now=now)
        now += deaths.backing_off_s("a", now) + 30.0
        deaths.survived(80.0, now)
    deaths.died("a", last_heard=now, now=now)
    assert deaths.backing_off_s("a", now) == 600.0


def test_a_forgiven_worker_is_eligible_at_once():
    deaths = Deaths()
    deaths.died("a", last_heard=0.0, now=20.0)
    assert deaths.forgive() == ["a"]
    assert deaths.backing_off_s("a", 20.0) == 0.0


def poisoned() -> Deaths:
    deaths = Deaths()
    for n, name in enumerate("abc"):
        deaths.granted(name, STREAM, 100.0 * n)
        deaths.died(name, last_heard=100.0 * n + 5.0, now=100.0 * n + 30.0)
    return deaths


def test_a_suspected_stream_is_another_one_with_another_url_and_none_when_its_row_is_gone():
    deaths = poisoned()
    assert suspected(deaths, 240.0) == {"s"}
    assert suspected(deaths, 240.0, {"s": Stream("s", "http://radio.example/mended")}) == set()
    assert suspected(deaths, 240.0, {}) == set()


def test_a_suspicion_ends_after_half_an_hour_or_when_somebody_says_so():
    deaths = poisoned()
    assert deaths.suspected(CATALOG, 230.0) == {"s": QUARANTINE_S}
    assert suspected(deaths, 231.0 + QUARANTINE_S) == set()
    deaths.acquit({"s"})
    assert suspected(deaths, 240.0) == set()


def test_one_worker_that_dies_whatever_it_gets_makes_no_stream_suspect():
    deaths = Deaths()
    for n in range(5):
        deaths.granted("a", STREAM, 100.0 * n)
        deaths.died("a", last_heard=100.0 * n + 5.0, now=100.0 * n + 30.0)
    assert suspected(deaths, 440.0) == set()


def test_those_who_went_silent_together_died_of_no_stream():
    deaths = Deaths()
    for n, name in enumerate("abc"):
        deaths.granted(name, STREAM, 100.0 * n)
        deaths.died(name, last_heard=100.0 * n + 5.0, now=100.0 * n + 30.0, of_its_streams=False)
    assert suspected(deaths, 240.0) == set()
    assert deaths.backing_off_s("c", 230.0) == 10.0
