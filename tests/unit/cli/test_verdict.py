from __future__ import annotations

import pytest

from fingerv7.cli.verdict import State


@pytest.mark.parametrize(
    ("lease", "state"),
    [
        pytest.param({}, State.RUNNING, id="confirmed and heard"),
        pytest.param({"applied": 6}, State.UNCONFIRMED, id="an older epoch is confirmed"),
        pytest.param({"applied": None}, State.UNCONFIRMED, id="nothing is confirmed"),
        pytest.param({"applied": 8}, State.UNCONFIRMED, id="an epoch that the restored object never had"),
        pytest.param({"holder": "pod/b"}, State.UNCONFIRMED, id="a former incarnation confirmed"),
        pytest.param({"age_s": 21}, State.SILENT, id="heard too long ago"),
        pytest.param({"holder": ""}, State.SILENT, id="nobody holds the Lease"),
        pytest.param({"applied": None, "released": True, "age_s": 90}, State.UNCONFIRMED, id="released"),
    ],
)
def test_a_granted_stream_runs_only_where_its_worker_confirmed_it_and_lives(judge, stored, lease, state):
    assert judge((stored.worker(streams=["1", "4711"]), stored.lease(**lease))).state is state


def test_a_worker_without_a_lease_is_silent(judge, stored):
    assert judge((stored.worker(streams=["4711"]), None)).state is State.SILENT


def test_a_confirmation_of_another_object_of_that_name_proves_nothing(judge, stored):
    worker = stored.worker(streams=["4711"])
    worker["metadata"]["uid"] = "recreated"
    assert judge((worker, stored.lease())).state is State.UNCONFIRMED


@pytest.mark.parametrize("second", [{"streams": ["4711"]}, {"revoking": [("4711", 7)]}])
def test_two_workers_that_hold_it_are_one_too_many(judge, stored, second):
    first = (stored.worker(streams=["4711"]), stored.lease())
    assert judge(first, (stored.worker("w2", **second), stored.lease("w2"))).state is State.DOUBLE_HELD


def test_what_was_taken_away_is_stopping(judge, stored):
    assert judge((stored.worker(revoking=[("4711", 7)]), stored.lease(applied=6))).state is State.STOPPING


def test_the_pool_s_examples_give_the_reason(judge, stored):
    full = stored.pool(unassigned=9, unassignedExamples={"NoCapacity": ["1"], "SuspectedPoison": ["4711"]})
    verdict = judge((stored.worker(streams=["1"]), stored.lease()), of=full)
    assert (verdict.state, verdict.reason) == (State.UNASSIGNED, "SuspectedPoison")


def test_a_quarantined_row_comes_before_the_reasons_of_others(judge, stored):
    pool = stored.pool(quarantined=1, quarantinedExamples={"EmptyUrl": ["4711"]})
    verdict = judge(of=pool)
    assert (verdict.state, verdict.reason) == (State.QUARANTINED, "EmptyUrl")


def test_where_every_row_is_accounted_for_the_stream_is_not_active(judge, stored):
    listed = stored.pool(unassigned=1, unassignedExamples={"NoCapacity": ["1"]})
    assert judge(of=stored.pool()).state is State.NOT_ACTIVE
    assert judge(of=listed).state is State.NOT_ACTIVE


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        pytest.param([], {"unassigned": 9, "unassignedExamples": {"NoCapacity": ["1"]}}, id="among uncounted others"),
        pytest.param([("SourceReachable", "False", "Timeout", "")], {}, id="source not reachable"),
        pytest.param([("SourceChanged", "True", "Shrunk", "")], {}, id="change held back"),
        pytest.param([("Paused", "True", "Requested", "")], {}, id="paused"),
        pytest.param([("Ready", "False", "Starting", "")], {}, id="a new leader starts"),
    ],
)
def test_what_the_status_cannot_tell_is_unknown(judge, stored, conditions, status):
    assert judge(of=stored.pool(*(stored.condition(*c) for c in conditions), **status)).state is State.UNKNOWN


def test_a_pool_that_no_operator_looked_at_tells_nothing(judge):
    assert judge(of={"metadata": {"name": "radio"}}).state is State.UNKNOWN
