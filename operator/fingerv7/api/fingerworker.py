"""FingerWorker: one worker identity, what it can do and which streams it may process."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from fingerv7.api.conditions import Conditions, WorkerPhase
from fingerv7.api.fields import (
    ATOMIC,
    Capability,
    Checked,
    Count,
    Keywords,
    Model,
    ObjectName,
    Rule,
    ShortText,
    StreamId,
    Text,
    Timestamp,
    WrittenDuration,
    validations,
)
from fingerv7.api.meta import Resource
from fingerv7.api.rules import WORKER, WORKER_SPEC
from fingerv7.contract import FINGERPRINTING as FINGERPRINTING  # noqa: PLC0414 - the commands take it from here
from fingerv7.contract import MAX_CAPABILITIES, MAX_STREAMS

CAPABILITIES = Checked(
    Rule(
        f"'{FINGERPRINTING}' in self",
        f"capabilities must contain {FINGERPRINTING}, because it is every stream's need",
    ),
    lambda capabilities: FINGERPRINTING in capabilities,
)
SET = Keywords((("x-kubernetes-list-type", "set"),))


class PoolReference(Model):
    """A StreamPool in the same namespace."""

    name: ObjectName
    """The StreamPool's name."""


class FingerWorkerSpec(Model):
    """What a worker is and can do."""

    model_config = ConfigDict(json_schema_extra=validations(*WORKER_SPEC))

    pool_ref: PoolReference
    """The pool whose streams it shares. It cannot be changed."""
    max_streams: Annotated[int, Field(ge=1, le=MAX_STREAMS)]
    """Its capacity: how many ordinary streams it can process at once."""
    capabilities: Annotated[list[Capability], Field(min_length=1, max_length=MAX_CAPABILITIES), SET, CAPABILITIES]
    """What it can do; a stream goes only to workers that can do all it requires."""
    location: ShortText | None = None
    """Where it runs."""
    performance_score_percent: Annotated[int, Field(ge=1, le=200)] | None = None
    """How well it performs, with 100 for an ordinary worker; measured from its reports when absent. Used by the
    strategy Performance only, and there at least as 25."""
    drain: bool = False
    """Move its streams away and give it no others."""


# --- status.assignment ------------------------------------------------------------------------------------

_METADATA = Annotated[dict[str, Text], Field(max_length=16)]


class AssignedStream(Model):
    """A stream that the worker may process."""

    id: StreamId
    """The stream's id."""
    url: Annotated[str, Field(min_length=1, max_length=1024, pattern="^[Hh][Tt][Tt][Pp][Ss]?://")] = Field(repr=False)
    """The stream's address, verbatim."""
    name: Text = ""
    """The stream's name for people."""
    token: Annotated[str, Field(min_length=1, max_length=63)]
    """Grows from grant to grant of the stream. The worker's config adds which acquisition of its Lease it goes with;
    a sink that refuses lower ones refuses a frozen worker's writes.
    """
    metadata: _METADATA | None = Field(default=None, repr=False)
    """Handed to the worker as it is."""
    weight: Annotated[int, Field(ge=1, le=MAX_STREAMS)] | None = None
    """How many ordinary streams it counts for; one when absent."""
    capabilities: Annotated[list[ShortText], Field(max_length=32), ATOMIC] | None = None
    """What it requires beyond audio_fingerprinting."""
    location: ShortText | None = None
    """Where it is best processed."""


class RevokingStream(Model):
    """A stream that was taken away and that the worker may still be processing."""

    id: StreamId
    """The stream's id."""
    epoch: Count
    """The epoch at which it was taken away; an acknowledgement at or above it frees the stream."""


