"""What somebody may run although no object says so is given to nobody, and not for longer than needed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingerv7.contract import Acknowledgement, Timing
from fingerv7.core.doubt import Claims, Doubts
from fingerv7.core.handover import Holder, Wanted, step
from fingerv7.core.liveness import observe
from fingerv7.core.model import Assignment, Grant, Lease, Release, Stream, Token, Worker

TIMING = Timing.derive(20_000)
HEEDLESS_S = (20 + 6) * 1.05 / 0.95
"""T for a confirmation and K to stop, by a slow clock measured on a fast one."""
HELD = Assignment(3, 1, {"s": Grant(Stream("s", "http://x/"), Token(1, 1))}, {})
WORKER = Worker("a", "uid-a", 1, "radio", 10, assignment=HELD)
ACK = Acknowledgement("uid-a", "pod/1", 3)
LEASE = Lease("a", "lease-1", 1, "radio", "pod/1", "t1", 20_000, ACK)


class Watcher:
    def __init__(self) -> None:
        self.doubts = Doubts()
        self.seen = {}

    def look(self, now, *, worker=WORKER, lease=LEASE, unknown=None, confirmed=()) -> Doubts:
        self.seen["a"] = observe(self.seen.get("a"), lease, now)
        workers = {"a": worker} if worker else {}
        leases = {"a": lease} if lease else {}
        self.doubts.look(workers, leases, self.seen, unknown or {}, TIMING, now, confirmed=frozenset(confirmed))
        return self.doubts


def beat(now, **changes) -> Lease:
    return replace(LEASE, renew_time=f"t{now}", **changes)


def test_a_worker_that_says_what_it_runs_raises_no_doubt():
    assert Watcher().look(0.0).may_grant("x")


def test_one_that_does_not_holds_up_streams_of_unknown_past_until_its_sidecar_has_given_it_up():
    watcher = Watcher()
    assert not watcher.look(0.0, lease=beat(0, applied=None)).may_grant("x")
    assert not watcher.look(HEEDLESS_S - 1, lease=beat(19, applied=None)).may_grant("x")
    assert watcher.look(HEEDLESS_S, lease=beat(20, applied=None)).may_grant("x")


def test_one_that_speaks_for_an_earlier_fingerworker_has_not_noticed_and_may_run_anything():
    watcher = Watcher()
    recreated = replace(WORKER, uid="uid-b", assignment=Assignment())
    for now in range(0, 90, 5):
        assert not watcher.look(float(now), worker=recreated, lease=beat(now)).may_grant("x")
    watcher.look(90.0, worker=recreated, lease=beat(90, applied=None))
    assert not watcher.look(84.0 + HEEDLESS_S, worker=recreated, lease=beat(91, applied=None)).may_grant("x")
    assert watcher.look(86.0 + HEEDLESS_S, worker=recreated, lease=beat(92, applied=None)).may_grant("x")


def test_the_silence_of_one_that_may_run_anything_has_to_be_confirmed_because_it_may_be_the_watchs():
    watcher = Watcher()
    recreated = replace(WORKER, uid="uid-b", assignment=Assignment())
    watcher.look(0.0, worker=recreated)
    silent = watcher.look(100.0, worker=recreated)
    assert silent.unconfirmed == ["a"]
    assert not silent.may_grant("x")
    confirmed = watcher.look(101.0, worker=recreated, confirmed=["a"])
    assert confirmed.unconfirmed == []
    assert confirmed.may_grant("x")


@pytest.mark.parametrize("lease", [None, replace(LEASE, holder="", renew_time="", applied=None)])
def test_a_lease_that_somebody_deletes_takes_no_doubt_away(lease):
    watcher = Watcher()
    recreated = replace(WORKER, uid="uid-b", assignment=Assignment())
    assert not watcher.look(0.0, worker=recreated, lease=beat(0)).may_grant("x")
    assert not watcher.look(HEEDLESS_S - 1, worker=recreated, lease=lease).may_grant("x")
    assert watcher.look(HEEDLESS_S, worker=recreated, lease=lease).may_grant("x")


UNHELD = replace(LEASE, holder="", applied=None)
RELEASED = replace(LEASE, applied=None, released=Release("uid-b", "pod/1"))


def first_looks(leases, **assignment) -> list[bool]:
    """What a new leader may grant at once, and after nearly and after all of the time, beside a worker that was led."""
    recreated = replace(WORKER, uid="uid-b", assignment=replace(Assignment(), **assignment))
    led = replace(WORKER, name="b", uid="uid-c", assignment=replace(HELD, leader_epoch=7))
    doubts, may = Doubts(), []
    seen = {name: observe(None, lease, 0.0) for name, lease in leases.items()}
    for now in (0.0, HEEDLESS_S - 1, HEEDLESS_S):
        doubts.look({"a": recreated, "b": led}, leases, seen, {}, TIMING, now, confirmed=frozenset())
        may.append(doubts.may_grant("x"))
    return may


@pytest.mark.parametrize("leases", [{}, {"a": UNHELD}], ids=["no Lease", "a new Lease"])
@pytest.mark.parametrize("seen_by", [0, 7])
def test_to_a_new_leader_a_worker_that_nobody_speaks_for_may_run_what_it_was_given_before(seen_by, leases):
    assert first_looks(leases, leader_epoch=seen_by) == [False, False, True]


def test_not_one_that_was_given_something_or_whose_sidecar_says_that_it_runs_nothing():
    assert first_looks({}, leader_epoch=7, epoch=1) == [True] * 3
    assert first_looks({"a": RELEASED}, leader_epoch=7) == [True] * 3


def test_where_there_never_was_a_leader_all_workers_are_new():
    assert Watcher().look(0.0, worker=replace(WORKER, assignment=Assignment()), lease=None).may_grant("x")
    assert Watcher().look(0.0, worker=replace(WORKER, assignment=Assignment()), lease=UNHELD).may_grant("x")


def test_a_sidecar_that_restarts_over_and_over_does_not_begin_its_time_anew():
    watcher = Watcher()
    for now in range(0, 28, 4):
        watcher.look(float(now), lease=beat(now, applied=None, holder=f"pod/{now}"))
    assert watcher.look(HEEDLESS_S, lease=beat(HEEDLESS_S, applied=None, holder="pod/29")).may_grant("x")


def test_what_this_leader_saw_stopped_itself_waits_for_nobody():
    watcher = Watcher()
    watcher.doubts.vouched.add("x")
    assert watcher.look(0.0, lease=beat(0, applied=None)).may_grant("x")


def test_an_acknowledgement_of_an_epoch_that_never_was_is_none():
    future = replace(ACK, epoch=9)
    assert not Watcher().look(0.0, lease=beat(0, applied=future)).may_grant("x")


def test_a_live_lease_without_its_fingerworker_may_run_anything():
    assert not Watcher().look(0.0, worker=None).may_grant("x")


def test_what_a_vanished_worker_held_goes_to_nobody_until_it_must_have_stopped():
    watcher = Watcher()
    watcher.look(0.0)
    gone = watcher.look(1.0, worker=None, lease=None)
    assert not gone.may_grant("s")
    assert gone.may_grant("x")
    assert not watcher.look(HEEDLESS_S, worker=None, lease=None).may_grant("s")
    assert watcher.look(1.5 + HEEDLESS_S, worker=None, lease=None).may_grant("s")


def test_a_write_of_unknown_outcome_counts_as_held_by_the_vanished():
    watcher = Watcher()
    attempt = Assignment(4, 1, {"u": Grant(Stream("u", "http://x/"), Token(1, 2))}, {})
    watcher.look(0.0, worker=replace(WORKER, assignment=Assignment()), unknown={"a": attempt})
    assert not watcher.look(1.0, worker=None, lease=None).may_grant("u")


def test_the_time_of_the_vanished_begins_when_its_sidecar_notices():
    watcher = Watcher()
    watcher.look(0.0)
    for now in range(5, 60, 5):
        assert not watcher.look(float(now), worker=None, lease=beat(now)).may_grant("s")
    watcher.look(60.0, worker=None, lease=beat(60, applied=None))
    assert not watcher.look(54.0 + HEEDLESS_S, worker=None, lease=beat(74, applied=None)).may_grant("s")
    assert watcher.look(56.0 + HEEDLESS_S, worker=None, lease=beat(76, applied=None)).may_grant("s")


def test_a_sidecar_with_a_longer_time_is_given_it():
    watcher = Watcher()
    slow = replace(LEASE, duration_ms=180_000)
    watcher.look(0.0, lease=slow)
    watcher.look(1.0, worker=None, lease=slow)
    assert not watcher.look(100.0, worker=None, lease=None).may_grant("s")
    assert watcher.look(207.0, worker=None, lease=None).may_grant("s")


IDLE = replace(WORKER, assignment=Assignment(3, 1))
RELEASE = Release("uid-a", "pod/1")


@pytest.mark.parametrize(
    "left",
    [LEASE, replace(LEASE, applied=None), replace(LEASE, applied=None, released=RELEASE)],
    ids=["has not noticed", "noticed", "ended"],
)
def test_a_worker_that_ran_nothing_and_was_removed_holds_up_nobody_while_its_lease_is_still_there(left):
    watcher = Watcher()
    watcher.look(0.0, worker=IDLE)
    assert watcher.look(1.0, worker=None, lease=left).may_grant("x")
    recreated = replace(WORKER, uid="uid-b", assignment=Assignment())
    assert watcher.look(2.0, worker=recreated, lease=left).may_grant("x")
    assert watcher.look(3.0, worker=None, lease=None).may_grant("x")
    assert not watcher.look(4.0, worker=None, lease=LEASE).may_grant("x")


@pytest.mark.parametrize(
    ("before", "spoke", "left"),
    [
        (IDLE, replace(LEASE, applied=None), replace(LEASE, applied=None)),
        (replace(IDLE, tampered=True), replace(LEASE, applied=None), LEASE),
        (IDLE, LEASE, replace(LEASE, holder="pod/2", applied=None)),
        (IDLE, LEASE, replace(LEASE, applied=replace(ACK, epoch=4))),
        (IDLE, LEASE, replace(LEASE, applied=replace(ACK, worker_uid="uid-0"))),
        (WORKER, LEASE, LEASE),
    ],
    ids=["never spoke", "edited", "another pod", "later epoch", "another FingerWorker", "held a stream"],
)
def test_one_that_was_not_known_to_run_nothing_does(before, spoke, left):
    watcher = Watcher()
    watcher.look(0.0, worker=before, lease=spoke)
    assert not watcher.look(1.0, worker=None, lease=left).may_grant("x")


def test_what_ran_nothing_once_is_not_idle_for_ever():
    watcher = Watcher()
    watcher.look(0.0, worker=IDLE)
    watcher.look(1.0, worker=None)
    watcher.look(2.0, worker=replace(WORKER, uid="uid-b"), lease=beat(2, applied=replace(ACK, worker_uid="uid-b")))
    assert not watcher.look(3.0, worker=None, lease=beat(3, applied=None)).may_grant("x")


def test_one_that_was_just_being_given_something_does():
    watcher = Watcher()
    watcher.look(0.0, worker=IDLE)
    watcher.doubts.spend(IDLE.uid, {"y"})
    assert not watcher.look(1.0, worker=None).may_grant("x")


class TestClaims:
    def believed(self, claims, *, stored=3, claimed=9, tampered=False):
        worker = replace(WORKER, assignment=replace(HELD, epoch=stored), tampered=tampered)
        lease = replace(LEASE, applied=replace(ACK, epoch=claimed))
        return claims.believed({"a": worker}, {"a": lease})["a"].acknowledged_epoch(worker)

    def test_an_acknowledgement_of_the_stored_epoch_is_believed(self):
        assert self.believed(Claims(), claimed=3) == 3

    def test_one_from_before_a_restore_stays_worthless_when_the_stored_epoch_has_passed_it(self):
        claims = Claims()
        assert self.believed(claims) is None
        assert claims.open == {"uid-a": 9}
        assert self.believed(claims, stored=10) is None
        assert self.believed(claims, stored=10, claimed=10) == 10
        assert claims.open == {}

    def test_one_of_an_assignment_that_somebody_edited_is_worthless_until_a_higher_epoch_is_confirmed(self):
        claims = Claims()
        assert self.believed(claims, claimed=3, tampered=True) is None
        assert self.believed(claims, stored=5, claimed=3) is None
        assert self.believed(claims, stored=5, claimed=5) == 5

    def test_one_that_overtook_the_answer_to_our_own_write_costs_one_more_epoch_and_no_second(self):
        claims = Claims()
        assert self.believed(claims, stored=3, claimed=4) is None
        assert self.believed(claims, stored=4, claimed=4) is None
        assert self.next_epoch(claims, stored=4) == 5
        assert self.believed(claims, stored=5, claimed=4) is None
        assert self.next_epoch(claims, stored=5) is None  # waits for the worker, and writes nothing meanwhile
        assert self.believed(claims, stored=5, claimed=5) == 5
        assert self.next_epoch(claims, stored=5) is None

    def next_epoch(self, claims, *, stored):
        """The epoch of the write that follows for a worker that has all that it should have."""
        worker = replace(WORKER, assignment=replace(HELD, epoch=stored))
        holder = Holder(worker, free_through=stored, claimed_epoch=claims.open.get(worker.uid, 0))
        wanted = Wanted({"s": HELD.grants["s"].stream}, {"s": "a"}, {})
        tokens = {"next_token": lambda: Token(1, 2), "may_grant": lambda _: True}
        return next((w.assignment.epoch for w in step({"a": holder}, wanted, leader_epoch=1, **tokens)), None)


def test_what_is_being_granted_is_vouched_for_no_more_whatever_becomes_of_it():
    watcher = Watcher()
    watcher.doubts.vouch("x")
    watcher.doubts.spend(WORKER.uid, {"x"})
    assert not watcher.look(0.0, lease=beat(0, applied=None)).may_grant("x")


def test_what_was_just_being_granted_to_a_fingerworker_that_vanishes_goes_to_nobody_for_a_while():
    watcher = Watcher()
    watcher.look(0.0, worker=replace(WORKER, assignment=Assignment()))
    watcher.doubts.spend(WORKER.uid, {"x"})
    watcher.doubts.vouch("x")  # the answer to the write that cleared it comes late
    assert not watcher.look(1.0, worker=None).may_grant("x")
    assert watcher.look(1.0 + HEEDLESS_S, worker=None, lease=None).may_grant("x")


def test_rows_that_were_removed_are_not_vouched_for_for_ever():
    doubts = Doubts()
    for n in range(5):
        doubts.vouch(f"s{n}")
    doubts.limit({"s1", "s3", "s7"})
    assert doubts.vouched == {"s1", "s3"}
