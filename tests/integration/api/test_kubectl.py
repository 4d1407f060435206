"""What kubectl says of both kinds, and shows of their objects."""

from __future__ import annotations

import pytest

from devenv.cluster import Cluster

from .objects import POOL, WORKER, assignment

pytestmark = pytest.mark.integration


def test_kinds_have_short_names_and_a_category(cluster: Cluster):
    lines = cluster.kubectl("api-resources", "--categories=fingerv7", "--no-headers").splitlines()
    assert [line.split() for line in lines] == [
        ["fingerworkers", "fw", "fingerv7.io/v1alpha1", "true", "FingerWorker"],
        ["streampools", "spool", "fingerv7.io/v1alpha1", "true", "StreamPool"],
    ]


def test_fields_explain_themselves(cluster: Cluster):
    assert "loses its streams to others" in cluster.kubectl("explain", "streampool.spec.liveness.takeoverAfter")
    assert "an acknowledgement at or above it" in cluster.kubectl("explain", "fw.status.assignment.revoking.epoch")


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
