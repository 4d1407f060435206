"""What a user applies: a pool with managed workers; or one for workers of his own, with rights for their sidecars and
a StatefulSet of sidecar and worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]

POOL = "radio"
DATABASE = "streams-db"
JOURNAL = "journal"
"""Names of the Secrets."""
WORKER = "fingerv7"
SIDECAR = "fingerv7-sidecar"
VPN = "vpn"
"""Containers of managed workers."""
PORT = 8089

# docs/workers.md has this line: it needs no more than a POSIX shell.
FENCE_HOLDS = (
    "read s d b </config/fence && read u _ </proc/uptime && read i </proc/sys/kernel/random/boot_id && "
    '[ "$b" = "$i" ] && a=$((${u%.*} - ${s%.*})) && [ $a -ge 0 ] && [ $a -lt ${d%.*} ]'
)
_DRAIN = (
    f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}/drain?timeout=25s&within=45s').read()"
)

RESTRICTED_POD: Mapping[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def namespace(name: str) -> Object:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def plain_pod(name: str, image: str, command: list[str] | None = None) -> Object:
    """One container that Pod Security lets through, and nothing of ours."""
    container: Object = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": dict(RESTRICTED),
    }
    if command is not None:
        container["command"] = command
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "kept"}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 3,
            "securityContext": dict(RESTRICTED_POD),
            "containers": [container],
        },
    }


def secret(name: str, values: Mapping[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(values)}


def pool(name: str = POOL, table: str = "streams", **spec: Any) -> Object:
    """The times of failures are the defaults."""
    source = {
        "secretRef": {"name": DATABASE},
        "table": table,
        "columns": {"location": "location", "weight": "weight"},
        "notifyChannel": "streams_changed",
    }
    return {
        "apiVersion": "fingerv7.io/v1alpha1",
        "kind": "StreamPool",
        "metadata": {"name": name},
        "spec": {"source": {"postgres": source}, **spec},
    }


def declared_worker(name: str, *, finalizers: list[str]) -> Object:
    return {
        "apiVersion": "fingerv7.io/v1alpha1",
        "kind": "FingerWorker",
        "metadata": {"name": name, "finalizers": finalizers},
        "spec": {"poolRef": {"name": POOL}, "maxStreams": 1, "capabilities": ["audio_fingerprinting"]},
    }


def managed_workers(count: int, *, worker_image: str, max_streams: int) -> Object:
    """`spec.workers`: the sidecar's image is the chart's business, and so is all that `restricted` asks for."""
    env = [
        {"name": "WORKER_NAME", "value": "$(FINGERWORKER_NAME)"},
        {"name": "CONFIG_DIR", "value": "/config"},
        {"name": "JOURNAL_DSN", "valueFrom": {"secretKeyRef": {"name": JOURNAL, "key": "dsn"}}},
    ]
    container = {
        "name": WORKER,
        "image": worker_image,
        "command": ["python3", "-m", "reference_worker"],
        "env": env,
        "securityContext": {"readOnlyRootFilesystem": True},
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "journal", "mountPath": "/etc/journal", "readOnly": True}],
    }
    volumes = [{"name": "journal", "secret": {"secretName": JOURNAL}}]
    return {
        "replicas": count,
        "template": {"spec": {"containers": [container], "volumes": volumes}},
        "sidecar": {
            "env": [{"name": "WORKER_LOCK", "value": "1"}],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        },
        "defaults": {"maxStreams": max_streams},
    }


def vpn_beside(workers: Object, *, image: str) -> Object:
    """The same workers, each with what plays examples/vpn's container: an account from a Secret of its own."""
    container = {
        "name": VPN,
        "image": image,
        "restartPolicy": "Always",
        "command": ["python3", "-c", "import signal, sys; signal.signal(15, lambda *_: sys.exit()); signal.pause()"],
        "envFrom": [{"secretRef": {"name": "vpn-$(FINGERWORKER_NAME)"}}],
        "securityContext": {**RESTRICTED, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    spec = {**workers["template"]["spec"], "initContainers": [container]}
    return {**workers, "template": {"spec": spec}}


def worker_names(count: int) -> list[str]:
    return [f"{WORKER}-{number}" for number in range(count)]


def worker_rights(count: int) -> list[Object]:
    """One account for all, limited to the objects of their names."""
    names = worker_names(count)
    rules = [
        {
            "apiGroups": ["fingerv7.io"],
            "resources": ["fingerworkers"],
            "resourceNames": names,
            "verbs": ["get", "watch"],
        },
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": names,
            "verbs": ["get", "update"],
        },
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    ]
    return account(WORKER, rules)


def account(name: str, rules: list[Object]) -> list[Object]:
    """A ServiceAccount with a Role of its name."""
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name}],
        },
    ]


def workers(count: int, *, sidecar_image: str, worker_image: str, max_streams: int) -> Object:
    """The token is mounted into the sidecar only."""
    labels = {"app": WORKER}
    config = {"name": "config", "mountPath": "/config"}
    name = {"name": "INSTANCE_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    token = {"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    sidecar = {
        "name": "sidecar",
        "image": sidecar_image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "env": [
            name,
            {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            {"name": "POOL", "value": POOL},
            {"name": "MAX_STREAMS", "value": str(max_streams)},
            {"name": "WORKER_LOCK", "value": "1"},
        ],
        "securityContext": dict(RESTRICTED),
        "resources": {"requests": {"cpu": "20m", "memory": "48Mi"}, "limits": {"memory": "128Mi"}},
        "volumeMounts": [config, token],
    }
    probe = {"exec": {"command": ["sh", "-c", FENCE_HOLDS]}, "periodSeconds": 1}
    worker = {
        "name": "fingerv7",
        "image": worker_image,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "WORKER_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "CONFIG_DIR", "value": "/config"},
            {"name": "JOURNAL_DSN", "valueFrom": {"secretKeyRef": {"name": JOURNAL, "key": "dsn"}}},
        ],
        "startupProbe": {**probe, "failureThreshold": 3600},
        "livenessProbe": {**probe, "timeoutSeconds": 1, "failureThreshold": 1, "terminationGracePeriodSeconds": 2},
        "lifecycle": {"preStop": {"exec": {"command": ["python3", "-c", _DRAIN]}}},
        "securityContext": dict(RESTRICTED),
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [config, {"name": "journal", "mountPath": "/etc/journal", "readOnly": True}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": WORKER, "labels": labels},
        "spec": {
            "serviceName": WORKER,
            "replicas": count,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": WORKER,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 40,
                    "securityContext": dict(RESTRICTED_POD),
                    "initContainers": [sidecar],
                    "containers": [worker],
                    "volumes": [
                        {"name": "config", "emptyDir": {}},
                        {"name": "journal", "secret": {"secretName": JOURNAL}},
                        {"name": "token", "projected": {"sources": _token_sources()}},
                    ],
                },
            },
        },
    }


def _token_sources() -> list[Object]:
    """What the API server would mount by itself, into every container."""
    return [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {
            "downwardAPI": {
                "items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]
            }
        },
    ]
