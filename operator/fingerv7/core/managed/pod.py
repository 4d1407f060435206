"""The pod of one managed worker: the pool's template with a sidecar, the folder that both share, and the probes and
hooks by which a kubelet keeps the times of the protocol (section 5 of the design).

Dictionaries in, dictionaries out. The template's words are kept wherever they do not contradict these parts; where
they do, `TemplateError` says so instead of overwriting them.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fingerv7.contract import REVISION, Timing, format_duration
from fingerv7.core.managed import objects
from fingerv7.core.managed.guard import FENCE_PROBE, guarded
from fingerv7.core.managed.template import (
    CONFIG_DIR,
    CONFIG_VOLUME,
    LOCAL_PORT,
    PUBLIC_PORT,
    SIDECAR_NAME,
    TOKEN_VOLUME,
    TemplateError,
    checked,
    name_for,
    the_worker,
)

__all__ = ["Recipe", "Sidecar", "TemplateError", "build_pod"]

_LAYOUT = 1
"""Raised when pods built by an older version have to be replaced. Changes that can wait for the next one do not."""
_SHORTEST_STOP_MS = 6_000
"""Period, timeout and grace of a liveness probe are 1, 1 and 2 s at least; the rest is for cleaning up."""
_PROBE_GRACE_S = 2
_STARTUP_S = 3600
_ANSWER_S = 15
"""From the moment a drain is over until the hook was answered, at most."""
_SIDECAR_END_S = 15
"""For the sidecars, which end after the worker: ours releases the Lease."""
_USER = 65532
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_S = 3607
"""A kubelet renews it long before; this number is what Kubernetes itself uses for every pod."""
_CONFIG_SIZE = "16Mi"
"""An assignment is at most 1 MB, and there are two of them while one is replaced."""
_RESOURCES = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
"""Where the pool says nothing. A limit of CPU would hold renewals up."""
_TIMES = ("RENEW_INTERVAL", "REQUEST_TIMEOUT", "FENCE_AFTER", "STOP_TIME", "TAKEOVER_AFTER")
_OWN_VARIABLES = frozenset(
    {"INSTANCE_ID", "NAMESPACE", "POOL", "POD_UID", "POD_IP", "CONFIG_DIR", "LISTEN", "PUBLIC_LISTEN", "DRAIN_KEY"}
    | {"DRAIN_ON_TERM", "REGISTER", "MAX_STREAMS", "CAPABILITIES", "LOCATION"}
    | {"KUBERNETES_API_URL", "KUBERNETES_TOKEN_FILE", "KUBERNETES_CA_FILE"}
    | set(_TIMES)
)
_THEIR_VARIABLES = (
    "ACK", "ACK_URL", "APPLY_TIMEOUT", "CONFIG_FILE_MODE", "LOG_FORMAT", "LOG_LEVEL", "REPORT_TIMEOUT", "VERSION",
    "VPN_CONTROL_KEY", "VPN_CONTROL_URL", "WORKER_GRACE", "WORKER_HEALTH_URL", "WORKER_LOCK",
)  # fmt: skip
"""And no others: an LD_PRELOAD would undo what keeps the sidecar's token apart."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """`spec.workers.sidecar`."""

    image: str
    resources: Mapping[str, Any]
    environment: Mapping[str, str | Mapping[str, Any]]
    """Settings of docs/workers.md that the operator does not set itself: a value, or a container's `valueFrom`."""
    pull_policy: str = ""
    """Empty: Kubernetes' own rule."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What every pod of a pool is made from: all that does not differ from worker to worker."""

    template: Mapping[str, Any]
    container: str
    """The name of the one that is FingerV7."""
    guard: bool
    """Whether its command is run behind the guard, for want of a worker that checks the fence itself."""
    sidecar: Sidecar
    timing: Timing
    drain_timeout_s: float
    revision: str = field(init=False)
    """A short hash of everything that makes a running pod outdated.

    Of the pool's times only what the probes and the grace are made of: a running sidecar follows the others without
    a restart, and a fleet should not be drained for them.
    """

    def __post_init__(self) -> None:
        facts = [
            _LAYOUT,
            self.template,
            self.container,
            self.guard,
            [self.sidecar.image, self.sidecar.resources or _RESOURCES, self.sidecar.environment],
            _fence_probe(self.timing),
            _grace_s(self.drain_timeout_s, self.timing),
        ]
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"), default=dict)
        object.__setattr__(self, "revision", hashlib.sha256(text.encode()).hexdigest()[:10])


