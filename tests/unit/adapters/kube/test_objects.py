from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerv7.adapters.kube.objects import (
    assignment_from_json,
    assignment_to_json,
    lease_from_json,
    worker_from_json,
)
from fingerv7.contract import assignment_hash
from fingerv7.core.model import Assignment, Grant, Stream, Token

_IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
_EPOCHS = st.integers(0, 2**53)


@st.composite
def assignments(draw: st.DrawFn) -> Assignment:
    grants = {
        identity: Grant(
            Stream(
                id=identity,
                url=f"https://radio.example/{draw(_TEXTS)}",
                name=draw(_TEXTS),
                weight=draw(st.integers(1, 1000)),
                location=draw(_TEXTS),
                capabilities=draw(st.frozensets(_IDS, max_size=3)),
                metadata=draw(st.dictionaries(_IDS, _TEXTS, max_size=3)),
            ),
            Token(draw(st.integers(0, 10**16 - 1)), draw(st.integers(0, 10**10 - 1))),
        )
        for identity in draw(st.sets(_IDS, max_size=5))
    }
    revoking = draw(st.dictionaries(_IDS, _EPOCHS, max_size=5))
    return Assignment(draw(_EPOCHS), draw(_EPOCHS), grants, revoking)


@given(assignments())
def test_what_is_written_is_what_is_read(assignment: Assignment) -> None:
    stored = json.loads(json.dumps(assignment_to_json(assignment, worker_uid="uid")))
    assert assignment_from_json(stored) == assignment


@given(assignments(), st.randoms())
def test_the_same_assignment_is_always_the_same_text(assignment: Assignment, rng: Any) -> None:
    ids, taken = list(assignment.grants), list(assignment.revoking)
    rng.shuffle(ids)
    rng.shuffle(taken)
    shuffled = Assignment(
        assignment.epoch,
        assignment.leader_epoch,
        {i: assignment.grants[i] for i in ids},
        {i: assignment.revoking[i] for i in taken},
    )
    first = assignment_to_json(assignment, worker_uid="uid")
    assert json.dumps(assignment_to_json(shuffled, worker_uid="uid")) == json.dumps(first)
    assert [s["id"] for s in first["streams"]] == sorted(assignment.grants)
    assert first["hash"] == assignment_hash("uid", assignment.epoch, first["streams"])


def test_defaults_are_not_written() -> None:
    plain = Grant(Stream("s", "https://radio.example/s", "S"), Token(7, 1))
    written = assignment_to_json(Assignment(1, 7, {"s": plain}), worker_uid="uid")
    assert written["streams"] == [
        {"id": "s", "url": "https://radio.example/s", "name": "S", "token": "0000000000000007-0000000001"}
    ]
    assert written["revoking"] == []


def test_of_an_id_listed_twice_the_newer_token_counts() -> None:
    entries = [
        {"id": "s", "url": "https://radio.example/s", "token": str(Token(7, sequence))} for sequence in (2, 3, 1)
    ]
    assert assignment_from_json({"streams": entries}).grants["s"].token == Token(7, 3)


def _worker(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "apiVersion": "fingerv7.io/v1alpha1",
        "kind": "FingerWorker",
        "metadata": {
            "name": "w-1",
            "namespace": "radio",
            "uid": "uid-1",
            "resourceVersion": "42",
            "generation": 3,
            "labels": {"fingerv7.io/created-by": "operator"},
            "finalizers": ["fingerv7.io/drain"],
        },
        "spec": {
            "poolRef": {"name": "radio"},
            "maxStreams": 50,
            "capabilities": ["audio_fingerprinting", "aac"],
            "location": "dc-1",
            "performanceScorePercent": 95,
            "drain": True,
        },
        "status": {
            "phase": "Active",
            "assignment": {
                "epoch": 4,
                "leaderEpoch": 9,
                "hash": "abc",
                "streams": [{"id": "s", "url": "https://u:secret@radio.example/s", "token": str(Token(9, 1))}],
                "revoking": [{"id": "t", "epoch": 4}],
            },
        },
    }
    for path, value in changes.items():
        at = raw
        *parents, last = path.split("__")
        for parent in parents:
            at = at[parent]
        if value is None:
            del at[last]
        else:
            at[last] = value
    return raw


