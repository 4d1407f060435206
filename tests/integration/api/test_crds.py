"""The CRDs on a real API server: only that proves that a schema is structural and its rules affordable.

Every rule is tried with what it accepts and with what it refuses, and the sentence it answers is part of the test:
it is what somebody reads who made the mistake.
"""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from devenv.cluster import Cluster
from devenv.fleet_api import ApiError
from fingerv7.api.liveness import Liveness

pytestmark = pytest.mark.integration

WORKER = "fingerworkers"
POOL = "streampools"

IDENTIFIER = "write an SQL identifier as it is spelled in the database: a letter or underscore"
TABLE = "write table or schema.table, each an SQL identifier"
DURATION = "as whole numbers with units, such as 500ms, 30s or 1h30m"
SAFETY = "(fenceAfter + stopTime) * 1.05 must be at most takeoverAfter * 0.95"
LIVENESS = "renewInterval + 2 * requestTimeout must be at most fenceAfter"
POSITIVE = "every time must be greater than zero"
WARNING = "warningAfter must be less than takeoverAfter"


def stream(number: int, **fields):
    return {
        "id": f"s{number}",
        "url": f"https://radio.example/{number}",
        "name": f"Station {number}",
        "token": f"{1200:016d}-{number:010d}",
        **fields,
    }


def assignment(epoch: int = 1, leader_epoch: int = 1200, **fields):
    return {
        "status": {
            "assignment": {
                "epoch": epoch,
                "leaderEpoch": leader_epoch,
                "hash": "0123",
                "streams": [stream(1)],
                "revoking": [],
                **fields,
            }
        }
    }


# --- discovery --------------------------------------------------------------------------------------------


def test_kinds_have_short_names_and_a_category(cluster: Cluster):
    lines = cluster.kubectl("api-resources", "--categories=fingerv7", "--no-headers").splitlines()
    assert [line.split() for line in lines] == [
        ["fingerworkers", "fw", "fingerv7.io/v1alpha1", "true", "FingerWorker"],
        ["streampools", "spool", "fingerv7.io/v1alpha1", "true", "StreamPool"],
    ]


def test_fields_explain_themselves(cluster: Cluster):
    assert "loses its streams to others" in cluster.kubectl("explain", "streampool.spec.liveness.takeoverAfter")
    assert "an acknowledgement at or above it" in cluster.kubectl("explain", "fw.status.assignment.revoking.epoch")


# --- StreamPool: defaults ---------------------------------------------------------------------------------


def test_a_short_pool_gets_every_default(api, pool):
    spec = api.create(pool())["spec"]
    assert spec == {
        "source": {
            "postgres": {
                "secretRef": {"name": "streams-db"},
                "table": "streams",
                "columns": {
                    "id": "id",
                    "url": "url",
                    "name": "name",
                    "active": "active",
                    "updatedAt": "updated_at",
                    "metadata": "metadata",
                },
                "pollInterval": "30s",
                "maxShrinkPercent": 50,
                "shrinkConfirmations": 3,
                "statementTimeout": "10s",
                "connectTimeout": "10s",
            }
        },
        "registration": "Declared",
        "balancing": {
            "strategy": "Capacity",
            "mode": "Auto",
            "imbalanceThresholdPercent": 15,
            "maxStreamDifference": 3,
            "cooldown": "300s",
            "maxMovesPerRoundPercent": 10,
        },
        "liveness": {
            "takeoverAfter": "20s",
            "removeAfter": "24h",
            "massFailure": {"thresholdPercent": 50, "maxHold": "60s"},
        },
        "drainTimeout": "10m",
        "statusRefreshInterval": "30s",
        "paused": False,
    }


def test_half_a_pool_gets_the_other_half_of_its_defaults(api, pool):
    spec = api.create(
        pool(
            postgres={"columns": {"id": "station_id", "weight": "listeners"}},
            liveness={"takeoverAfter": "10s", "massFailure": {"thresholdPercent": 30}},
            balancing={"cooldown": "0s"},
        )
    )["spec"]
    columns = spec["source"]["postgres"]["columns"]
    assert (columns["id"], columns["url"], columns["weight"]) == ("station_id", "url", "listeners")
    assert "location" not in columns
    assert spec["liveness"]["massFailure"] == {"thresholdPercent": 30, "maxHold": "60s"}
    assert spec["balancing"]["maxStreamDifference"] == 3


