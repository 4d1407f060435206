"""The objects that a fleet consists of, as the API takes them: pool, Secret, workers, and who may do what.

Sidecars get the rights of production: their own FingerWorker and their own Lease, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devenv.streams import CHANNEL, TABLE

Object = dict[str, Any]

SECRET = "streams-db"  # noqa: S105 - its name

FAST: Mapping[str, str] = {
    "renewInterval": "1s",
    "requestTimeout": "1s",
    "fenceAfter": "5s",
    "stopTime": "3s",
    "takeoverAfter": "10s",
}
"""For workers that are plain processes: a dead one is replaced within 11 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """What a worker is; becomes a FingerWorker, or the registration of its Lease."""

    name: str
    max_streams: int
    capabilities: tuple[str, ...] = ("audio_fingerprinting",)
    location: str = ""


def secret(*, host: str, port: int, database: str, user: str, password: str, ca_pem: str) -> Object:
    """The connection with verify-full."""
    keys = {"host": host, "port": str(port), "database": database, "user": user, "password": password}
    return {"metadata": {"name": SECRET}, "stringData": {**keys, "sslmode": "verify-full", "ca.crt": ca_pem}}


def stream_pool(
    name: str,
    *,
    liveness: Mapping[str, Any],
    poll_interval: str,
    notify: bool,
    registration: str,
    spec: Mapping[str, Any],
) -> Object:
    """`spec` is laid over what is built from the rest, one level deep."""
    postgres: Object = {
        "secretRef": {"name": SECRET},
        "table": TABLE,
        "columns": {"location": "location", "weight": "weight"},
        "pollInterval": poll_interval,
    }
    if notify:
        postgres["notifyChannel"] = CHANNEL
    built: Object = {
        "source": {"postgres": postgres},
        "registration": registration,
        "liveness": dict(liveness),
    }
    return {
        "apiVersion": "fingerv7.io/v1alpha1",
        "kind": "StreamPool",
        "metadata": {"name": name},
        "spec": {**built, **spec},
    }


def finger_worker(worker: WorkerSpec, pool: str) -> Object:
    spec: Object = {
        "poolRef": {"name": pool},
        "maxStreams": worker.max_streams,
        "capabilities": list(worker.capabilities),
    }
    if worker.location:
        spec["location"] = worker.location
    return {
        "apiVersion": "fingerv7.io/v1alpha1",
        "kind": "FingerWorker",
        "metadata": {"name": worker.name},
        "spec": spec,
    }


def role(name: str, rules: Sequence[Object]) -> Object:
    return {"metadata": {"name": name}, "rules": list(rules)}


def role_binding(name: str, namespace: str) -> Object:
    """Binds the Role and the ServiceAccount of this name."""
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }


def operator_rules() -> list[Object]:
    """What the chart gives it in a namespace that it serves; a unit test compares. Enough for its election too."""
    return [
        _rule("fingerv7.io", ["streampools"], "get list watch patch"),
        _rule("fingerv7.io", ["fingerworkers"], "get list watch create patch delete"),
        _rule("fingerv7.io", ["streampools/status", "fingerworkers/status"], "patch"),
        _rule("coordination.k8s.io", ["leases"], "get list watch create update delete"),
        _rule("", ["secrets"], "get"),
        _rule("", ["events"], "create patch"),
        # Managed workers: their pods, and for each an account that may do what a sidecar needs.
        _rule("", ["pods"], "get list watch create delete"),
        _rule("", ["configmaps"], "get"),
        _rule("", ["serviceaccounts"], "get create"),
        _rule("rbac.authorization.k8s.io", ["roles"], "get create patch"),
        _rule("rbac.authorization.k8s.io", ["rolebindings"], "get create"),
        _rule("policy", ["poddisruptionbudgets"], "get create patch delete"),
    ]


def sidecar_rules(worker: str) -> list[Object]:
    """Creation cannot be limited by name, for a name is not known yet when it is authorised."""
    return [
        _rule("fingerv7.io", ["fingerworkers"], "get list watch", worker),
        _rule("coordination.k8s.io", ["leases"], "get update patch", worker),
        _rule("coordination.k8s.io", ["leases"], "create"),
    ]


def _rule(group: str, resources: list[str], verbs: str, name: str = "") -> Object:
    rule: Object = {"apiGroups": [group], "resources": resources, "verbs": verbs.split()}
    if name:
        rule["resourceNames"] = [name]
    return rule
