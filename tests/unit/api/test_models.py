from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fingerv7.api.balancing import Strategy
from fingerv7.api.conditions import MoveReason, Unassigned
from fingerv7.api.fingerworker import FingerWorker, WorkerTimes
from fingerv7.api.liveness import Liveness
from fingerv7.api.rules import TIMES
from fingerv7.api.streampool import StreamPool
from fingerv7.contract import Timing, format_duration
from fingerv7.core.planner import model
from fingerv7.core.status import liveness_status

SOURCE = {"postgres": {"secretRef": {"name": "streams-db"}, "table": "public.streams"}}


def a_pool(**spec):
    return {
        "apiVersion": "fingerv7.io/v1alpha1",
        "kind": "StreamPool",
        "metadata": {"name": "radio", "namespace": "music"},
        "spec": {"source": SOURCE, **spec},
    }


def a_worker(**spec):
    return {
        "apiVersion": "fingerv7.io/v1alpha1",
        "kind": "FingerWorker",
        "metadata": {"name": "fingerv7-001", "uid": "u-1", "resourceVersion": "7"},
        "spec": {
            "poolRef": {"name": "radio"},
            "maxStreams": 50,
            "capabilities": ["audio_fingerprinting"],
            "drain": False,
            **spec,
        },
        "status": {
            "observedGeneration": 3,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Active",
                    "message": "heard in time",
                    "observedGeneration": 3,
                    "lastTransitionTime": "2026-01-02T03:04:05Z",
                }
            ],
            "phase": "Active",
            "assignment": {
                "epoch": 4,
                "leaderEpoch": 1200,
                "hash": "0123456789abcdef",
                "streams": [
                    {
                        "id": "s1",
                        "url": "https://radio.example/1?a=b&c",
                        "name": "One",
                        "token": "0000000000001200-0000000001",
                        "metadata": {"country": "AT"},
                        "weight": 2,
                        "capabilities": ["speech"],
                        "location": "vienna",
                    }
                ],
                "revoking": [{"id": "s2", "epoch": 4}],
            },
            "assignedStreams": 1,
            "loadPercent": 4,
            "appliedEpoch": 3,
            "incarnation": "pod/nonce",
            "lastHeartbeatTime": "2026-01-02T03:04:06.123456Z",
            "liveness": {
                "renewInterval": "5s",
                "requestTimeout": "2s",
                "fenceAfter": "12s",
                "stopTime": "6s",
                "takeoverAfter": "20s",
            },
            "report": {"currentStreams": 1, "cpuPercent": 140, "vpn": {"status": "up", "ip": "10.0.0.1"}},
        },
    }


def test_a_worker_is_written_back_as_it_was_read():
    assert FingerWorker.parse(a_worker()).dump() == a_worker()


def test_a_pool_with_every_default_is_written_back_as_it_was_read():
    written = StreamPool.parse(a_pool()).dump()
    assert StreamPool.parse(written).dump() == written
    spec = written["spec"]
    assert spec["source"]["postgres"]["columns"] == {
        "id": "id",
        "url": "url",
        "name": "name",
        "active": "active",
        "updatedAt": "updated_at",
        "metadata": "metadata",
    }
    assert spec["registration"] == "Declared"
    assert spec["balancing"]["cooldown"] == "300s"
    assert spec["liveness"] == {
        "takeoverAfter": "20s",
        "removeAfter": "24h",
        "massFailure": {"thresholdPercent": 50, "maxHold": "60s"},
    }


def test_fields_of_a_newer_version_are_tolerated():
    newer = a_worker(colour="blue")
    newer["status"]["mood"] = "good"
    assert FingerWorker.parse(newer).dump() == a_worker()


def test_an_object_without_status_reads_as_an_empty_one():
    body = a_worker()
    del body["status"]
    worker = FingerWorker.parse(body)
    assert worker.status.assignment is None
    assert worker.status.conditions == []


def test_models_cannot_be_changed():
    worker = FingerWorker.parse(a_worker())
    with pytest.raises(ValidationError):
        worker.spec.drain = True


def test_a_stream_url_is_not_in_a_repr():
    stream = FingerWorker.parse(a_worker()).status.assignment.streams[0]
    assert "radio.example" not in repr(stream)


# --- times ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_times", "timing"),
    [
        ({}, Timing(5_000, 2_000, 12_000, 6_000, 20_000)),
        ({"takeoverAfter": "10s"}, Timing(2_500, 1_000, 6_000, 3_000, 10_000)),
        ({"takeoverAfter": "180s"}, Timing(10_000, 5_000, 156_000, 6_000, 180_000)),
        (
            {"takeoverAfter": "10s", "renewInterval": "1s", "requestTimeout": "1s", "fenceAfter": "5s"},
            Timing(1_000, 1_000, 5_000, 3_000, 10_000),
        ),
        ({"stopTime": "9s"}, Timing(3_750, 1_500, 9_000, 9_000, 20_000)),
    ],
)
def test_times_that_are_left_out_are_derived(given_times, timing):
    assert Liveness.parse(given_times).timing() == timing


def test_a_worker_is_late_after_half_of_the_takeover_time():
    assert Liveness.parse({}).warning_after_ms == 10_000
    assert Liveness.parse({"warningAfter": "7s"}).warning_after_ms == 7_000


