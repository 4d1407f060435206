from __future__ import annotations

from dataclasses import replace

import pytest

from fingerv7.cli.removal import (
    Held,
    Operator,
    Plan,
    explain,
    held,
    last_words,
    operator,
    refusal,
    renewal,
    waiting,
    without_finalizer,
)

OURS, OTHERS = "fingerv7.io/drain", "example.org/backup"
LEADER = Operator("system", "replica-1", "12:00:00", 3, 15)
SILENT = Operator("silent", "replica-9", "11:00:00", 3600, 15)


def test_only_objects_with_our_finalizer_count(stored):
    worker = stored.worker(streams=["1", "2"], revoking=[("3", 7)])
    assert held(worker) is None
    worker["metadata"] |= {"finalizers": [OTHERS, OURS], "deletionTimestamp": "2026-03-01T12:00:00Z"}
    assert held(worker) == Held("FingerWorker", "radio", "w1", "uid-w1", deleting=True, streams=3)


def test_other_finalizers_stay_and_an_older_state_is_refused(stored):
    worker = stored.worker()
    worker["metadata"] |= {"finalizers": [OTHERS, OURS], "resourceVersion": "12"}
    assert without_finalizer(worker) == {"metadata": {"resourceVersion": "12", "finalizers": [OTHERS]}}


@pytest.mark.parametrize(
    ("lease", "left_s"),
    [({"age_s": 3}, 17), ({"age_s": -60}, 20), ({"age_s": 20}, 0), ({"age_s": 60}, 0), ({"holder": ""}, 0)],
)
def test_an_operator_may_be_running_while_its_lease_lasts(stored, lease, left_s):
    raw = stored.lease("fingerv7-operator", **lease)
    raw["metadata"]["namespace"] = "system"
    assert operator(raw, stored.now).left_s == left_s


def test_the_longest_lease_is_waited_for():
    assert last_words([]) is None
    assert last_words([SILENT]) is None
    assert last_words([SILENT, LEADER, replace(LEADER, namespace="other", age_s=9)]) == LEADER
    assert "Lease system/fingerv7-operator was renewed 3 s ago." in waiting(LEADER)
    assert "waits for 12 s at most" in waiting(LEADER)


@pytest.mark.parametrize(
    "later",
    [replace(LEADER, renewed="12:00:05"), replace(LEADER, holder="replica-2"), replace(LEADER, namespace="other")],
)
def test_whoever_writes_a_lease_is_running(later):
    assert renewal([SILENT, LEADER], [SILENT, LEADER]) is None
    assert renewal([SILENT, replace(LEADER, age_s=9)], [LEADER, SILENT]) is None
    assert renewal([replace(LEADER, holder="", renewed="12:00:05")], [LEADER]) is None
    assert renewal([SILENT, later], [LEADER, SILENT]) == later


def test_a_running_operator_is_named():
    assert refusal(LEADER) == (
        "the operator is still running (replica-1 has just renewed Lease system/fingerv7-operator) and would put the "
        "finalizers back: stop it first, or give --force"
    )


def test_the_plan_says_what_it_means_for_the_streams():
    objects = [
        Held("StreamPool", "ns", "radio", "1", deleting=True),
        Held("FingerWorker", "ns", "w1", "2", deleting=True, streams=34),
        Held("FingerWorker", "ns", "w2", "3", deleting=False),
    ]
    text = "\n".join(explain(Plan("in namespace ns", objects, [])))
    assert "off 1 StreamPool and 2 FingerWorkers in namespace ns." in text
    assert "2 of them are being deleted and vanish at once" in text
    assert "1 of them stays until you delete it" in text
    assert "1 worker may still be running streams: w1 (34)." in text
    assert "No operator was found" in text


def test_a_long_list_of_workers_is_cut():
    objects = [Held("FingerWorker", "ns", f"w{n}", str(n), deleting=True, streams=1) for n in range(12)]
    assert "w9 (1) and 2 others." in "\n".join(explain(Plan("", objects, [])))