def build_pod(
    recipe: Recipe, *, namespace: str, pool: str, worker: str, worker_uid: str, ordinal: int, drain_key: str
) -> dict[str, Any]:
    """The pod as it is to be created, for the FingerWorker `worker`. Raises TemplateError.

    `drain_key` opens the sidecar's `/drain` to the kubelet's preStop hook, which comes from outside of the pod.
    """
    timing, drain_timeout_s = recipe.timing, recipe.drain_timeout_s
    if timing.stop_time_ms < _SHORTEST_STOP_MS:
        raise TemplateError(
            f"spec.liveness.stopTime is {format_duration(timing.stop_time_ms)}; with workers in pods it must be at "
            "least 6s, because a kubelet needs that long to notice and stop a container (takeoverAfter: 20s gives it)"
        )
    metadata, spec = checked(recipe.template, recipe.container, guard=recipe.guard)
    environment = _environment(recipe.sidecar, namespace, pool, worker, timing, drain_key)
    spec["initContainers"].insert(0, _sidecar_container(recipe.sidecar, environment))
    name_for(spec, worker=worker, ordinal=ordinal)
    grace_s = max(_grace_s(drain_timeout_s, timing), _whole(spec.get("terminationGracePeriodSeconds")))
    hook = f"/drain?timeout={_drain_s(drain_timeout_s)}s&within={grace_s + _SIDECAR_END_S}s"
    equipped = the_worker(spec, recipe.container)
    _equip_worker(equipped, spec, timing, hook=hook, drain_key=drain_key)
    if recipe.guard:
        equipped["command"] = guarded(equipped["command"])
    spec["volumes"] += [_config_volume(), _token_volume()]
    spec["serviceAccountName"] = worker
    spec["automountServiceAccountToken"] = False
    spec["restartPolicy"] = "Always"
    spec["terminationGracePeriodSeconds"] = grace_s
    annotations = {
        "kubectl.kubernetes.io/default-container": recipe.container,
        **metadata["annotations"],
        REVISION: recipe.revision,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": worker,
            "namespace": namespace,
            "labels": {**objects.labels(pool), **metadata["labels"], **objects.selector(pool)},
            "annotations": annotations,
            "ownerReferences": [objects.owner("FingerWorker", worker, worker_uid)],
        },
        "spec": spec,
    }


# --- the worker's container -------------------------------------------------------------------------------


def _equip_worker(
    worker: dict[str, Any], spec: Mapping[str, Any], timing: Timing, *, hook: str, drain_key: str
) -> None:
    worker["volumeMounts"] = [*(worker.get("volumeMounts") or []), {"name": CONFIG_VOLUME, "mountPath": CONFIG_DIR}]
    liveness = _fence_probe(timing)
    worker["livenessProbe"] = liveness
    # Until the sidecar has the Lease: the liveness probe would end a guard that waits for it. It is not what stops a
    # worker, so it needs no grace of its own.
    worker["startupProbe"] = {
        "exec": liveness["exec"],
        "periodSeconds": 1,
        "timeoutSeconds": liveness["timeoutSeconds"],
        "failureThreshold": _STARTUP_S,
    }
    drain = {
        "path": hook,
        "port": PUBLIC_PORT,
        "scheme": "HTTP",
        "httpHeaders": [{"name": "Authorization", "value": f"Bearer {drain_key}"}],
    }
    worker["lifecycle"] = {**(worker.get("lifecycle") or {}), "preStop": {"httpGet": drain}}
    worker["securityContext"] = _restricted(worker.get("securityContext") or {}, spec.get("securityContext") or {})


