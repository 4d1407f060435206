from __future__ import annotations

from typing import Any

import pytest

from fingerv7.adapters.kube.pods import pod_from_json
from fingerv7.core.managed.model import Waiting

AT = "2026-11-22T09:00:00Z"
AT_S = 1_795_338_000.0


def raw(status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "radio-001",
            "uid": "u",
            "resourceVersion": "7",
            "creationTimestamp": AT,
            "labels": {"fingerv7.io/pool": "radio"},
            "annotations": {"fingerv7.io/revision": "abc"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "uid": "n"},
                {"apiVersion": "fingerv7.io/v1alpha1", "kind": "FingerWorker", "uid": "w"},
            ],
            **metadata,
        },
        "spec": {"containers": [{"name": "fingerv7"}]},
        "status": status or {},
    }


def test_a_pod_that_was_just_created() -> None:
    pod = pod_from_json(raw())
    assert (pod.name, pod.uid, pod.resource_version, pod.pool, pod.owner, pod.revision) == (
        "radio-001", "u", 7, "radio", "w", "abc",
    )  # fmt: skip
    assert (pod.phase, pod.ready, pod.terminating, pod.changed_s) == ("Pending", False, False, AT_S)


def test_a_pod_that_runs() -> None:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-22T09:00:30Z"}
    pod = pod_from_json(raw({"phase": "Running", "conditions": [ready]}))
    assert (pod.phase, pod.ready, pod.changed_s) == ("Running", True, AT_S + 30)


def test_a_pod_that_goes_is_gone_by_the_time_that_the_server_wrote() -> None:
    pod = pod_from_json(raw(deletionTimestamp="2026-11-22T09:01:00Z"))
    assert pod.terminating
    assert pod.gone_by_s == AT_S + 60


def test_what_containers_wait_for_init_containers_included() -> None:
    waits = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "x" * 2000}}}
    runs = {"state": {"running": {}}}
    status = {
        "initContainerStatuses": [{"name": "vpn", **waits}],
        "containerStatuses": [{"name": "fingerv7", **runs}],
    }
    assert pod_from_json(raw(status)).waiting == (Waiting("vpn", "ImagePullBackOff", "x" * 512),)


@pytest.mark.parametrize(
    ("condition", "unschedulable"),
    [
        ({"status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}, "0/3 nodes"),
        ({"status": "False", "reason": "Unschedulable"}, "no reason given"),
        ({"status": "False", "reason": "SchedulingGated", "message": "gated"}, ""),
        ({"status": "True"}, ""),
    ],
)
def test_why_no_node_takes_it(condition: dict[str, str], unschedulable: str) -> None:
    pod = pod_from_json(raw({"conditions": [{"type": "PodScheduled", **condition}]}))
    assert pod.unschedulable == unschedulable


def test_a_pod_of_nobody() -> None:
    assert pod_from_json(raw(ownerReferences=[])).owner == ""


def test_what_is_cut_was_redacted_before():
    # Half a URL would be none, and keep what its other half tells to be a password.
    pod = pod_from_json(raw({"message": "x" * 490 + " http://user:secret-and-more@host.example/path"}))
    assert "secret" not in pod.message
    assert len(pod.message) <= 512