# --- StreamPool: refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "field", "sentence"),
    [
        ({"table": "streams; DROP TABLE x"}, "table", TABLE),
        ({"table": 'public."Streams"'}, "table", TABLE),
        ({"table": "a.b.c"}, "table", TABLE),
        ({"table": "t" * 64}, "table", TABLE),
        ({"table": ""}, "table", TABLE),
        ({"columns": {"id": "station id"}}, "columns.id", IDENTIFIER),
        ({"columns": {"updatedAt": "1st"}}, "columns.updatedAt", IDENTIFIER),
        ({"columns": {"weight": "w.x"}}, "columns.weight", IDENTIFIER),
        ({"notifyChannel": "streams-changed"}, "notifyChannel", IDENTIFIER),
        ({"pollInterval": "-60s"}, "pollInterval", DURATION),
        ({"pollInterval": "1 day"}, "pollInterval", DURATION),
        ({"pollInterval": "0s"}, "pollInterval", "write a duration from 100ms"),
        ({"statementTimeout": "1.5s"}, "statementTimeout", DURATION),
        ({"connectTimeout": "9000h"}, "connectTimeout", "to 8760h"),
        ({"secretRef": {"name": "Streams_DB"}}, "secretRef.name", "write the name of a Kubernetes object"),
        ({"maxShrinkPercent": 101}, "maxShrinkPercent", "less than or equal to 100"),
        ({"shrinkConfirmations": 0}, "shrinkConfirmations", "greater than or equal to 1"),
    ],
)
def test_a_source_is_refused_where_it_is_wrong(api, pool, source, field, sentence):
    refusal = api.refusal(pool(postgres=source))
    assert f"spec.source.postgres.{field}" in refusal
    assert sentence in refusal


@pytest.mark.parametrize(
    "source",
    [
        {"table": "public.streams"},
        {"table": f"{'s' * 63}.{'t' * 63}"},
        {"table": "_Streams$1"},
        {"columns": {"id": "c" * 63, "location": "Ort"}},
        {"notifyChannel": "streams_changed"},
        {"pollInterval": "1h30m"},
        {"statementTimeout": "500ms"},
        {"secretRef": {"name": "streams-db.v2"}},
        {"maxShrinkPercent": 0, "shrinkConfirmations": 100},
    ],
)
def test_a_source_is_accepted(api, pool, source):
    stored = api.create(pool(postgres=source))["spec"]["source"]["postgres"]
    for key, value in source.items():
        assert stored[key] == value if not isinstance(value, dict) else stored[key].items() >= value.items()


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"registration": "Closed"}, 'supported values: "Declared", "Open"'),
        ({"balancing": {"strategy": "Random"}}, 'supported values: "Capacity", "Performance", "Location"'),
        ({"balancing": {"mode": "Sometimes"}}, 'supported values: "Auto", "Advisory", "Manual"'),
        ({"balancing": {"imbalanceThresholdPercent": 101}}, "less than or equal to 100"),
        ({"balancing": {"maxMovesPerRoundPercent": 0}}, "greater than or equal to 1"),
        ({"balancing": {"cooldown": "soon"}}, DURATION),
        ({"balancing": {"targetLoadPercent": 0}}, "greater than or equal to 1"),
        ({"balancing": {"targetLoadPercent": 101}}, "less than or equal to 100"),
        ({"balancing": {"rotation": {}}}, "spec.balancing.rotation.every: Required value"),
        ({"balancing": {"rotation": {"every": "9m59s"}}}, "write a duration from 10m to 8760h"),
        ({"balancing": {"rotation": {"every": "daily"}}}, DURATION),
        ({"balancing": {"pins": [{"stream": "s1"}]}}, "spec.balancing.pins[0].worker: Required value"),
        ({"balancing": {"pins": [{"stream": "s1", "worker": "W1"}]}}, "write the name of a Kubernetes object"),
        (
            {"balancing": {"pins": [{"stream": "s1", "worker": "a"}, {"stream": "s1", "worker": "b"}]}},
            'spec.balancing.pins[1]: Duplicate value: {"stream":"s1"}',
        ),
        ({"balancing": {"pins": [{"stream": f"s{n}", "worker": "a"} for n in range(257)]}}, "at most 256 items"),
        (
            {"balancing": {"exclusions": [{}]}},
            "name a stream (nobody may have it), a worker (it is given nothing new)",
        ),
        ({"balancing": {"exclusions": [{"stream": ""}]}}, "should be at least 1 chars long"),
        ({"balancing": {"exclusions": [{"worker": "a b"}]}}, "write the name of a Kubernetes object"),
        ({"balancing": {"exclusions": [{"stream": "s1"}] * 257}}, "at most 256 items"),
        ({"drainTimeout": "-1m"}, DURATION),
        ({"liveness": {"massFailure": {"maxHold": "1d"}}}, DURATION),
        ({"liveness": {"massFailure": {"thresholdPercent": 0}}}, "greater than or equal to 1"),
    ],
)
def test_policy_is_refused_where_it_is_wrong(api, pool, spec, sentence):
    assert sentence in api.refusal(pool(**spec))