class Assignment(Model):
    """What the worker may process."""

    epoch: Count = 0
    """Grows by one whenever what the worker should run changes; it never decreases."""
    leader_epoch: Count = 0
    """The epoch of the operator process that wrote it last; it never decreases."""
    hash: Annotated[str, Field(max_length=63)] = ""
    """The hash of the config that mirrors it, which the worker confirms."""
    streams: Annotated[list[AssignedStream], Field(max_length=MAX_STREAMS), ATOMIC] = Field(default_factory=list)
    """The streams that the worker may process."""
    revoking: Annotated[list[RevokingStream], Field(max_length=MAX_STREAMS), ATOMIC] = Field(default_factory=list)
    """Streams taken away and not confirmed as stopped; nobody else gets them before that."""


# --- status -----------------------------------------------------------------------------------------------


class WorkerTimes(Model):
    """The pool's times, copied by the operator so that the sidecar learns them."""

    renew_interval: WrittenDuration
    """How often to renew the Lease."""
    request_timeout: WrittenDuration
    """How long one request may take."""
    fence_after: WrittenDuration
    """When to empty the worker's config after the last acknowledged renewal."""
    stop_time: WrittenDuration
    """How long the worker may take to stop."""
    takeover_after: WrittenDuration
    """When the worker's streams are given to others."""


ReportedText = Annotated[str, Field(max_length=128)]
"""In the worker's own words."""


class Vpn(Model):
    """The worker's VPN, as it reports it."""

    status: ReportedText | None = None
    """Such as connected."""
    ip: ReportedText | None = None
    """The address that others see."""


class WorkerReport(Model):
    """A digest of the worker's own statistics, refreshed at a limited rate."""

    current_streams: Count | None = None
    """Streams that it says it is processing."""
    processed_count: Count | None = None
    """Recognised pieces since it started."""
    error_count: Count | None = None
    """Errors since it started."""
    cpu_percent: Count | None = None
    """Its share of a core."""
    memory_percent: Count | None = None
    """Its share of the memory that it may use."""
    last_activity: ReportedText | None = None
    """When it last processed something."""
    last_db_write: ReportedText | None = None
    """When it last wrote a result."""
    vpn: Vpn | None = None
    """Its VPN."""
    version: ReportedText | None = None
    """Its version."""


class FingerWorkerStatus(Model):
    """What the operator assigned and what it sees. Written by the operator only."""

    observed_generation: Count | None = None
    """The `metadata.generation` that the rest was derived from."""
    conditions: Conditions = Field(default_factory=list)
    """Ready, Applied, Draining."""
    phase: WorkerPhase | None = None
    """Where the worker is in its life: Pending, Registered, Active, Warning, Inactive, Recovering, Draining,
    Drained or Removed."""
    assignment: Assignment | None = None
    """The streams that the worker may process."""
    assigned_streams: Count | None = None
    """How many streams it may process."""
    load_percent: Count | None = None
    """The assigned streams' weight as a share of `maxStreams`."""
    performance_score_percent: Count | None = None
    """The score that the strategy Performance uses; absent under other strategies."""
    applied_epoch: Count | None = None
    """The epoch that the worker confirmed last."""
    incarnation: Annotated[str, Field(max_length=253)] | None = None
    """Which life of the worker holds the Lease: pod UID, slash, a nonce of the sidecar."""
    last_heartbeat_time: Timestamp | None = None
    """When the Lease was last renewed; refreshed at a limited rate."""
    liveness: WorkerTimes | None = None
    """The pool's times, for the sidecar."""
    report: WorkerReport | None = None
    """What the worker reports about itself."""


class FingerWorker(Resource):
    """One worker identity: its capacity and traits, and the streams that it may process.

    Its name is the name of its Lease. Deleting it drains the worker first.
    """

    model_config = ConfigDict(json_schema_extra=validations(*WORKER))

    kind: Literal["FingerWorker"] = "FingerWorker"
    spec: FingerWorkerSpec
    """What the worker is and can do."""
    status: FingerWorkerStatus = Field(default_factory=FingerWorkerStatus)
    """What the operator assigned and what it sees."""
