"""Built pods before a real API server: what it refuses, no table of cases would find."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devenv.cluster import Cluster
from devenv.errors import CommandError
from fingerv7.contract import Timing
from fingerv7.core.managed.pod import Recipe, Sidecar, build_pod

pytestmark = pytest.mark.integration

PLAIN = {"spec": {"containers": [{"name": "fingerv7", "image": "registry.example/fingerv7:7.4", "command": ["x"]}]}}
FULL = {
    "metadata": {"labels": {"team": "radio"}, "annotations": {"note": "kept"}},
    "spec": {
        "initContainers": [{"name": "prepare", "image": "registry.example/tools:1"}],
        "containers": [
            {
                "name": "fingerv7",
                "image": "registry.example/fingerv7:7.4",
                "command": ["python", "-m", "fingerv7"],
                "env": [
                    {"name": "WORKER", "value": "$(FINGERWORKER_NAME)"},
                    {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s-$(FINGERWORKER_NAME)", "key": "k"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "c-$(FINGERWORKER_NAME)"}}],
                "lifecycle": {},
                "readinessProbe": {"tcpSocket": {"port": 9000}},
                "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
            }
        ],
        "volumes": [
            {"name": "cache", "persistentVolumeClaim": {"claimName": "cache-$(FINGERWORKER_NAME)"}},
            {"name": "more", "projected": {"sources": [{"secret": {"name": "s-$(FINGERWORKER_NAME)"}}]}},
        ],
        "terminationGracePeriodSeconds": 30,
    },
}


@pytest.fixture
def restricted(cluster: Cluster, namespace: str) -> str:
    """A namespace that enforces the Pod Security Standard `restricted`, with the worker's account."""
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    cluster.kubectl("-n", namespace, "create", "serviceaccount", "radio-007")
    return namespace


KEY = {"secretKeyRef": {"name": "vpn-$(FINGERWORKER_NAME)", "key": "key"}}
SIDECAR = Sidecar("registry.example/sidecar:1", {}, {"WORKER_LOCK": "1", "VPN_CONTROL_KEY": KEY}, "Always")


def built(
    namespace: str,
    template: dict[str, Any],
    timing: Timing = Timing(),  # noqa: B008 - a value
    sidecar: Sidecar = SIDECAR,
) -> dict[str, Any]:
    recipe = Recipe(template, "fingerv7", guard=True, sidecar=sidecar, timing=timing, drain_timeout_s=600.0)
    return build_pod(
        recipe,
        namespace=namespace,
        pool="radio",
        worker="radio-007",
        worker_uid="5c2b9a52-0000-4000-8000-000000000007",
        ordinal=7,
        drain_key="0123456789abcdef",
    )


def create(cluster: Cluster, pod: dict[str, Any]) -> dict[str, Any]:
    """Strictly: a field that the API server does not know is an error."""
    text = cluster.kubectl("create", "--validate=strict", "-o", "json", "-f", "-", input=json.dumps(pod))
    return dict(json.loads(text))


@pytest.mark.parametrize("template", [PLAIN, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("timing", [Timing(), Timing.derive(180_000, stop_time_ms=60_000)], ids=["20s", "180s"])
def test_a_restricted_namespace_takes_the_pod(cluster, restricted, template, timing):
    if template is FULL:
        template = json.loads(json.dumps(FULL))
        container = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        template["spec"]["initContainers"][0]["securityContext"] = container
        template["spec"]["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = built(restricted, template, timing)
    stored = create(cluster, pod)
    assert stored["metadata"]["ownerReferences"] == pod["metadata"]["ownerReferences"]
    assert next(each["name"] for each in stored["spec"]["initContainers"]) == "fingerv7-sidecar"
    # No token but the one that was asked for, for the sidecar.
    assert [each["name"] for each in stored["spec"]["volumes"]] == [each["name"] for each in pod["spec"]["volumes"]]


def test_a_worker_that_wants_more_is_refused_there(cluster, restricted):
    template = json.loads(json.dumps(PLAIN))
    template["spec"]["containers"][0]["securityContext"] = {"capabilities": {"add": ["NET_ADMIN"]}}
    with pytest.raises(CommandError, match="violates PodSecurity"):
        create(cluster, built(restricted, template))


def test_a_quota_of_resources_takes_the_pod_where_nobody_says_what_the_sidecar_needs(cluster, restricted):
    hard = {"requests.cpu": "1", "requests.memory": "1Gi", "limits.memory": "1Gi"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": hard}}
    cluster.kubectl("-n", restricted, "create", "-f", "-", input=json.dumps(quota))
    # No quota controller counts here; the API server itself does while it admits pods.
    counted = json.dumps({"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}})
    merge = ("--subresource=status", "--type=merge", "-p", counted)
    cluster.kubectl("-n", restricted, "patch", "resourcequota", "small", *merge)
    template = json.loads(json.dumps(PLAIN))
    own = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}}
    template["spec"]["containers"][0]["resources"] = own
    unlimited = Sidecar("registry.example/sidecar:1", {"requests": {"cpu": "20m"}}, {})
    with pytest.raises(CommandError, match=r"must specify .*fingerv7-sidecar"):
        create(cluster, built(restricted, template, sidecar=unlimited))
    create(cluster, built(restricted, template))
