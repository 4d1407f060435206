"""The FingerWorker's schema and rules on a real API server, each with what it accepts and what it refuses."""

from __future__ import annotations

import json

import pytest

from .objects import WORKER, assignment, stream

pytestmark = pytest.mark.integration


# --- spec -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        {"maxStreams": 1},
        {"maxStreams": 1000},
        {"capabilities": ["speech", "audio_fingerprinting", "aac-plus"]},
        {"location": "datacenter-1", "performanceScorePercent": 95, "drain": True},
    ],
    ids=str,
)
def test_a_worker_is_accepted(api, worker, spec):
    assert api.create(worker(**spec))["spec"].items() >= spec.items()


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"maxStreams": 0}, "spec.maxStreams in body should be greater than or equal to 1"),
        ({"maxStreams": 1001}, "spec.maxStreams in body should be less than or equal to 1000"),
        ({"maxStreams": None}, "spec.maxStreams: Required value"),
        ({"capabilities": None}, "spec.capabilities: Required value"),
        ({"capabilities": []}, "capabilities must contain audio_fingerprinting"),
        ({"capabilities": ["speech"]}, "capabilities must contain audio_fingerprinting"),
        ({"capabilities": ["audio_fingerprinting"] * 2}, "Duplicate value"),
        ({"capabilities": ["audio_fingerprinting", "a b"]}, "write a capability as letters, digits"),
        ({"poolRef": {"name": "Radio!"}}, "write the name of a Kubernetes object"),
        ({"poolRef": {}}, "spec.poolRef.name: Required value"),
        ({"location": "x" * 64}, "may not be more than 63"),
        ({"performanceScorePercent": 0}, "greater than or equal to 1"),
    ],
)
def test_a_worker_is_refused_where_it_is_wrong(api, worker, spec, sentence):
    assert sentence in api.refusal(worker(**spec))


def test_a_worker_stays_in_its_pool(api, worker):
    api.create(worker(), dry_run=False)
    api.patch(WORKER, "fingerv7-001", {"spec": {"maxStreams": 60, "poolRef": {"name": "radio"}}}, subresource="")
    refusal = api.patch_refusal(WORKER, "fingerv7-001", {"spec": {"poolRef": {"name": "other"}}}, subresource="")
    assert "poolRef cannot be changed; delete the FingerWorker, which drains it" in refusal


# --- the record of what it may run ------------------------------------------------------------------------


@pytest.fixture
def assigned(api, worker) -> str:
    """A FingerWorker at epoch 5, written by leader 1200."""
    api.create(worker(), dry_run=False)
    api.patch(WORKER, "fingerv7-001", assignment(epoch=5))
    return "fingerv7-001"


def test_epochs_grow_and_stay(api, assigned):
    api.patch(WORKER, assigned, assignment(epoch=5))
    api.patch(WORKER, assigned, assignment(epoch=6, streams=[], revoking=[{"id": "s1", "epoch": 6}]))
    stored = api.patch(WORKER, assigned, assignment(epoch=6, leader_epoch=1300, streams=[], revoking=[]))
    assert stored["status"]["assignment"]["epoch"] == 6
    assert stored["status"]["assignment"]["revoking"] == []


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        (assignment(epoch=4), "status.assignment.epoch never decreases"),
        (assignment(epoch=5, leader_epoch=1199), "status.assignment.leaderEpoch never decreases: a newer operator"),
        (assignment(epoch=99, leader_epoch=1199), "status.assignment.leaderEpoch never decreases: a newer operator"),
        ({"status": None}, "status.assignment cannot be removed"),
        ({"status": {"assignment": None}}, "status.assignment cannot be removed"),
        ({"status": {"assignment": {"epoch": None}}}, "status.assignment.epoch never decreases"),
        ({"status": {"assignment": {"leaderEpoch": None}}}, "status.assignment.leaderEpoch never decreases"),
        (assignment(epoch=-1), "greater than or equal to 0"),
    ],
    ids=[
        "older epoch",
        "older leader",
        "older leader, newer epoch",
        "no status",
        "no assignment",
        "no epoch",
        "no leader",
        "negative",
    ],
)
def test_the_record_of_an_assignment_cannot_go_back(api, assigned, patch, sentence):
    assert sentence in api.patch_refusal(WORKER, assigned, patch)


def test_the_record_survives_a_replacement_of_the_whole_object(api, assigned, cluster, namespace, worker):
    body = worker(maxStreams=70)
    body["status"] = {}
    cluster.kubectl("-n", namespace, "replace", "-f", "-", input=json.dumps(body))
    status = api.patch(WORKER, assigned, {"status": {"phase": "Active"}})["status"]
    assert status["assignment"]["epoch"] == 5


def test_a_leader_stamps_a_worker_that_has_no_assignment_yet(api, worker):
    api.create(worker(), dry_run=False)
    stored = api.patch(WORKER, "fingerv7-001", {"status": {"assignment": {"leaderEpoch": 1200}}})
    assert stored["status"]["assignment"] == {"epoch": 0, "leaderEpoch": 1200}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"url": "ftp://radio.example"}, "should match '^[Hh][Tt][Tt][Pp][Ss]?://'"),
        ({"url": ""}, "should be at least 1 chars long"),
        ({"url": "https://" + "x" * 1017}, "may not be more than 1024"),
        ({"id": ""}, "should be at least 1 chars long"),
        ({"token": None}, "token: Required value"),
        ({"metadata": {f"k{n}": "v" for n in range(17)}}, "must have at most 16 items"),
    ],
)
def test_a_stream_that_no_worker_could_use_is_refused(api, assigned, fields, sentence):
    assert sentence in api.patch_refusal(WORKER, assigned, assignment(epoch=6, streams=[stream(1, **fields)]))


def test_a_thousand_streams_of_a_kilobyte_fit(api, assigned):
    long = [
        stream(number, url=f"https://radio.example/{number}?token=" + "x" * 700, metadata={"note": "y" * 100})
        for number in range(1000)
    ]
    stored = api.patch(WORKER, assigned, assignment(epoch=6, streams=long))
    assert stored["status"]["assignment"]["streams"] == long
    gone = [{"id": each["id"], "epoch": 7} for each in long]
    api.patch(WORKER, assigned, assignment(epoch=7, streams=[], revoking=gone))
    assert "Too many: 1001" in api.patch_refusal(
        WORKER, assigned, assignment(epoch=8, streams=[stream(number) for number in range(1001)])
    )


def test_a_status_cannot_be_written_by_those_who_may_only_edit_the_object(api, worker):
    body = worker()
    body["status"] = {"phase": "Active"}
    assert "status" not in api.create(body)
