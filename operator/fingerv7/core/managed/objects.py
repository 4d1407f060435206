"""The objects around a managed worker, as the API takes them: its FingerWorker, account and rights, and the budget.

Everything that belongs to one worker is owned by its FingerWorker, and that by the StreamPool, so that the garbage
collector takes away what the operator does not. `blockOwnerDeletion` would need a right of its own.
"""

from __future__ import annotations

from typing import Any

from fingerv7.contract import FINALIZER, GROUP, MANAGED_LABEL, POOL_LABEL, VERSION
from fingerv7.core.managed.model import Traits

Json = dict[str, Any]

_API = f"{GROUP}/{VERSION}"


def selector(pool: str) -> dict[str, str]:
    """Labels that all pods of the pool's managed workers carry, and nothing else."""
    return {POOL_LABEL: pool, MANAGED_LABEL: "true"}


def labels(pool: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "fingerv7-worker",
        "app.kubernetes.io/instance": pool,
        "app.kubernetes.io/component": "worker",
        "app.kubernetes.io/part-of": "fingerv7",
        "app.kubernetes.io/managed-by": "fingerv7-operator",
        **selector(pool),
    }


def finger_worker(name: str, traits: Traits, *, pool: str, pool_uid: str) -> Json:
    return {
        "apiVersion": _API,
        "kind": "FingerWorker",
        "metadata": {
            "name": name,
            "labels": labels(pool),
            "finalizers": [FINALIZER],
            "ownerReferences": [owner("StreamPool", pool, pool_uid)],
        },
        "spec": {"poolRef": {"name": pool}, **trait_fields(traits)},
    }


def trait_fields(traits: Traits) -> Json:
    """The part of a FingerWorker's spec that the pool decides; null takes out a location."""
    fields: Json = {"maxStreams": traits.max_streams, "capabilities": sorted(traits.capabilities)}
    return {**fields, "location": traits.location} if traits.location else fields


def service_account(worker: str, worker_uid: str, pool: str) -> Json:
    """Its token is mounted where the pod says so, and nowhere by itself."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(worker, worker_uid, pool),
        "automountServiceAccountToken": False,
    }


def role(worker: str, worker_uid: str, pool: str) -> Json:
    """Its own FingerWorker and its own Lease, which the operator makes: nothing else, and nothing to create."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": _metadata(worker, worker_uid, pool),
        "rules": [
            {
                "apiGroups": [GROUP],
                "resources": ["fingerworkers"],
                "resourceNames": [worker],
                "verbs": ["get", "watch"],
            },
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "resourceNames": [worker],
                "verbs": ["get", "update"],
            },
        ],
    }


def role_binding(worker: str, worker_uid: str, pool: str, namespace: str) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": _metadata(worker, worker_uid, pool),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": worker},
        "subjects": [{"kind": "ServiceAccount", "name": worker, "namespace": namespace}],
    }


def budget_name(pool: str) -> str:
    return f"{pool}-workers"


def disruption_budget(pool: str, pool_uid: str, *, min_available: int) -> Json:
    """One worker at a time is evicted; a pod that is not ready may go at any time, or it would hold up its node.

    For pods of an owner without a scale subresource the eviction API takes whole numbers only.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": budget_name(pool),
            "labels": labels(pool),
            "ownerReferences": [owner("StreamPool", pool, pool_uid)],
        },
        "spec": {
            "minAvailable": min_available,
            "selector": {"matchLabels": selector(pool)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _metadata(worker: str, worker_uid: str, pool: str) -> Json:
    return {
        "name": worker,
        "labels": labels(pool),
        "ownerReferences": [owner("FingerWorker", worker, worker_uid)],
    }


def owner(kind: str, name: str, uid: str) -> Json:
    """The reference of one of our kinds as an owner."""
    return {
        "apiVersion": _API,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
