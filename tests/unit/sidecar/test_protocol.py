"""The protocol, event by event: nothing here waits, writes or talks to anybody."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest

from fingerv7.contract import Fence, Timing, empty_config_hash
from fingerv7_sidecar.assignment import found_config, view_of
from fingerv7_sidecar.clock import rfc3339_micro
from fingerv7_sidecar.events import (
    Confirmed,
    DrainRequested,
    HealthSeen,
    LockProbed,
    Reported,
    StopRequested,
    Tick,
    VpnSeen,
    WorkerSeen,
)
from fingerv7_sidecar.identity import Found, Policy
from fingerv7_sidecar.mode import Mode

INC = "pod-a/n1"
LOCKED = Policy(timing=Timing(), has_lock=True)


def active(world, *ids, policy=None, **more):
    """A worker that runs `ids` at epoch 1 and confirmed it."""
    it = world(policy=policy, **more)
    it.lock_held = True
    it.succeed()
    it.assign(1, *ids)
    it.start()
    if policy and policy.has_lock:
        it.do(LockProbed(0, held=True))
    it.confirm()
    assert it.annotation("applied") == f"uid-1/{INC}/1"
    it.history.clear()
    return it


def left_behind(assigned, *ids, fence_age, epoch=1, uid="uid-1"):
    """What a killed sidecar of this pod leaves at boot time 1000."""
    given = assigned(uid, epoch, *ids)
    config = view_of({"metadata": {"name": "w1", "uid": uid}, "status": {"assignment": given}}, "w1").config
    fence = Fence(1000.0 - fence_age, 12.0, "boot-1")
    return Found(config=found_config(config.payload), applied=config.hash, fence=fence, used=True)


# --- starting


def test_a_start_acquires_then_reads_then_fills_then_acknowledges(world):
    it = world()
    it.succeed()
    it.assign(1, "a", "b")
    it.start()
    assert it.history == ["lease:nothing", "read", "config:2"]
    assert not it.annotation("applied")
    it.confirm()
    assert it.annotation("applied") == f"uid-1/{INC}/1"
    assert it.lease["metadata"]["labels"] == {"fingerv7.io/pool": "radio"}
    assert it.lease["spec"]["holderIdentity"] == INC
    assert it.lease["spec"]["leaseDurationSeconds"] == 20
    assert it.sidecar.problems() == []


def test_a_booting_worker_with_nothing_assigned_is_acknowledged_at_once(world):
    it = world()
    it.assign(0)
    it.start()
    assert it.annotation("applied") == f"uid-1/{INC}/0"


def test_an_unassigned_worker_whose_folder_was_used_before_has_to_confirm(world):
    it = world(found=Found(config=None, applied="something", used=True))
    it.succeed()
    it.assign(3)
    it.start()
    assert not it.annotation("applied")
    it.confirm()
    assert it.annotation("applied") == f"uid-1/{INC}/3"


def test_a_restart_under_a_holding_fence_keeps_the_config_and_confirms_without_rewriting(world, assigned):
    it = world(found=left_behind(assigned, "a", fence_age=4))
    it.hold("pod-a/earlier", applied="uid-1/pod-a/earlier/1")
    it.assign(1, "a")
    it.start()
    assert it.history == ["lease:nothing", "read", "lease:applied"]
    assert it.lease["spec"]["leaseTransitions"] == 4


def test_a_restart_goes_on_counting_towards_the_fence_of_its_predecessor(world, assigned):
    it = world(found=left_behind(assigned, "a", fence_age=4))
    it.online = False
    it.start()
    it.run(7.5)
    assert it.streams == 1
    it.run(1)
    assert it.streams == 0


def test_a_restart_under_an_expired_fence_empties_the_config_before_anything_else(world, assigned):
    it = world(found=left_behind(assigned, "a", fence_age=12.5))
    it.hold("pod-a/earlier")
    it.assign(1, "a")
    it.start()
    assert it.history[:2] == ["config:0", "lease:nothing"]
    assert it.history[2:] == ["read", "config:1", "lease:applied"]


def test_a_fence_file_from_before_a_reboot_does_not_hold(world, assigned):
    found = left_behind(assigned, "a", fence_age=1)
    it = world(found=dataclasses.replace(found, fence=Fence(999.0, 12.0, "boot-0")))
    it.online = False
    it.start()
    assert it.streams == 0


# --- whose Lease it is


def test_another_pods_lease_is_waited_for_until_it_was_silent_for_the_longer_of_both_times(world):
    it = world()
    it.hold("pod-b/n9", seconds=30)
    it.assign(1, "a")
    it.start()
    it.run(29.5)
    assert it.lease["spec"]["holderIdentity"] == "pod-b/n9"
    assert "lease-held-by-another" in it.log
    assert "pod-b/n9" in it.sidecar.problems()[0]
    it.run(1.5)
    assert it.lease["spec"]["holderIdentity"] == INC


def test_a_renewal_of_the_other_pod_starts_the_wait_again(world):
    it = world()
    it.hold("pod-b/n9")
    it.start()
    it.run(15)
    it.hold("pod-b/n9", renew="later")
    it.run(19)
    assert it.lease["spec"]["holderIdentity"] == "pod-b/n9"
    it.run(4)
    assert it.lease["spec"]["holderIdentity"] == INC


def test_a_release_of_the_other_pod_ends_the_wait_at_once(world):
    it = world()
    it.hold("pod-b/n9", released="uid-1/pod-b/n9")
    it.start()
    assert it.lease["spec"]["holderIdentity"] == INC
    assert not it.annotation("released")


def test_a_release_by_an_earlier_holder_proves_nothing(world):
    it = world()
    it.hold("pod-b/n9", released="uid-1/pod-b/n8")
    it.start()
    assert it.lease["spec"]["holderIdentity"] == "pod-b/n9"


def test_a_lease_whose_holder_was_erased_is_silence_to_others(world):
    it = world()
    it.hold("")
    it.start()
    assert it.lease["spec"]["holderIdentity"] == ""
    it.run(22)
    assert it.lease["spec"]["holderIdentity"] == INC


def test_a_lease_made_in_advance_is_acquired_at_once(world):
    it = world()
    it.lease = {"metadata": {"name": "w1", "resourceVersion": "5"}, "spec": {}}
    it.start()
    assert it.lease["spec"]["holderIdentity"] == INC
    assert it.lease["metadata"]["labels"] == {"fingerv7.io/pool": "radio"}


def test_losing_the_lease_fences_at_once_and_waits(world):
    it = active(world, "a")
    it.hold("pod-b/n9", renew="now")
    it.run(5)
    assert it.streams == 0
    assert not it.fence_holds
    assert it.lease["spec"]["holderIdentity"] == "pod-b/n9"
    assert it.sidecar.fences == 1


def test_a_thief_in_the_same_pod_is_waited_for_too(world):
    it = active(world, "a")
    it.hold("pod-a/other", renew="now")
    it.run(6)
    assert it.streams == 0
    assert it.lease["spec"]["holderIdentity"] == "pod-a/other"


def test_a_strangers_edit_is_kept_and_renewed_over(world):
    it = active(world, "a")
    it.touch(theirs="yes")
    it.run(5.5)
    assert it.lease["metadata"]["labels"] == {"theirs": "yes"}
    assert it.annotation("applied") == f"uid-1/{INC}/1"
    assert it.streams == 1
    assert it.sidecar.fences == 0


def test_a_deleted_lease_is_created_again_while_the_worker_runs_on(world):
    it = active(world, "a")
    it.lease = None
    it.run(5.5)
    assert it.history == ["lease:nothing", "read", "lease:applied"]
    assert it.streams == 1


def test_an_erased_holder_is_us_again_while_the_worker_runs_on(world):
    it = active(world, "a")
    it.hold("", renew="erased")
    it.run(5.5)
    assert it.history == ["lease:nothing", "read", "lease:applied"]
    assert it.lease["spec"]["holderIdentity"] == INC
    assert it.streams == 1


def test_an_erased_holder_found_after_a_fence_may_hide_another_pod(world):
    it = active(world, "a")
    it.online = False
    it.run(13)
    it.hold("", renew="erased")
    it.online = True
    it.run(15)
    assert it.lease["spec"]["holderIdentity"] == ""
    it.run(8)
    assert it.streams == 1


def test_a_deleted_lease_that_cannot_be_created_fences_at_the_deadline(world):
    it = active(world, "a")
    it.lease = None
    it.online = False
    it.run(12.5)
    assert it.streams == 0


def test_a_lease_without_history_is_not_trusted_when_the_operator_heard_another_pod(world):
    it = world()
    it.assign(7, "a", incarnation="pod-b/n9")
    it.start()
    it.run(19)
    assert it.streams == 0
    assert it.sidecar.mode is Mode.READ
    it.run(2)
    assert it.streams == 1


BLANK = {"metadata": {"name": "w1", "resourceVersion": "900"}, "spec": {}}


@pytest.mark.parametrize("lease", [None, BLANK], ids=["deleted", "made anew"])
def test_a_rival_is_not_forgotten_because_its_lease_is(world, lease):
    it = world()
    it.hold("pod-b/n9", seconds=30)
    it.assign(7, "a", incarnation=INC)  # the operator has heard us already
    it.start()
    it.run(10)
    it.lease = copy.deepcopy(lease)
    it.run(29)
    assert it.streams == 0
    assert it.lease == lease
    assert "was held by pod-b/n9" in it.sidecar.problems()[0]
    it.run(4)
    assert it.streams == 1


def test_a_rival_that_makes_its_lease_again_keeps_it(world):
    it = world()
    it.hold("pod-b/n9")
    it.start()
    it.lease = None
    it.run(4)
    it.hold("pod-b/n9", renew="again")
    it.run(19)
    assert it.lease["spec"]["holderIdentity"] == "pod-b/n9"


@pytest.mark.parametrize("lease", [None, BLANK], ids=["absent", "never held"])
def test_under_a_lease_without_history_another_pod_may_run_what_the_fingerworker_gives(world, lease):
    it = world()
    it.lease = copy.deepcopy(lease)
    it.assign(7, incarnation=INC)
    it.start()
    it.run(19)
    assert it.file is None
    assert not it.annotation("applied")
    assert "must have stopped" in it.sidecar.problems()[-1]
    it.run(1.5)
    assert it.annotation("applied") == f"uid-1/{INC}/7"


def test_the_takeover_time_of_the_pool_counts_for_a_pod_that_left_no_trace(world):
    it = world()
    it.assign(7, "a", liveness={"takeoverAfter": "60s"})
    it.start()
    it.run(59)
    assert it.streams == 0
    it.run(2)
    assert it.streams == 1


def test_a_fingerworker_that_appears_later_with_streams_is_doubted_as_well(world):
    it = world()
    it.start()
    it.run(2)
    it.assign(7, "a")
    it.run(16)
    assert it.streams == 0
    it.run(4)
    assert it.streams == 1


def test_a_worker_that_began_with_nothing_is_filled_at_once(world):
    it = world()
    it.assign(0)
    it.start()
    it.assign(1, "a")
    assert it.streams == 1


@pytest.mark.parametrize("ids", [(), ("a",)], ids=["empty", "running"])
@pytest.mark.parametrize("lease", [None, BLANK], ids=["absent", "never held"])
def test_a_restart_in_the_same_pod_continues_although_the_lease_left_no_trace(world, assigned, lease, ids):
    it = world(found=left_behind(assigned, *ids, fence_age=4))
    it.lease = copy.deepcopy(lease)
    it.assign(1, *ids)
    it.start()
    assert it.history == ["lease:nothing", "read", "lease:applied"]


def test_a_restart_after_the_fence_passed_knows_nothing_of_other_pods(world, assigned):
    it = world(found=left_behind(assigned, "a", fence_age=12.5))
    it.assign(1, "a")
    it.start()
    it.run(19)
    assert it.streams == 0
    it.run(2)
    assert it.streams == 1


def test_a_restart_while_in_doubt_is_in_doubt_as_well(world):
    it = world()
    it.hold("pod-a/earlier")
    it.lease["spec"]["acquireTime"] = rfc3339_micro(it.wall - 19)
    it.assign(7, "a")
    it.start()
    it.run(19)
    assert it.streams == 0
    it.run(2)
    assert it.streams == 1


def test_a_restart_long_after_its_pod_acquired_the_lease_goes_on_at_once(world):
    it = world()
    it.hold("pod-a/earlier")
    it.lease["spec"]["acquireTime"] = rfc3339_micro(it.wall - 21)
    it.assign(7, "a")
    it.start()
    assert it.streams == 1


def test_a_lease_that_is_deleted_once_more_starts_the_doubt_again(world):
    it = world()
    it.assign(7, "a")
    it.start()
    it.run(10)
    it.lease = None
    it.run(20)
    assert it.lease["spec"]["holderIdentity"] == INC
    assert it.streams == 0
    it.run(6)
    assert it.streams == 1


def test_nothing_is_released_while_a_pod_that_left_no_trace_may_run(world):
    it = active(world, "a", policy=LOCKED)
    it.online = False
    it.run(13)
    it.lease, it.online, it.lock_held = None, True, False
    it.do(LockProbed(0, held=False))
    it.run(18)
    assert it.lease["spec"]["holderIdentity"] == INC
    assert not it.annotation("released")
    it.run(4)
    assert it.annotation("released") == f"uid-1/{INC}"


def test_without_a_pool_a_missing_lease_is_explained(world):
    it = world()
    it.sidecar.identity = it.sidecar.holding._identity = dataclasses.replace(it.sidecar.identity, pool="")
    it.start()
    it.run(3)
    assert any("set POOL" in problem for problem in it.sidecar.problems())


# --- the fence


def test_at_the_deadline_the_config_is_emptied_and_the_acknowledgement_forgotten(world):
    it = active(world, "a")
    it.online = False
    it.run(11.5)
    assert it.streams == 1
    it.run(0.75)
    assert it.streams == 0
    assert it.file.hash == empty_config_hash(INC, 1)
    assert not it.fence_holds
    it.history.clear()
    it.online = True
    it.run(3)
    # The first is the renewal that was under way when the deadline came: it does not count as a start.
    assert it.history == ["lease:applied", "lease:nothing", "read", "config:1", "lease:applied"]


def test_two_renewals_are_tried_before_the_deadline(world):
    it = active(world, "a")
    it.online = False
    before = len(it.sent)
    it.run(12.5)
    assert len(it.sent) - before >= 2


@pytest.mark.parametrize("clock", ["boot", "wall"])
def test_the_larger_progress_of_both_clocks_counts(world, clock):
    it = active(world, "a")
    it.online = False
    setattr(it, clock, getattr(it, clock) + 12)
    it.do(Tick())
    assert it.streams == 0


def test_a_frozen_process_does_not_trust_an_old_answer(world):
    it = active(world, "a")
    it.online = False
    it.run(5)
    it.move(60)
    it.online = True
    it.do(Tick())
    assert it.sidecar.fences == 1
    assert it.history[1:] == ["config:0", "lease:nothing", "read", "config:1", "lease:applied"]


def test_a_late_answer_counts_from_its_send(world):
    it = active(world, "a")
    it.online = False
    it.run(5.5)
    it.online = True
    it.do(Tick())
    assert it.fence.sent_s <= it.boot - 0.4


def test_the_fence_file_follows_acknowledged_renewals_only(world):
    it = active(world, "a")
    sent = it.fence.sent_s
    it.run(5.25)
    assert it.fence.sent_s > sent
    sent = it.fence.sent_s
    it.online = False
    it.run(8)
    assert it.fence.sent_s == sent


def test_a_config_that_cannot_be_emptied_is_unlinked_and_renewals_go_on(world):
    it = active(world, "a")
    it.online, it.disk_error = False, "No space left on device"
    it.run(12.5)
    assert it.file is None
    it.online, it.disk_error = True, ""
    it.run(4)
    assert it.streams == 1


def test_a_config_that_can_neither_be_emptied_nor_unlinked_stops_all_renewals(world):
    it = active(world, "a")
    it.online, it.disk_error, it.unlink_error = False, "Read-only file system", True
    it.run(13)
    it.online = True
    it.run(1)
    renewed = it.lease["spec"]["renewTime"]
    it.run(30)
    assert it.lease["spec"]["renewTime"] == renewed
    assert not it.fence_holds
    assert any("Read-only" in problem for problem in it.sidecar.problems())
    it.disk_error = ""
    it.run(4)
    assert it.streams == 1


def test_a_fence_file_that_lets_nobody_run_any_more_gives_the_streams_away(world):
    it = active(world, "a")
    it.fence_error = "Permission denied"
    it.run(16)
    assert it.sidecar.mode is Mode.MIRROR
    it.run(2)
    assert it.sidecar.mode is Mode.SUSPECT, "silent, so that others take them over"
    assert it.streams == 0
    assert any("Permission denied" in problem for problem in it.sidecar.problems())
    it.confirm()
    it.run(10)
    assert it.sidecar.mode is Mode.SUSPECT, "a worker that follows is no reason to renew while it may not run"
    it.fence_error = ""
    it.run(15)
    it.confirm()
    it.run(1)
    assert it.streams == 1
    assert it.fence_holds


# --- mirroring


def test_epochs_never_go_back(world):
    it = active(world, "a")
    it.assign(5, "a", "b")
    it.confirm()
    it.assign(4, "a", "c")
    assert it.file.epoch == 5
    assert it.annotation("applied") == f"uid-1/{INC}/5"
    assert "an epoch above 5" in it.sidecar.problems()[0]


def test_after_a_restore_the_worker_keeps_what_it_runs_until_an_epoch_above_it(world):
    it = active(world, "a")
    it.assign(9, "a", "b")
    it.confirm()
    it.history.clear()
    writes = len(it.sent)
    it.assign(3, "c")
    it.run(60)
    assert len(it.sent) - writes == 12, "renews at its pace"
    assert set(it.history) == {"lease:applied"}, "neither reads nor writes anything anew"
    assert it.annotation("applied") == f"uid-1/{INC}/9", "the only place that tells the operator what is above"
    assert (it.streams, it.sidecar.fences, it.sidecar.mode) == (2, 0, Mode.MIRROR)
    assert "above 9" in it.sidecar.problems()[0]
    it.assign(10, "c")
    it.confirm()
    assert it.annotation("applied") == f"uid-1/{INC}/10"
    assert it.sidecar.problems() == []


def test_a_restart_after_a_restore_states_again_what_it_runs(world, assigned):
    it = world(found=left_behind(assigned, "a", "b", fence_age=4, epoch=9))
    it.hold("pod-a/earlier", applied="uid-1/pod-a/earlier/9")
    it.assign(3, "c")
    it.start()
    it.run(60)
    assert it.annotation("applied") == f"uid-1/{INC}/9"
    assert (it.streams, it.sidecar.fences) == (2, 0)
    it.assign(10, "c")
    assert it.streams == 1


@pytest.mark.parametrize("used", [False, True])
def test_a_new_pod_after_a_restore_runs_nothing_and_states_which_epoch_has_to_be_passed(world, used):
    it = world(found=Found(config=None, applied="something" if used else "", used=used))
    it.succeed()
    it.hold("pod-b/n9", applied="uid-1/pod-b/n9/9", released="uid-1/pod-b/n9")
    it.assign(3, "a")
    it.start()
    assert it.streams == 0
    it.confirm()
    assert it.annotation("applied") == f"uid-1/{INC}/9", "or the operator would give it epoch 3 for ever"
    it.assign(10, "a")
    it.confirm()
    assert (it.streams, it.annotation("applied")) == (1, f"uid-1/{INC}/10")


def test_nothing_is_acknowledged_of_an_epoch_whose_content_became_another(world):
    it = active(world, "a")
    it.assign(1, "b")
    it.run(60)
    assert not it.annotation("applied")
    assert (it.streams, it.sidecar.fences) == (1, 0)
    assert "changed without a new epoch" in it.sidecar.problems()[0]
    it.assign(2, "b")
    it.confirm()
    assert it.annotation("applied") == f"uid-1/{INC}/2"


def test_the_epoch_that_a_predecessor_acknowledged_is_the_lowest(world):
    it = world()
    it.hold("pod-b/n9", applied="uid-1/pod-b/n9/8", released="uid-1/pod-b/n9")
    it.assign(7, "a")
    it.start()
    assert it.streams == 0
    it.assign(8, "b")
    assert it.streams == 1


def test_the_same_epoch_with_other_content_is_refused(world):
    it = active(world, "a")
    it.assign(1, "b")
    assert [s for s in it.history if s.startswith("config")] == []
    assert "assignment-refused" in it.log


def test_a_wrong_hash_leaves_the_last_good_assignment(world, assigned):
    it = active(world, "a")
    broken = assigned("uid-1", 2, "a", "b") | {"hash": "0" * 32}
    it.fingerworker["status"]["assignment"] = broken
    it.do(WorkerSeen(it.serial, it.fingerworker))
    assert it.streams == 1
    assert it.annotation("applied") == f"uid-1/{INC}/1"
    assert "does not match its content" in it.sidecar.problems()[0]
    it.assign(3, "a", "b")
    assert it.streams == 2


@pytest.mark.parametrize(
    "assignment",
    [
        {"epoch": "x"},
        {"epoch": -1},
        {"epoch": 2, "streams": [{"id": 1}]},
        {"epoch": 2, "streams": "no"},
        {"epoch": True},
    ],
)
def test_a_malformed_assignment_is_refused(world, assignment):
    it = active(world, "a")
    it.fingerworker["status"]["assignment"] = assignment
    it.do(WorkerSeen(it.serial, it.fingerworker))
    assert it.streams == 1
    assert it.sidecar.problems()


def test_an_older_confirmation_never_acknowledges_a_newer_epoch(world):
    it = active(world, "a")
    older = it.file.hash
    it.assign(2, "a", "b")
    it.do(Confirmed(older))
    assert it.annotation("applied") == f"uid-1/{INC}/1"
    it.assign(3, "a")
    it.do(Confirmed(older))
    assert it.annotation("applied") == f"uid-1/{INC}/1"
    it.confirm()
    assert it.annotation("applied") == f"uid-1/{INC}/3"


def test_a_recreated_fingerworker_is_another_one(world):
    it = active(world, "a")
    it.assign(0, uid="uid-2")
    assert it.streams == 0
    it.run(0.1)
    assert not it.annotation("applied")
    it.confirm()
    assert it.annotation("applied") == f"uid-2/{INC}/0"
    it.assign(1, "z", uid="uid-2")
    assert it.streams == 1


def test_a_deleted_fingerworker_empties_the_config_and_acknowledges_nothing(world):
    it = active(world, "a")
    it.do(WorkerSeen(it.serial, None))
    assert it.streams == 0
    it.confirm()
    assert not it.annotation("applied")
    assert "does not exist" in it.sidecar.problems()[0]


def test_another_object_than_the_own_one_changes_nothing(world):
    it = active(world, "a")
    it.do(WorkerSeen(it.serial, {"metadata": {"name": "w2", "uid": "uid-9"}}))
    assert it.streams == 1


def test_news_of_an_abandoned_watch_are_ignored(world):
    it = active(world, "a")
    old = it.serial
    it.lease = None
    it.run(5.5)
    assert it.serial != old
    it.do(WorkerSeen(old, None))
    assert it.streams == 1


def test_a_full_disk_keeps_the_last_assignment_and_tries_again(world):
    it = active(world, "a")
    it.disk_error = "No space left on device"
    it.assign(2, "a", "b")
    assert it.streams == 1
    assert "No space left" in " ".join(it.sidecar.problems())
    it.disk_error = ""
    it.run(1.5)
    assert it.streams == 2


# --- times


def test_a_longer_deadline_is_adopted_only_after_the_longer_declaration_was_acknowledged(world):
    it = active(world, "a")
    it.online = False
    it.assign(2, "a", liveness={"takeoverAfter": "60s"})
    it.run(4)
    assert it.sidecar.times.fence_s == 12
    it.online = True
    it.run(4)
    assert it.lease["spec"]["leaseDurationSeconds"] == 60
    assert it.sidecar.times.fence_s == 48


def test_a_shorter_deadline_is_adopted_before_the_shorter_declaration(world):
    it = active(world, "a", policy=Policy(timing=Timing.derive(60_000)))
    it.run(7.5)
    it.assign(2, "a", liveness={"takeoverAfter": "20s"})
    for sent in it.sent:
        assert sent.body is None or sent.body["spec"]["leaseDurationSeconds"] == 60
    assert it.sidecar.times.fence_s == 48, "the last renewal is too old for the shorter deadline"
    it.run(3)
    assert it.sidecar.times.fence_s == 12
    assert it.fence.fence_after_s == 12
    it.run(5.5)
    assert it.lease["spec"]["leaseDurationSeconds"] == 20
    assert it.sidecar.fences == 0


def test_impossible_times_are_refused_and_said(world):
    it = active(world, "a")
    it.assign(2, "a", liveness={"takeoverAfter": "20s", "fenceAfter": "19s"})
    it.confirm()
    assert it.sidecar.times.fence_s == 12
    assert "safety" in it.sidecar.problems()[0]
    assert it.sidecar.times.wanted == it.sidecar.times.initial


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


# --- draining, stopping, registering


def test_a_drain_releases_when_nothing_is_assigned_any_more(world):
    it = active(world, "a")
    it.do(DrainRequested())
    assert it.annotation("drain") == INC
    assert not it.sidecar.drained
    it.run(20)
    it.assign(2)
    assert not it.annotation("released")
    it.confirm()
    assert it.annotation("released") == f"uid-1/{INC}"
    assert it.annotation("drain") == INC
    assert it.sidecar.drained
    it.assign(3, "a")
    it.run(30)
    assert it.streams == 0
    assert it.annotation("released")


def test_a_drained_worker_stays_drained_through_an_outage(world):
    it = active(world)
    it.do(DrainRequested())
    assert it.sidecar.drained
    it.online = False
    it.run(20)
    it.online = True
    it.run(10)
    assert it.annotation("released") == f"uid-1/{INC}"


def test_a_hook_drains_as_long_as_its_pod_may_take_to_end(world):
    it = active(world, "a")
    it.run(6)
    it.do(DrainRequested(60.0))
    assert it.annotation("drain") == INC
    it.assign(2)
    it.confirm()
    assert it.sidecar.drained
    it.run(50)
    assert it.annotation("released") == f"uid-1/{INC}"
    it.assign(3, "a")
    it.run(10)
    assert "drain-withdrawn" in it.log
    assert not it.annotation("drain")
    assert not it.annotation("released")
    assert it.streams == 1


def test_a_hook_that_follows_an_expired_fence_drains_nobody(world):
    """The kubelet restarts the worker after an outage of the API; its pod goes on."""
    it = active(world, "a", start=1000.9)
    it.run(6)
    it.online = False
    it.run(10.3)  # 11.3 s, which the probe's whole seconds call 12 s
    assert not it.sidecar.fenced
    it.do(DrainRequested(60.0))
    assert not it.sidecar.draining
    it.online = True
    it.run(2)
    it.do(DrainRequested(60.0))
    assert not it.sidecar.draining
    assert not it.annotation("drain")
    assert it.log.count("drain-ignored") == 2


def test_a_hook_drains_again_some_time_after_an_outage(world):
    it = active(world, "a")
    it.online = False
    it.run(20)
    it.online = True
    it.run(10)
    it.do(DrainRequested(60.0))
    assert it.annotation("drain") == INC


def test_a_worker_that_is_back_takes_the_hooks_drain_back(world):
    it = active(world, "a", policy=LOCKED)
    it.run(6)
    it.do(DrainRequested(600.0))
    it.do(LockProbed(0, held=False))
    it.run(1)
    assert it.sidecar.draining
    it.do(LockProbed(0, held=True))
    assert not it.sidecar.draining
    it.run(1)
    assert not it.annotation("drain")


def test_a_hook_during_another_ones_drain_counts_from_its_own_time(world):
    """The pod is deleted while its worker is being restarted."""
    it = active(world, "a", policy=LOCKED)
    it.run(6)
    it.do(DrainRequested(20.0))
    it.do(LockProbed(0, held=False))
    it.run(3)
    it.do(DrainRequested(60.0))
    it.do(LockProbed(0, held=True))
    it.run(50)
    assert it.annotation("drain") == INC
    it.run(20)
    assert not it.annotation("drain")


def test_a_hook_during_a_longer_drain_does_not_shorten_it(world):
    it = active(world, "a")
    it.run(6)
    it.do(DrainRequested(60.0))
    it.do(DrainRequested(5.0))
    it.run(50)
    assert it.annotation("drain") == INC


def test_a_hook_drains_a_pod_that_has_just_begun(world):
    """It never had a fence that could have expired."""
    it = active(world, "a")
    it.do(DrainRequested(60.0))
    assert "drain-ignored" not in it.log
    assert it.annotation("drain") == INC


def test_a_hook_drains_nobody_after_a_fence_that_expired_without_a_sidecar(world):
    it = active(world, "a")
    it.move(30)
    it.restart()
    it.start()
    it.run(1)
    it.do(DrainRequested(60.0))
    assert "drain-ignored" in it.log


def test_a_drain_that_somebody_asked_for_is_not_taken_back(world):
    it = active(world, "a", policy=LOCKED)
    it.run(6)
    it.do(DrainRequested(5.0))
    it.do(DrainRequested())
    it.do(DrainRequested(5.0))
    it.do(LockProbed(0, held=False))
    it.run(0.5)
    it.do(LockProbed(0, held=True))
    it.run(30)
    assert it.annotation("drain") == INC


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


def test_stopping_with_streams_leaves_them_to_a_restarted_sidecar(world):
    it = active(world, "a")
    it.do(StopRequested())
    assert it.finished
    assert it.streams == 1
    assert not it.annotation("released")


def test_stopping_with_nothing_assigned_releases(world):
    it = active(world)
    it.do(StopRequested())
    assert it.finished
    assert it.annotation("released") == f"uid-1/{INC}"


def test_stopping_after_the_worker_empties_and_releases(world):
    it = active(world, "a", policy=LOCKED)
    it.lock_held = False
    it.do(StopRequested())
    assert it.finished
    assert it.streams == 0
    assert it.annotation("released") == f"uid-1/{INC}"


def test_stopping_waits_for_the_drain_where_that_is_wanted(world):
    it = active(world, "a", policy=Policy(timing=Timing(), drain_on_stop=True))
    it.do(StopRequested())
    it.run(40)
    assert not it.finished
    it.assign(2)
    it.confirm()
    assert it.finished
    assert it.annotation("released")


def test_stopping_does_not_wait_for_an_api_that_is_away(world):
    it = active(world)
    it.online = False
    it.do(StopRequested())
    it.run(6)
    assert it.finished


def test_an_undeclared_worker_registers_when_it_has_no_fingerworker(world):
    it = world(policy=Policy(timing=Timing(), register='{"maxStreams":5}'))
    it.start()
    assert it.annotation("register") == '{"maxStreams":5}'
    it.assign(0)
    assert it.annotation("applied") == f"uid-1/{INC}/0"


def test_a_worker_that_is_about_to_go_does_not_come_back_as_a_new_fingerworker(world):
    """Somebody deletes the FingerWorkers while pods that registered themselves still hand over."""
    it = world(policy=Policy(timing=Timing(), register='{"maxStreams":5}'))
    it.start()
    it.assign(0)
    it.run(6)
    it.assign(1, "a")
    it.confirm()
    it.do(DrainRequested(60.0))
    it.assign(2)
    it.confirm()
    it.do(WorkerSeen(it.serial, None))
    it.run(5)
    assert it.sidecar.drained
    assert not it.annotation("register")


def test_a_worker_whose_drain_is_void_registers_again(world):
    it = world(policy=Policy(timing=Timing(), register='{"maxStreams":5}'))
    it.start()
    it.run(6)
    it.do(DrainRequested(60.0))
    assert not it.annotation("register")
    it.run(61)
    assert it.annotation("register") == '{"maxStreams":5}'


def test_a_declared_worker_does_not_register(world):
    it = world(policy=Policy(timing=Timing(), register='{"maxStreams":5}'))
    it.assign(0)
    it.start()
    assert it.annotation("register") == ""


def test_waking_up_is_never_in_the_past(world):
    it = active(world, "a")
    it.online = False
    for _ in range(60):
        it.run(1, step=1)
        assert it.sidecar.wake_at(it.now) > it.boot


def test_an_answer_that_comes_when_the_fence_was_due_does_not_put_it_off(world):
    it = active(world, "a")
    it.run(0.25)
    it.online = False
    it.move(11.5)
    it.do(Tick())  # sends a renewal just before D, and freezes
    it.move(11.0)
    it.online = True
    it.assign(2, tell=False)
    action, it._outstanding = it._outstanding[0], None
    it._answer(action)
    assert it.sidecar.fences == 1
    assert it.streams == 0