@pytest.mark.parametrize(
    "balancing",
    [
        {"strategy": "Performance", "mode": "Advisory", "targetLoadPercent": 80},
        {"strategy": "Location", "mode": "Manual", "rotation": {"every": "10m"}},
        {"pins": [{"stream": "s1", "worker": "a"}, {"stream": "s2", "worker": "a"}]},
        {"exclusions": [{"stream": "s1"}, {"worker": "a"}, {"stream": "s1", "worker": "a"}]},
        # As long as everything may be: the rules have to be affordable for these too.
        {
            "pins": [{"stream": f"{n:0253}", "worker": f"{n:0253}"} for n in range(256)],
            "exclusions": [{"stream": f"{n:0253}", "worker": f"{n:0253}"} for n in range(256)],
        },
    ],
    ids=",".join,
)
def test_balancing_is_accepted(api, pool, balancing):
    assert api.create(pool(balancing=balancing))["spec"]["balancing"].items() >= balancing.items()


def test_a_pool_without_its_table_or_secret_is_refused(api, pool):
    body = pool()
    body["spec"]["source"]["postgres"] = {}
    refusal = api.refusal(body)
    assert "spec.source.postgres.table: Required value" in refusal
    assert "spec.source.postgres.secretRef: Required value" in refusal


def test_a_pool_name_has_to_fit_into_a_label(api, pool):
    api.create(pool(name="r" * 63))
    assert "at most 63 characters, because workers carry it as a label" in api.refusal(pool(name="r" * 64))