@pytest.mark.parametrize(
    ("given_times", "sentence"),
    [
        ({"fenceAfter": "15s"}, "(fenceAfter + stopTime) * 1.05"),
        ({"renewInterval": "9s"}, "renewInterval + 2 * requestTimeout"),
        ({"warningAfter": "20s"}, "warningAfter must be less"),
        ({"stopTime": "18050ms"}, "every time must be greater than zero"),
        ({"takeoverAfter": "1 day"}, "String should match pattern"),
        ({"takeoverAfter": "-60s"}, "String should match pattern"),
        ({"takeoverAfter": "900ms"}, "write a duration from 1s"),
        ({"removeAfter": "99999999999h"}, "write a duration from 100ms to 8760h"),
        ({"removeAfter": "9000h"}, "write a duration from 100ms to 8760h"),
    ],
)
def test_impossible_times_are_refused_with_what_is_accepted(given_times, sentence):
    with pytest.raises(ValidationError) as refused:
        Liveness.parse(given_times)
    assert sentence in str(refused.value)


_MS = st.none() | st.integers(0, 40_000)


@given(st.integers(1_000, 60_000), _MS, _MS, _MS, _MS)
def test_the_rules_of_the_crd_and_of_the_contract_agree(takeover, renew, request, fence, stop):
    timing = Timing.derive(
        takeover,
        renew_interval_ms=renew,
        request_timeout_ms=request,
        fence_after_ms=fence,
        stop_time_ms=stop,
    )
    broken = [rule for rule in TIMES[:3] if not rule.holds(timing, 0)]
    assert len(broken) == len(timing.violations())


@given(st.integers(1_000, 100_000_000))
def test_derived_times_always_keep_the_rules(takeover):
    liveness = Liveness(takeover_after=format_duration(takeover))
    assert liveness.timing().violations() == []
    told = liveness_status(liveness.timing())
    assert WorkerTimes.parse(told).dump() == told
    assert Liveness.parse(told).timing() == liveness.timing()


# --- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["streams", "public.streams", "_a$1", "Öffentlich", 'x"; DROP', "a.b.c", "", "9a"])
def test_a_table_is_an_identifier_with_or_without_its_schema(table):
    source = {"postgres": {"secretRef": {"name": "streams-db"}, "table": table}}
    if table in {"streams", "public.streams", "_a$1"}:
        assert StreamPool.parse(a_pool(source=source)).spec.source.postgres.table == table
    else:
        with pytest.raises(ValidationError, match=r"schema\.table"):
            StreamPool.parse(a_pool(source=source))


def test_a_worker_without_fingerprinting_is_refused():
    with pytest.raises(ValidationError, match="must contain audio_fingerprinting"):
        FingerWorker.parse(a_worker(capabilities=["speech"]))


# --- balancing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("balancing", "sentence"),
    [
        ({"rotation": {"every": "9m"}}, "write a duration from 10m"),
        ({"pins": [{"stream": "s", "worker": "a"}, {"stream": "s", "worker": "b"}]}, "'s' is pinned twice"),
        ({"exclusions": [{}]}, "name a stream (nobody may have it)"),
        ({"targetLoadPercent": 0}, "greater than or equal to 1"),
    ],
)
def test_impossible_balancing_is_refused_with_what_is_accepted(balancing, sentence):
    with pytest.raises(ValidationError) as refused:
        StreamPool.parse(a_pool(balancing=balancing))
    assert sentence in str(refused.value)


def test_balancing_is_written_back_as_it_was_read():
    balancing = {
        "strategy": "Location",
        "mode": "Manual",
        "imbalanceThresholdPercent": 15,
        "maxStreamDifference": 3,
        "cooldown": "300s",
        "maxMovesPerRoundPercent": 10,
        "targetLoadPercent": 80,
        "rotation": {"every": "24h"},
        "pins": [{"stream": "s", "worker": "a"}],
        "exclusions": [{"stream": "t"}, {"worker": "b"}],
    }
    assert StreamPool.parse(a_pool(balancing=balancing)).dump()["spec"]["balancing"] == balancing


def test_a_proposal_is_written_back_as_it_was_read():
    status = {
        "proposal": {
            "id": "3f0c9ae1d2b4",
            "digest": "3f0c9ae1d2b4",
            "moves": 1,
            "imbalanceBefore": 40,
            "imbalanceAfter": 3,
            "time": "2026-01-02T03:04:05Z",
            "examples": [{"stream": "s1", "from": "a", "to": "b", "reason": "NewWorker"}],
        },
        "approval": {
            "id": "0123",
            "outcome": "Refused",
            "reason": "ProposalChanged",
            "message": "",
            "time": "2026-01-02T03:04:05Z",
        },
    }
    assert StreamPool.parse({**a_pool(), "status": status}).dump()["status"] == {"conditions": [], **status}


def test_the_planner_and_the_api_use_the_same_words():
    assert {str(word) for word in MoveReason} == {str(word) for word in model.Trigger}
    assert {str(word) for word in Unassigned} >= {str(word) for word in model.UnplacedReason}
    assert {str(word) for word in Strategy} == {str(word) for word in model.Strategy}
