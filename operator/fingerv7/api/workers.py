"""`spec.workers` of a StreamPool: the pods that the operator runs as its workers.

The pod template is the user's: only what a rule looks at is described, here and in `template`; everything else of it
is kept as it is and judged when a pod is built and created.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from fingerv7.api.fields import (
    Capability,
    Checked,
    Duration,
    Interval,
    Keywords,
    Model,
    Rule,
    ShortText,
    Text,
    validations,
)
from fingerv7.api.fingerworker import CAPABILITIES, SET
from fingerv7.api.template import WORKER_RULES, container_schema, pod_schema
from fingerv7.contract import FINGERPRINTING, MAX_CAPABILITIES, MAX_STREAMS, parse_duration

MAX_REPLICAS = 5_000
MAX_OVERRIDES = 1_000

Replicas = Annotated[int, Field(ge=0, le=MAX_REPLICAS)]
AtLeastOne = Annotated[int, Field(ge=1, le=MAX_REPLICAS)]
MaxStreams = Annotated[int, Field(ge=1, le=MAX_STREAMS)]
Capabilities = Annotated[
    list[Annotated[str, Field(max_length=63)]], Field(min_length=1, max_length=MAX_CAPABILITIES), SET, CAPABILITIES
]
"""Of one of a thousand overrides: how each is spelled is left to the FingerWorker's own rule."""
SpelledCapabilities = Annotated[list[Capability], Field(min_length=1, max_length=MAX_CAPABILITIES), SET, CAPABILITIES]
Labels = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=128)]

_BY_NAME = Keywords((("x-kubernetes-list-type", "map"), ("x-kubernetes-list-map-keys", ("name",))))

_ORDINAL = "(00[1-9]|0[1-9][0-9]|[1-9][0-9]{2,3})"
"""001 to 9999."""

_NAME = f"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?-{_ORDINAL}$"
_OVERRIDE_NAME = Checked(
    Rule(
        f"self.matches('{_NAME}')",
        "an override is for the worker that it names: write the StreamPool's own name, a dash and the worker's "
        "number with at least three digits, from 001 to 9999, such as radio-003",
    ),
    lambda name: re.fullmatch(_NAME, name) is not None,
)

_CONTAINER = Rule(
    "self.template.spec.containers.exists(c, c.name == self.container)",
    "template.spec.containers has no container of the name in spec.workers.container; name the one that is FingerV7",
)
_ONE_SOURCE = Rule(
    "has(self.valueFrom) ? has(self.valueFrom.secretKeyRef) != has(self.valueFrom.configMapKeyRef) && "
    "!has(self.value) : has(self.value)",
    "an environment variable of the sidecar needs exactly one of value, valueFrom.secretKeyRef and "
    "valueFrom.configMapKeyRef",
)
_KEY_BY_REFERENCE = Rule(
    "self.name != 'VPN_CONTROL_KEY' || (has(self.valueFrom) && has(self.valueFrom.secretKeyRef))",
    "VPN_CONTROL_KEY is a secret, which everybody who may read the pool would see here; put it into a Secret and "
    "name that in valueFrom.secretKeyRef",
)
_BOUNDS = Rule(
    "self.minReplicas <= self.maxReplicas",
    "minReplicas must be at most maxReplicas",
)


class FenceCheck(StrEnum):
    """Who stops a worker when its fence expires, also where no liveness probe does."""

    GUARD = "Guard"
    """A shell script that the operator puts before the container's `command`, which it must have."""
    WORKER = "Worker"
    """The worker itself: before it starts, before it adopts a config, and every second."""


class PodMetadata(Model):
    """Labels and annotations for every worker's pod, beside the operator's own."""

    labels: Labels = Field(default_factory=dict)
    """Keys below fingerv7.io/ belong to the operator."""
    annotations: Labels = Field(default_factory=dict)
    """Keys below fingerv7.io/ belong to the operator."""


class PodContainer(Model):
    """A container, as in any pod."""

    model_config = ConfigDict(extra="allow", json_schema_extra=container_schema)

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """The container's name."""


class PodSpec(Model):
    """A pod's spec; what is not described here is taken as it is."""

    model_config = ConfigDict(extra="allow", json_schema_extra=pod_schema)

    containers: Annotated[list[PodContainer], Field(min_length=1, max_length=32), _BY_NAME]
    """FingerV7 and what else runs beside it."""


class PodTemplate(Model):
    """What every worker's pod is made from."""

    metadata: PodMetadata = PodMetadata()
    """Labels and annotations of the pods."""
    spec: PodSpec
    """As in any pod. `$(FINGERWORKER_NAME)` and `$(FINGERWORKER_ORDINAL)` are replaced in environment values and in
    the names of Secrets and ConfigMaps."""


class PullPolicy(StrEnum):
    """When a node fetches an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class KeyReference(Model):
    """A key of a Secret or ConfigMap in the pool's namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """The object's name, in which `$(FINGERWORKER_NAME)` and `$(FINGERWORKER_ORDINAL)` are replaced."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Which of its keys."""


class VariableSource(Model):
    """Where a value stands."""

    secret_key_ref: KeyReference | None = None
    """In a Secret."""
    config_map_key_ref: KeyReference | None = None
    """In a ConfigMap."""


