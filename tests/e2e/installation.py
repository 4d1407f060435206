"""How the operator comes onto a cluster and off it again: the one place that a Helm chart will replace."""

from __future__ import annotations

import json
from pathlib import Path

from devenv.cluster import Cluster
from devenv.fleet_objects import operator_rules

from .manifests import RESTRICTED, RESTRICTED_POD, Object, account

ROOT = Path(__file__).parents[2]
NAME = "fingerv7-operator"
_ROLLOUT_S = 120


def install_operator(cluster: Cluster, namespace: str, image: str) -> None:
    """CRDs, rights in this namespace only, two replicas; returns when both are ready."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))
    apply(cluster, namespace, [*account(NAME, operator_rules()), _deployment(namespace, image)])
    cluster.kubectl("rollout", "status", f"deployment/{NAME}", "-n", namespace, f"--timeout={_ROLLOUT_S}s")


def uninstall_operator(cluster: Cluster, namespace: str) -> None:
    """What `install_operator` made, except the CRDs: deleting those would delete other people's objects."""
    kinds = "deployment,role,rolebinding,serviceaccount"
    for kind in kinds.split(","):
        cluster.kubectl("delete", kind, NAME, "-n", namespace, "--ignore-not-found", "--timeout=60s")


def apply(cluster: Cluster, namespace: str, objects: list[Object]) -> None:
    documents = {"apiVersion": "v1", "kind": "List", "items": objects}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(documents))


def _deployment(namespace: str, image: str) -> Object:
    labels = {"app": NAME}
    probe = {"httpGet": {"path": "/healthz", "port": 8080}}
    container = {
        "name": "operator",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "POD_NAMESPACE", "value": namespace},
            {"name": "FINGERV7_NAMESPACES", "value": namespace},
        ],
        "ports": [{"name": "http", "containerPort": 8080}],
        "startupProbe": {**probe, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {**probe, "periodSeconds": 2},
        "livenessProbe": {**probe, "periodSeconds": 10, "failureThreshold": 3},
        "securityContext": dict(RESTRICTED),
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": NAME,
                    "enableServiceLinks": False,
                    "securityContext": dict(RESTRICTED_POD),
                    "containers": [container],
                },
            },
        },
    }
