"""The protocol, event by event: what of an assignment is believed, written and acknowledged."""

from __future__ import annotations

import pytest

from fingerv7_sidecar.events import Confirmed, WorkerSeen
from fingerv7_sidecar.identity import Found
from fingerv7_sidecar.mode import Mode

from .states import INC, active, left_behind


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
    it.run(7)
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