def test_a_worker_is_read_with_everything_it_says() -> None:
    worker = worker_from_json(_worker())
    assert (worker.name, worker.uid, worker.resource_version, worker.pool) == ("w-1", "uid-1", 42, "radio")
    assert (worker.max_streams, worker.location, worker.score_percent) == (50, "dc-1", 95)
    assert worker.capabilities == {"audio_fingerprinting", "aac"}
    assert worker.drain
    assert worker.finalizer
    assert worker.created_by_operator
    assert not worker.deleting
    assert worker.generation == 3
    assert set(worker.assignment.grants) == {"s"}
    assert worker.assignment.revoking == {"t": 4}
    assert worker.status == {"phase": "Active", "assignment": {"epoch": 4, "leaderEpoch": 9, "hash": "abc"}}


def test_a_new_worker_has_an_empty_assignment() -> None:
    worker = worker_from_json(
        _worker(status=None, metadata__labels=None, metadata__finalizers=None, spec__capabilities=None)
    )
    assert worker.assignment == Assignment()
    assert worker.status == {}
    assert not worker.finalizer
    assert not worker.created_by_operator


def test_a_deleted_worker_is_deleting_and_somebody_elses_label_is_not_ours() -> None:
    worker = worker_from_json(
        _worker(metadata__deletionTimestamp="2026-01-01T00:00:00Z", metadata__labels={"fingerv7.io/created-by": "me"})
    )
    assert worker.deleting
    assert not worker.created_by_operator


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"spec__poolRef": None}, "the FingerWorker w-1 cannot be read: the field 'poolRef' is missing"),
        ({"spec__maxStreams": "many"}, "the FingerWorker w-1 cannot be read: invalid literal"),
        ({"spec": None}, "the field 'spec' is missing"),
        ({"metadata": None}, "the FingerWorker \\? cannot be read"),
        ({"status__assignment__revoking": [{"id": "t"}]}, "the field 'epoch' is missing"),
        (
            {"status__assignment__streams": [{"id": "s", "url": "https://u:secret@h/", "token": "x"}]},
            "cannot be read",
        ),
    ],
)
def test_an_unreadable_worker_is_named_in_a_sentence_without_its_urls(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        worker_from_json(_worker(**changes))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_lease_is_read_with_everything_it_says() -> None:
    lease = lease_from_json(
        {
            "metadata": {
                "name": "w-1",
                "namespace": "radio",
                "uid": "lease-uid",
                "resourceVersion": "43",
                "labels": {"fingerv7.io/pool": "radio"},
                "annotations": {
                    "fingerv7.io/applied": "uid-1/pod/nonce/4",
                    "fingerv7.io/released": "uid-1/pod/nonce",
                    "fingerv7.io/drain": "pod/nonce",
                    "fingerv7.io/report": "{}",
                    "fingerv7.io/register": '{"maxStreams": 5}',
                },
            },
            "spec": {
                "holderIdentity": "pod/nonce",
                "renewTime": "2026-01-01T00:00:00.000000Z",
                "leaseDurationSeconds": 20,
            },
        }
    )
    assert (lease.pool, lease.holder, lease.duration_ms) == ("radio", "pod/nonce", 20_000)
    assert lease.claimed_epoch("uid-1") == 4
    assert lease.shows_release("uid-1")
    assert (lease.drain, lease.report, lease.register) == ("pod/nonce", "{}", '{"maxStreams": 5}')


@pytest.mark.parametrize("spec", [None, {}, {"holderIdentity": None, "renewTime": None}])
def test_a_lease_that_nobody_ever_held_is_silence(spec: dict[str, Any] | None) -> None:
    metadata = {"name": "w-1", "uid": "u", "resourceVersion": "1", "annotations": {"fingerv7.io/applied": "ok!"}}
    lease = lease_from_json({"metadata": metadata, "spec": spec})
    assert (lease.pool, lease.holder, lease.renew_time, lease.applied) == ("", "", "", None)


def test_what_a_managed_worker_is_marked_with_is_read() -> None:
    metadata: dict[str, Any] = {"name": "radio-001", "uid": "u", "resourceVersion": "3"}
    raw = {"metadata": metadata, "spec": {"poolRef": {"name": "radio"}, "maxStreams": 5}}
    assert not worker_from_json(raw).managed
    assert worker_from_json(raw).drain_for == ""
    metadata |= {
        "labels": {"fingerv7.io/managed": "true"},
        "annotations": {"fingerv7.io/drain-for": "Rollout"},
    }
    assert worker_from_json(raw).managed
    assert worker_from_json(raw).drain_for == "Rollout"