def _fence_probe(timing: Timing) -> dict[str, Any]:
    """Detected, killed and cleaned up within K: what K has above 6 s goes to period and timeout, because a process
    a second in each pod is not for nothing.
    """
    spare_s = max(0, timing.stop_time_ms - _SHORTEST_STOP_MS) // 1000
    return {
        "exec": {"command": ["sh", "-c", FENCE_PROBE]},
        "periodSeconds": min(10, 1 + spare_s // 2),
        "timeoutSeconds": min(5, 1 + (spare_s - spare_s // 2)),
        "failureThreshold": 1,
        "terminationGracePeriodSeconds": _PROBE_GRACE_S,
    }


def _restricted(own: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, Any]:
    """What the Pod Security Standard `restricted` asks for, where the template says nothing about it."""
    filled = dict(own)
    said = {**pod, **own}
    if "runAsNonRoot" not in said and said.get("runAsUser") != 0:
        filled["runAsNonRoot"] = True
    if "seccompProfile" not in said:
        filled["seccompProfile"] = {"type": "RuntimeDefault"}
    if not own.get("privileged"):
        filled.setdefault("allowPrivilegeEscalation", False)
        filled.setdefault("capabilities", {"drop": ["ALL"]})
    return filled


# --- the sidecar's container ------------------------------------------------------------------------------


def _sidecar_container(sidecar: Sidecar, environment: list[dict[str, Any]]) -> dict[str, Any]:
    """A native sidecar: it is there before all other containers start and after the worker has ended."""
    health = {"httpGet": {"path": "/healthz", "port": PUBLIC_PORT, "scheme": "HTTP"}}
    return {
        "name": SIDECAR_NAME,
        "image": sidecar.image,
        **({"imagePullPolicy": sidecar.pull_policy} if sidecar.pull_policy else {}),
        "restartPolicy": "Always",
        "env": environment,
        "ports": [{"name": "fingerv7", "containerPort": PUBLIC_PORT, "protocol": "TCP"}],
        "resources": copy.deepcopy(dict(sidecar.resources or _RESOURCES)),
        # Of its own, or the pod's grace, which is long, would be given to a process that does not listen any more.
        "startupProbe": {
            **health, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 120,
            "terminationGracePeriodSeconds": 5,
        },
        "livenessProbe": {
            **health, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3,
            "terminationGracePeriodSeconds": 5,
        },
        # Of a native sidecar it counts for the pod: ready means that the worker follows.
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": PUBLIC_PORT, "scheme": "HTTP"},
            "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 3,
        },
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": CONFIG_VOLUME, "mountPath": CONFIG_DIR},
            {"name": TOKEN_VOLUME, "mountPath": _ACCOUNT, "readOnly": True},
        ],
    }  # fmt: skip


def _environment(
    sidecar: Sidecar, namespace: str, pool: str, worker: str, timing: Timing, drain_key: str
) -> list[dict[str, Any]]:
    taken = sorted(_OWN_VARIABLES & set(sidecar.environment))
    if taken:
        raise TemplateError(f"spec.workers.sidecar.env: the operator sets {', '.join(taken)} itself; leave it out")
    unknown = sorted(set(sidecar.environment) - set(_THEIR_VARIABLES))
    if unknown:
        raise TemplateError(
            f"spec.workers.sidecar.env: {', '.join(unknown)} is no setting of the sidecar; there are "
            f"{', '.join(_THEIR_VARIABLES)}"
        )
    times = (
        timing.renew_interval_ms,
        timing.request_timeout_ms,
        timing.fence_after_ms,
        timing.stop_time_ms,
        timing.takeover_after_ms,
    )
    own = {
        "INSTANCE_ID": worker,
        "NAMESPACE": namespace,
        "POOL": pool,
        "CONFIG_DIR": CONFIG_DIR,
        "LISTEN": f"127.0.0.1:{LOCAL_PORT}",
        # The pod's own address, so that it serves IPv4 and IPv6 clusters alike. The kubelet fills it in.
        "PUBLIC_LISTEN": f"$(POD_IP):{PUBLIC_PORT}",
        "DRAIN_KEY": drain_key,
        "KUBERNETES_TOKEN_FILE": f"{_ACCOUNT}/token",
        "KUBERNETES_CA_FILE": f"{_ACCOUNT}/ca.crt",
        **{name: format_duration(time_ms) for name, time_ms in zip(_TIMES, times, strict=True)},
    }
    return [
        {"name": "POD_UID", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
        *({"name": name, "value": value} for name, value in own.items()),
        *(_variable(name, value) for name, value in sidecar.environment.items()),
    ]


def _variable(name: str, value: str | Mapping[str, Any]) -> dict[str, Any]:
    """Each pod has its own copy: `name_for` fills names in."""
    if isinstance(value, str):
        return {"name": name, "value": value}
    return {"name": name, "valueFrom": copy.deepcopy(dict(value))}


# --- volumes and times ------------------------------------------------------------------------------------


def _config_volume() -> dict[str, Any]:
    """In memory: a slow or full disk of the node delays no config and no fence, and URLs with credentials are never
    on a disk.

    The kubelet makes it writable for every user of the pod, so that sidecar and worker need no user or group in
    common, and no fsGroup, which would change the owner of the template's other volumes.
    """
    return {"name": CONFIG_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": _CONFIG_SIZE}}


def _token_volume() -> dict[str, Any]:
    """What `automountServiceAccountToken` would have mounted in all containers, for the sidecar only."""
    ca = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "name": TOKEN_VOLUME,
        "projected": {
            "defaultMode": 0o444,
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": _TOKEN_S}},
                {"configMap": ca},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
            ],
        },
    }


def _drain_s(drain_timeout_s: float) -> int:
    """How long the preStop hook waits. The operator ends a drain after the pool's `drainTimeout`."""
    return math.ceil(drain_timeout_s) + _ANSWER_S


def _grace_s(drain_timeout_s: float, timing: Timing) -> int:
    """The hook, then the worker's own end, then the sidecars'."""
    return _drain_s(drain_timeout_s) + math.ceil(timing.stop_time_ms / 1000) + _SIDECAR_END_S


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