class EnvironmentVariable(Model):
    """One setting: a value, or where it stands."""

    model_config = ConfigDict(json_schema_extra=validations(_ONE_SOURCE, _KEY_BY_REFERENCE))

    name: Annotated[str, Field(min_length=1, max_length=63, pattern="^[A-Z][A-Z0-9_]*$")]
    """Such as ACK or WORKER_LOCK."""
    value: Text | None = None
    """Its value, in which `$(FINGERWORKER_NAME)` and `$(FINGERWORKER_ORDINAL)` are replaced."""
    value_from: VariableSource | None = None
    """Where its value stands. VPN_CONTROL_KEY is only taken from a Secret."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        refs = self.value_from or VariableSource()
        named = [each for each in (refs.secret_key_ref, refs.config_map_key_ref) if each is not None]
        if len(named) + (self.value is not None) != 1 or (self.value_from is not None and not named):
            raise ValueError(_ONE_SOURCE.message)
        if self.name == "VPN_CONTROL_KEY" and refs.secret_key_ref is None:
            raise ValueError(_KEY_BY_REFERENCE.message)
        return self


class SidecarSettings(Model):
    """The sidecar that every worker's pod gets."""

    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Its image; the operator's FINGERV7_SIDECAR_IMAGE when absent."""
    image_pull_policy: PullPolicy | None = None
    """When nodes fetch it: Always, IfNotPresent or Never. When absent, FINGERV7_SIDECAR_PULL_POLICY counts for the
    operator's image, and Kubernetes' own rule for one that is named here."""
    resources: dict[str, Any] = Field(default_factory=dict)
    """Its `requests` and `limits`, as of any container. When absent: 20m of CPU and 64Mi of memory are requested, and
    128Mi of memory are the limit."""
    env: Annotated[list[EnvironmentVariable], Field(max_length=64), _BY_NAME] = Field(default_factory=list)
    """Settings of the sidecar (docs/workers.md), such as ACK, WORKER_LOCK, WORKER_HEALTH_URL or VPN_CONTROL_URL."""


class WorkerDefaults(Model):
    """What every worker is and can do, unless an override says otherwise."""

    max_streams: MaxStreams = 50
    """How many ordinary streams it can process at once."""
    capabilities: SpelledCapabilities = [FINGERPRINTING]  # noqa: RUF012 - pydantic copies it, and the CRD needs to see it
    """What it can do."""
    location: ShortText | None = None
    """Where it runs."""


class WorkerOverride(Model):
    """What one worker is and can do, where it differs."""

    name: Annotated[str, Field(max_length=63), _OVERRIDE_NAME]
    """The FingerWorker's name: the pool's, a dash and the number, such as radio-003."""
    max_streams: MaxStreams | None = None
    """How many ordinary streams it can process at once."""
    capabilities: Capabilities | None = None
    """What it can do."""
    location: ShortText | None = None
    """Where it runs."""


class Rollout(Model):
    """How pods are replaced when the template changes."""

    max_unavailable: AtLeastOne = 1
    """How many workers may be out of service for it at a time."""
    progress_timeout: Interval = "10m"
    """A new pod that is not in service after so long stops the rollout."""

    @property
    def progress_timeout_ms(self) -> int:
        return parse_duration(self.progress_timeout)


class Autoscaling(Model):
    """As many workers as the streams of the pool need; `replicas` is not looked at."""

    model_config = ConfigDict(json_schema_extra=validations(_BOUNDS))

    min_replicas: AtLeastOne = 1
    """Never fewer."""
    max_replicas: AtLeastOne
    """Never more."""
    target_load_percent: Annotated[int, Field(ge=1, le=100)] = 80
    """Which share of the workers' places is meant to be taken."""
    stabilization_window: Duration = "5m"
    """The fleet shrinks to the most that was needed within this time."""

    @property
    def stabilization_window_ms(self) -> int:
        return parse_duration(self.stabilization_window)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(_BOUNDS.message)
        return self


class Workers(Model):
    """The fleet that the operator runs for the pool: a FingerWorker and a pod for each number from 1."""

    model_config = ConfigDict(json_schema_extra=validations(_CONTAINER, *WORKER_RULES))

    replicas: Replicas = 1
    """How many; `kubectl scale streampool` changes it."""
    template: PodTemplate
    """What every worker's pod is made from. A change is rolled out."""
    container: Annotated[str, Field(min_length=1, max_length=63)] = "fingerv7"
    """Which container of the template is FingerV7."""
    fence_check: FenceCheck = FenceCheck.GUARD
    """Who stops it when its fence expires: Guard, which needs the container to have a `command`, or Worker, if it
    checks the fence itself before it starts, before it adopts a config, and every second."""
    sidecar: SidecarSettings = SidecarSettings()
    """The sidecar that every worker's pod gets."""
    defaults: WorkerDefaults = WorkerDefaults()
    """What every worker is and can do. A change is applied to the FingerWorkers, without new pods."""
    overrides: Annotated[list[WorkerOverride], Field(max_length=MAX_OVERRIDES), _BY_NAME] = Field(
        default_factory=list
    )
    """Workers that differ from the defaults."""
    rollout: Rollout = Rollout()
    """How pods are replaced when the template changes."""
    autoscaling: Autoscaling | None = None
    """Absent: as many as `replicas` says."""

    @model_validator(mode="after")
    def _has_its_container(self) -> Self:
        if self.container not in {each.name for each in self.template.spec.containers}:
            raise ValueError(_CONTAINER.message)
        return self
