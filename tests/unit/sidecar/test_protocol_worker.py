"""The protocol, event by event: the worker, before its start, through its end, and what is heard of it."""

from __future__ import annotations

import json

from fingerv7.contract import Timing
from fingerv7_sidecar.events import Confirmed, HealthSeen, LockProbed, Reported, StopRequested, VpnSeen
from fingerv7_sidecar.identity import Policy
from fingerv7_sidecar.mode import Mode

from .states import INC, LOCKED, active

# --- a worker that has not started yet


def test_a_worker_that_has_not_started_is_given_nothing_until_it_holds_the_lock(world):
    """Its image is still being pulled, for instance: what it were given would be on nobody for as long."""
    it = world(policy=LOCKED)
    it.assign(0)
    it.start()
    assert it.annotation("released") == f"uid-1/{INC}"
    assert not it.annotation("applied")
    assert not it.annotation("gone")
    assert it.sidecar.problems() == ["released: the worker process has not started yet"]
    it.run(60)
    assert it.annotation("released")
    assert it.fence_holds
    it.do(LockProbed(0, held=True))
    assert it.annotation("applied") == f"uid-1/{INC}/0"
    assert not it.annotation("released")
    assert not it.sidecar.problems()


def test_a_worker_that_starts_at_once_is_not_released(world):
    it = world(policy=LOCKED)
    it.assign(0)
    it.do(LockProbed(0, held=True))
    it.start()
    assert it.annotation("applied") == f"uid-1/{INC}/0"
    assert "released" not in it.log


# --- the worker


def test_a_gone_worker_is_released_after_the_config_is_empty_and_the_lock_was_looked_at_again(world):
    it = active(world, "a", policy=LOCKED)
    it.lock_held = False
    it.do(LockProbed(0, held=False))
    it.run(4.5)
    assert it.streams == 1
    it.run(1)
    steps = [step for step in it.history if step != "lease:applied"]
    assert steps.index("config:0") < steps.index("probe") < steps.index("lease:released")
    assert it.annotation("released") == f"uid-1/{INC}"
    assert not it.annotation("applied")


def test_the_operator_is_told_that_a_worker_ended_by_itself_until_it_is_back(world):
    it = active(world, "a", policy=LOCKED)
    it.lock_held = False
    it.do(LockProbed(0, held=False))
    it.run(6)
    assert it.annotation("gone") == INC
    it.lock_held = True
    it.do(LockProbed(0, held=True))
    it.run(2)
    assert not it.annotation("gone")
    assert it.streams == 1


def test_a_worker_that_was_asked_to_end_is_not_reported_as_gone(world):
    it = active(world, "a", policy=LOCKED)
    it.lock_held = False
    it.do(StopRequested())
    it.run(1)
    assert it.annotation("released") == f"uid-1/{INC}"
    assert not it.annotation("gone")


def test_a_worker_that_comes_back_is_unreleased_before_it_is_filled(world):
    it = active(world, "a", policy=LOCKED)
    it.lock_held = False
    it.do(LockProbed(0, held=False))
    it.run(6)
    it.history.clear()
    it.do(LockProbed(0, held=True))
    it.run(0.5)
    assert it.history[:3] == ["lease:nothing", "read", "config:1"]


def test_a_worker_that_takes_its_lock_while_the_config_is_emptied_is_not_released(world):
    it = active(world, "a", policy=LOCKED)
    it.do(LockProbed(0, held=False))
    it.lock_held = True  # by the time of the second look
    it.run(6)
    assert "lease:released" not in it.history
    assert it.streams == 1


def test_a_quick_restart_of_the_worker_changes_nothing(world):
    it = active(world, "a", policy=LOCKED)
    it.do(LockProbed(0, held=False))
    it.run(3)
    it.do(LockProbed(0, held=True))
    it.run(10)
    assert it.streams == 1
    assert it.sidecar.mode is Mode.MIRROR


def test_a_worker_that_never_came_up_is_released_when_it_was_given_streams(world):
    """By the pod before: this one finds them assigned."""
    it = world(policy=LOCKED)
    it.lock_held = False
    it.succeed()
    it.assign(1, "a")
    it.start()
    it.do(LockProbed(0, held=False))
    it.run(4)
    assert it.streams == 1
    it.run(2)
    assert it.annotation("released") == f"uid-1/{INC}"


