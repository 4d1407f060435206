from __future__ import annotations

import pytest

from fingerv7.cli.removal import Held, Operator, Plan, explain, held, operator, refusal, without_finalizer

OURS, OTHERS = "fingerv7.io/drain", "example.org/backup"


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
    ("lease", "alive"),
    [({"age_s": 20}, True), ({"age_s": -60}, True), ({"age_s": 21}, False), ({"holder": ""}, False)],
)
def test_an_operator_is_alive_while_its_lease_lasts(stored, lease, alive):
    raw = stored.lease("fingerv7-operator", **lease)
    raw["metadata"]["namespace"] = "system"
    assert operator(raw, stored.now).alive is alive


def test_a_running_operator_refuses_unless_forced():
    plan = Plan("in all namespaces", [], [Operator("system", "replica-1", 3, 15)])
    assert refusal(plan, force=False) == (
        "the operator is still running (replica-1 renewed Lease system/fingerv7-operator 3 s ago) and would put the "
        "finalizers back: stop it first, or give --force"
    )
    assert refusal(plan, force=True) == ""
    assert refusal(Plan("", [], [Operator("system", "replica-1", 60, 15)]), force=False) == ""


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
