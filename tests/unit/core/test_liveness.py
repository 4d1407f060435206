"""Silence is measured on our own clock, and never proves more than it can."""

from __future__ import annotations

from dataclasses import replace

from fingerv7.contract import Acknowledgement, Release, Timing
from fingerv7.core.liveness import Verdict, judge, observe, renewed, vacated
from fingerv7.core.model import Assignment, Grant, Lease, Stream, Token, Worker

TIMING = Timing.derive(20_000)
HELD = Assignment(1, 1, {"s": Grant(Stream("s", "http://x/"), Token(1, 1))}, {})
WORKER = Worker("a", "uid-a", 1, "radio", 10, assignment=HELD)
LEASE = Lease("a", "lease-1", 1, "radio", "pod/1", "t1", 20_000)


def verdict(lease, seen, now, worker=WORKER):
    return judge(worker, lease, seen, TIMING, 10_000, now)


def test_a_renewal_starts_the_time_anew():
    seen = observe(observe(None, LEASE, 0.0), replace(LEASE, renew_time="t2"), 5.0)
    assert seen.since == 5.0


def test_seeing_the_same_again_does_not():
    assert observe(observe(None, LEASE, 0.0), LEASE, 5.0).since == 0.0


def test_the_stages_of_silence():
    seen = observe(None, LEASE, 0.0)
    assert [verdict(LEASE, seen, t).verdict for t in (9.9, 10.0, 19.9, 20.0)] == [
        Verdict.ALIVE,
        Verdict.LATE,
        Verdict.LATE,
        Verdict.SILENT,
    ]


def test_a_sidecar_that_declares_a_longer_time_is_given_it():
    seen = observe(None, LEASE, 0.0)
    assert verdict(replace(LEASE, duration_ms=60_000), seen, 30.0).verdict is Verdict.LATE


def test_a_deleted_lease_is_silence_counted_from_its_deletion():
    seen = observe(observe(None, LEASE, 0.0), None, 15.0)
    assert verdict(None, seen, 34.9).verdict is Verdict.LATE
    assert verdict(None, seen, 35.0) == judge(WORKER, None, seen, TIMING, 10_000, 35.0)
    assert verdict(None, seen, 35.0).verdict is Verdict.SILENT


def test_a_worker_that_never_had_a_sidecar_is_absent_not_silent():
    idle = replace(WORKER, assignment=Assignment())
    assert verdict(None, observe(None, None, 0.0), 1000.0, idle).verdict is Verdict.ABSENT


def test_another_pools_label_counts_as_silence_although_it_renews():
    foreign = replace(LEASE, pool="other")
    seen = observe(observe(None, LEASE, 0.0), foreign, 1.0)
    seen = observe(seen, replace(foreign, renew_time="t9"), 20.0)
    health = verdict(foreign, seen, 21.0)
    assert (health.verdict, health.reason) == (Verdict.SILENT, "PoolMismatch")


def test_after_a_gap_everybody_gets_the_whole_time_again():
    seen = renewed(observe(None, LEASE, 0.0), 100.0)
    assert verdict(LEASE, seen, 105.0).verdict is Verdict.ALIVE


class TestVacated:
    SEEN = observe(None, LEASE, 0.0)

    def vacated(self, lease, now, *, seen=SEEN, probed=None):
        probed = probed or observe(None, lease, now)
        return vacated(WORKER, lease, seen=seen, probed=probed, t_s=20.0, now=now)

    def test_an_unchanged_lease_proves_it_after_t(self):
        assert self.vacated(LEASE, 19.9) == ""
        assert self.vacated(LEASE, 20.0) == "takeover"

    def test_a_stalled_watch_proves_nothing_because_the_direct_read_shows_a_renewal(self):
        assert self.vacated(replace(LEASE, renew_time="t2"), 1000.0) == ""

    def test_a_new_incarnation_proves_nothing(self):
        assert self.vacated(replace(LEASE, holder="pod/2"), 1000.0) == ""

    def test_a_recreated_lease_proves_nothing(self):
        assert self.vacated(replace(LEASE, uid="lease-2"), 1000.0) == ""

    def test_direct_reads_that_show_no_change_for_t_prove_it_too(self):
        hidden = replace(LEASE, pool="", renew_time="t7")
        gone = observe(self.SEEN, None, 10.0)
        probed = observe(None, hidden, 40.0)
        assert self.vacated(hidden, 59.9, seen=gone, probed=probed) == ""
        assert self.vacated(hidden, 60.0, seen=gone, probed=probed) == "takeover"

    def test_a_missing_lease_that_the_watch_did_not_show_proves_nothing_until_it_was_missing_for_t(self):
        hidden = observe(self.SEEN, None, 10.0)  # its label was taken off; its sidecar went on renewing it
        assert self.vacated(None, 100.0, seen=hidden) == ""
        probed = observe(None, None, 100.0)
        assert self.vacated(None, 119.9, seen=hidden, probed=probed) == ""
        assert self.vacated(None, 120.0, seen=hidden, probed=probed) == "takeover"

    def test_a_release_by_the_present_holder_proves_it_at_once(self):
        released = replace(LEASE, released=Release("uid-a", "pod/1"))
        assert self.vacated(released, 0.1) == "released"

    def test_a_release_of_another_incarnation_or_worker_proves_nothing(self):
        assert self.vacated(replace(LEASE, released=Release("uid-a", "pod/0")), 0.1) == ""
        assert self.vacated(replace(LEASE, released=Release("uid-b", "pod/1")), 0.1) == ""


def test_an_acknowledgement_counts_only_for_the_present_worker_and_holder():
    applied = Acknowledgement("uid-a", "pod/1", 4)
    assert replace(LEASE, applied=applied).claimed_epoch("uid-a") == 4
    assert replace(LEASE, applied=applied).claimed_epoch("uid-b") is None
    assert replace(LEASE, applied=applied, holder="pod/2").claimed_epoch("uid-a") is None
    assert LEASE.claimed_epoch("uid-a") is None