# --- StreamPool: times ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "sentences"),
    [
        # accepted
        ({}, []),
        ({"takeoverAfter": "1s"}, []),
        ({"takeoverAfter": "1001ms"}, []),
        ({"takeoverAfter": "10s"}, []),
        ({"takeoverAfter": "180s"}, []),
        ({"takeoverAfter": "8760h"}, []),
        ({"takeoverAfter": "180s", "renewInterval": "60s", "requestTimeout": "10s"}, []),
        (
            {
                "takeoverAfter": "10s",
                "renewInterval": "1s",
                "requestTimeout": "1s",
                "fenceAfter": "5s",
                "stopTime": "3s",
            },
            [],
        ),
        (
            {
                "takeoverAfter": "20s",
                "renewInterval": "5s",
                "requestTimeout": "2s",
                "warningAfter": "10s",
                "fenceAfter": "12s",
                "stopTime": "6s",
            },
            [],
        ),
        ({"stopTime": "9s"}, []),
        ({"fenceAfter": "12s"}, []),
        ({"renewInterval": "8s"}, []),
        ({"requestTimeout": "3500ms"}, []),
        ({"warningAfter": "19999ms"}, []),
        # the last millisecond that is safe, and the first that is not
        ({"fenceAfter": "12095ms"}, []),
        ({"fenceAfter": "12096ms"}, [SAFETY]),
        ({"renewInterval": "8001ms"}, [LIVENESS]),
        ({"requestTimeout": "3501ms"}, [LIVENESS]),
        ({"warningAfter": "20s"}, [WARNING]),
        # one broken by what is derived from the others
        ({"takeoverAfter": "10s", "fenceAfter": "8s"}, [SAFETY]),
        ({"takeoverAfter": "10s", "renewInterval": "5s"}, [LIVENESS]),
        ({"stopTime": "15s", "renewInterval": "2s", "requestTimeout": "1s"}, [LIVENESS]),
        ({"stopTime": "18050ms"}, [POSITIVE]),
        ({"stopTime": "19s"}, [POSITIVE, SAFETY]),
        ({"takeoverAfter": "5s", "warningAfter": "10s"}, [WARNING]),
        (
            {"takeoverAfter": "10s", "fenceAfter": "9s", "renewInterval": "9s", "warningAfter": "10s"},
            [SAFETY, LIVENESS, WARNING],
        ),
    ],
    ids=str,
)
def test_the_api_server_and_the_models_judge_times_alike(api, pool, times, sentences):
    every = {SAFETY, LIVENESS, POSITIVE, WARNING}
    try:
        Liveness.parse(times)
        offline = ""
    except ValidationError as error:
        offline = str(error)
    try:
        api.create(pool(liveness=times))
        online = ""
    except ApiError as error:
        online = str(error)
    assert {sentence for sentence in every if sentence in online} == set(sentences)
    assert {sentence for sentence in every if sentence in offline} == set(sentences)
    assert bool(online) == bool(sentences)


@pytest.mark.parametrize(
    "times",
    [
        {"takeoverAfter": "999ms"},
        {"takeoverAfter": "-60s"},
        {"takeoverAfter": "twenty seconds"},
        {"stopTime": "6"},
        {"renewInterval": "0s"},
        {"removeAfter": "1 day"},
        {"warningAfter": "99999999999h"},
    ],
    ids=str,
)
def test_a_wrongly_spelled_time_is_named_and_nothing_else_complains(api, pool, times):
    (field,) = times
    refusal = api.refusal(pool(liveness=times))
    assert f"spec.liveness.{field}: Invalid value" in refusal
    assert DURATION in refusal
    assert "evaluating rule" not in refusal


# --- FingerWorker: spec -----------------------------------------------------------------------------------


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


# --- FingerWorker: the record of what it may run ----------------------------------------------------------


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


def test_a_pool_keeps_the_newest_leader(api, pool):
    api.create(pool(), dry_run=False)
    api.patch(POOL, "radio", {"status": {"leaderEpoch": 1200, "streams": 3}})
    api.patch(POOL, "radio", {"status": {"leaderEpoch": 1300}})
    for patch in ({"status": {"leaderEpoch": 1299}}, {"status": {"leaderEpoch": None}}, {"status": None}):
        assert "status.leaderEpoch never decreases and cannot be removed" in api.patch_refusal(POOL, "radio", patch)


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


# --- kubectl get ------------------------------------------------------------------------------------------

NOW = "2026-01-02T03:04:05Z"


def condition(type_: str, status: str, reason: str):
    return {"type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": NOW}


