"""The protocol, event by event: the fence, and the times that it keeps."""

from __future__ import annotations

import dataclasses

import pytest

from fingerv7.contract import Timing, empty_config_hash
from fingerv7_sidecar.assignment import emptied_config, found_config
from fingerv7_sidecar.events import Tick
from fingerv7_sidecar.identity import Policy
from fingerv7_sidecar.mode import Mode

from .states import INC, active, left_behind

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
    it.confirm()
    it.history.clear()
    it.online = True
    it.run(3)
    # The first is the renewal that was under way when the deadline came: it does not count as a start.
    assert it.history == ["lease:applied", "lease:nothing", "read", "config:1"]
    it.confirm()
    assert it.history[4:] == ["lease:applied"]


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
    it.confirm()
    assert it.history[1:] == ["config:0", "lease:nothing", "lease:nothing", "read", "config:1"]


def thawed(world, **more):
    """A worker whose machine stood still for longer than D, and has just come back."""
    it = active(world, "a", **more)
    it.move(60)
    it.do(Tick())
    it.history.clear()
    return it


def goes_on_after_k(it):
    it.run(5.5)
    assert not it.fence_holds
    it.run(1.5)
    assert it.fence_holds
    assert it.streams == 1


def test_those_who_watch_the_fence_file_have_k_to_see_that_it_ran_out(world):
    """Or a worker that hangs would go on: they stood still as well, and look only now and then."""
    it = thawed(world)
    for _ in range(23):
        it.run(0.25)
        assert not it.fence_holds
    assert it.lease["spec"]["renewTime"], "it is renewed all the same"
    assert set(it.history) == {"lease:nothing"}, "nothing is read or given meanwhile"
    assert any("time to stop" in problem for problem in it.sidecar.problems())
    it.run(1)
    assert it.fence_holds
    assert it.streams == 1


def test_a_worker_that_confirms_the_emptied_config_goes_on_at_once(world):
    it = thawed(world)
    assert not it.fence_holds
    it.confirm()
    assert it.fence_holds
    assert it.streams == 1


def test_confirmation_on_write_does_not_prove_that_the_worker_has_stopped(world):
    it = thawed(world, policy=Policy(timing=Timing(), confirm_on_write=True))
    goes_on_after_k(it)


def test_a_moment_in_which_the_machine_stands_still_shows_the_fence_file_to_nobody(world):
    it = thawed(world)
    it.run(1)
    it.move(5.5)
    goes_on_after_k(it)


def test_a_sidecar_that_was_restarted_meanwhile_gives_them_k_as_well(world):
    it = thawed(world)
    it.run(3)
    it.restart()
    goes_on_after_k(it)


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
    it.run(7)
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


def test_a_fence_file_that_still_holds_is_taken_back_where_its_worker_is_to_be_stopped_anew(world, assigned):
    """As by a sidecar that was killed when it had emptied the config: the worker may not have seen that yet."""
    found = left_behind(assigned, "a", fence_age=1)
    emptied = emptied_config("radio", "w1", "pod-a/earlier", 1)
    it = world(found=dataclasses.replace(found, config=found_config(emptied.payload)))
    it.hold("pod-a/earlier")
    it.assign(1, "a")
    it.start()
    assert not it.fence_holds
    goes_on_after_k(it)