def test_an_unresponsive_worker_is_emptied_and_no_longer_renewed_but_never_released(world):
    it = active(world, "a")
    it.do(HealthSeen(ok=True))
    for _ in range(8):
        it.run(1)
        it.do(HealthSeen(ok=False))
    renewed = it.lease["spec"]["renewTime"]
    assert it.sidecar.mode is Mode.SUSPECT
    assert it.streams == 0
    assert not it.fence_holds
    it.run(10)
    assert it.lease["spec"]["renewTime"] == renewed
    assert not it.annotation("released")
    it.do(HealthSeen(ok=True))
    it.confirm()
    it.run(1)
    assert it.streams == 1


def test_an_epoch_is_never_unconfirmed_for_longer_than_the_takeover_time(world):
    """The operator reckons with it."""
    it = active(world, "a", policy=Policy(timing=Timing(), apply_timeout_s=300.0))
    it.assign(2, "a", "b")
    it.run(19)
    assert "worker-unresponsive" not in it.log
    it.run(1.5)
    assert "worker-unresponsive" in it.log
    assert it.log.count("apply-timeout-capped") == 1


def test_an_unconfirmed_epoch_stops_the_renewals(world):
    it = active(world, "a")
    it.assign(2, "a", "b")
    it.run(19)
    assert it.streams == 2
    it.run(2)
    assert it.sidecar.mode is Mode.SUSPECT
    assert it.streams == 0
    assert not it.fence_holds


def test_a_suspect_may_boot_again_after_its_streams_are_gone_but_has_to_prove_itself(world):
    it = active(world, "a")
    it.assign(2, "a", "b")
    it.run(21)
    assert not it.fence_holds
    it.run(20)
    assert it.fence_holds
    assert it.streams == 0
    assert not it.annotation("applied")
    it.confirm()
    assert it.streams == 2


def test_a_suspect_that_proves_nothing_is_silent_for_longer(world):
    it = active(world, "a")
    it.assign(2, "a", "b")
    it.run(21 + 20 + 21)
    assert it.sidecar.mode is Mode.SUSPECT
    it.run(30)
    assert it.sidecar.mode is Mode.SUSPECT
    it.run(10)
    assert it.sidecar.mode is Mode.MIRROR


def test_a_suspect_whose_process_is_provably_gone_is_released(world):
    it = active(world, "a", policy=LOCKED)
    it.assign(2, "a", "b")
    it.run(21)
    assert it.sidecar.mode is Mode.SUSPECT
    it.lock_held = False
    it.do(LockProbed(0, held=False))
    it.run(6)
    assert it.annotation("released") == f"uid-1/{INC}"


def test_a_worker_that_follows_late_is_not_suspected_while_epochs_keep_coming(world):
    it = active(world, "a")
    for epoch in range(2, 12):
        before = it.file.hash
        it.assign(epoch, "a", f"s{epoch}")
        it.run(2)
        it.do(Confirmed(before))
        it.run(2)
    assert it.sidecar.mode is Mode.MIRROR


def test_confirmation_on_write_needs_no_worker(world):
    it = world(policy=Policy(timing=Timing(), confirm_on_write=True))
    it.succeed()
    it.assign(1, "a")
    it.start()
    assert it.annotation("applied") == f"uid-1/{INC}/1"


def test_what_the_vpn_says_travels_with_the_report(world):
    it = active(world, "a")
    it.do(VpnSeen("running", "192.0.2.1"))
    it.run(6)
    assert json.loads(it.annotation("report")) == {"vpn": {"status": "running", "ip": "192.0.2.1"}}
    it.do(Reported('{"currentStreams":1}'))
    it.run(6)
    assert json.loads(it.annotation("report"))["vpn"]["ip"] == "192.0.2.1"
    it.do(Reported('{"vpn":{"status":"mine"}}'))
    it.do(VpnSeen("unreachable"))
    it.run(6)
    assert json.loads(it.annotation("report")) == {"vpn": {"status": "mine"}}
    it.do(Reported("{}"))
    it.run(6)
    assert json.loads(it.annotation("report")) == {"vpn": {"status": "unreachable"}}


def test_the_vpn_is_no_sign_of_the_workers_life(world):
    it = active(world, "a", policy=Policy(timing=Timing(), report_timeout_s=10.0))
    it.do(Reported("{}"))
    for _ in range(6):
        it.run(5)
        it.do(VpnSeen("running"))
    assert it.sidecar.mode is Mode.SUSPECT
