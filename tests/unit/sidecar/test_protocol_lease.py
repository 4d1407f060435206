"""The protocol, event by event: how it starts, and whose Lease it is."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from fingerv7.contract import Fence
from fingerv7_sidecar.clock import rfc3339_micro
from fingerv7_sidecar.events import LockProbed
from fingerv7_sidecar.identity import Found
from fingerv7_sidecar.mode import Mode

from .states import BLANK, INC, LOCKED, active, left_behind

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
    it.run(7)
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
    assert it.history == ["config:0", "lease:nothing"]
    it.confirm()
    assert it.history[2:] == ["lease:nothing", "read", "config:1"]


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