def test_kubectl_get_fingerworkers_answers_the_first_question(api, worker):
    api.create(worker(location="datacenter-1"), dry_run=False)
    api.create(worker(name="fingerv7-002", maxStreams=75), dry_run=False)
    api.patch(
        WORKER,
        "fingerv7-001",
        {
            "status": {
                **assignment(epoch=9)["status"],
                "conditions": [condition("Ready", "True", "Active"), condition("Applied", "True", "Applied")],
                "phase": "Active",
                "assignedStreams": 34,
                "loadPercent": 68,
                "appliedEpoch": 9,
                "lastHeartbeatTime": "2026-01-02T03:04:05.123456Z",
                "report": {"version": "7.2.1", "cpuPercent": 140, "vpn": {"status": "up"}},
                "liveness": {
                    "renewInterval": "5s",
                    "requestTimeout": "2s",
                    "fenceAfter": "12s",
                    "stopTime": "6s",
                    "takeoverAfter": "20s",
                },
            }
        },
    )
    api.patch(
        WORKER,
        "fingerv7-002",
        {
            "status": {
                "conditions": [
                    condition("Ready", "False", "TakenOver"),
                    condition("Applied", "False", "NotAcknowledged"),
                ],
                "phase": "Inactive",
                "assignedStreams": 0,
                "loadPercent": 0,
            }
        },
    )
    header, first, second = api.table("fingerworkers")
    assert header == ["NAME", "READY", "POOL", "STREAMS", "CAPACITY", "LOAD%", "APPLIED", "PHASE", "AGE"]
    assert first[:-1] == ["fingerv7-001", "True", "radio", "34", "50", "68", "True", "Active"]
    assert second[:-1] == ["fingerv7-002", "False", "radio", "0", "75", "0", "False", "Inactive"]
    header, first, _ = api.table("fw", "-o", "wide")
    assert header[8:] == ["REASON", "LOCATION", "EPOCH", "APPLIED-EPOCH", "VERSION", "HEARTBEAT", "AGE"]
    assert first[8:13] == ["Active", "datacenter-1", "9", "9", "7.2.1"]


def test_kubectl_get_streampools_answers_the_first_question(api, pool):
    api.create(pool(), dry_run=False)
    api.patch(
        POOL,
        "radio",
        {
            "status": {
                "conditions": [
                    condition("Ready", "True", "Serving"),
                    condition("SourceReachable", "True", "Reachable"),
                ],
                "streams": 847,
                "assigned": 847,
                "unassigned": 0,
                "quarantined": 2,
                "workers": 8,
                "readyWorkers": 8,
                "capacity": 1245,
                "loadPercent": 68,
                "imbalancePercent": 2,
                "leaderEpoch": 1200,
                "lastRebalance": {"time": NOW, "reason": "NewWorker", "moves": 12, "duration": "1s200ms"},
                "proposal": {
                    "id": "3f0c9ae1d2b4",
                    "digest": "3f0c9ae1d2b4" * 5,
                    "moves": 1,
                    "imbalanceBefore": 40,
                    "imbalanceAfter": 3,
                    "lowerBound": 1,
                    "time": NOW,
                    "examples": [{"stream": "s1", "from": "a", "to": "b", "reason": "NewWorker"}],
                },
                "approval": {"id": "0123", "outcome": "Refused", "reason": "ProposalChanged", "time": NOW},
                "answeredRebalance": "now",
                "rotatedThrough": NOW,
                "unassignedReasons": {"NoCapacity": 1},
                "unassignedExamples": {"NoCapacity": ["s1", "s2"]},
                "quarantinedReasons": {"InvalidUrl": 2},
                "quarantinedExamples": {"InvalidUrl": ["s3"]},
                "sourceIdentity": "0123",
            }
        },
    )
    header, row = api.table("streampools")
    assert header == [
        "NAME",
        "READY",
        "STREAMS",
        "ASSIGNED",
        "UNASSIGNED",
        "WORKERS",
        "READY-WORKERS",
        "LOAD%",
        "IMBALANCE%",
        "PAUSED",
        "AGE",
    ]
    assert row[:-1] == ["radio", "True", "847", "847", "0", "8", "8", "68", "2", "false"]
    header, row = api.table("spool", "-o", "wide")
    assert header[10:] == [
        "REASON",
        "SOURCE",
        "QUARANTINED",
        "CAPACITY",
        "TAKEOVER",
        "PROPOSAL",
        "REBALANCED",
        "REPLICAS",
        "UPDATED",
        "FLEET",
        "AGE",
    ]
    assert row[10:16] == ["Serving", "Reachable", "2", "1245", "20s", "3f0c9ae1d2b4"]


def test_a_status_cannot_be_written_by_those_who_may_only_edit_the_object(api, worker):
    body = worker()
    body["status"] = {"phase": "Active"}
    assert "status" not in api.create(body)
