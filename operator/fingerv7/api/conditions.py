"""What conditions say: their types, the reasons that each may carry, and the Condition itself.

Whoever reads `kubectl describe` sees these words, and alerts are written against them, so they are part of the
API: one may be added, none is renamed. The enums are strings, and `core` derives the conditions with them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from fingerv7.api.fields import Keywords, Model, Timestamp


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


# --- FingerWorker -----------------------------------------------------------------------------------------


class WorkerCondition(StrEnum):
    """Condition types of a FingerWorker."""

    READY = "Ready"
    """The worker is alive and may run streams."""
    APPLIED = "Applied"
    """The worker runs exactly what is assigned to it."""
    DRAINING = "Draining"
    """The worker is being emptied, on request or because it is being deleted."""


class WorkerReady(StrEnum):
    """Reasons of a FingerWorker's Ready."""

    ACTIVE = "Active"
    """True: heard in time."""
    NO_LEASE = "NoLease"
    """No sidecar has created the Lease yet, or somebody deleted it."""
    NO_HOLDER = "NoHolder"
    """The Lease exists and nobody holds it."""
    REGISTERING = "Registering"
    """The operator is about to stamp it, so that it may be granted streams."""
    NOT_ACKNOWLEDGED = "NotAcknowledged"
    """True: alive, but its sidecar has not said yet what the worker runs."""
    POOL_MISMATCH = "PoolMismatch"
    """The Lease's pool label differs from `spec.poolRef`."""
    POOL_NOT_FOUND = "PoolNotFound"
    """There is no StreamPool of the name in `spec.poolRef`."""
    LEASE_DURATION_LONGER = "LeaseDurationLonger"
    """The sidecar runs under a longer takeover time than the pool's."""
    LATE = "Late"
    """True still: silent for longer than `warningAfter`."""
    SILENT = "Silent"
    """Silent for `takeoverAfter`; its streams are being taken over."""
    TAKEN_OVER = "TakenOver"
    """Silent, and its streams were given to others."""
    RELEASED = "Released"
    """Its sidecar proved that the worker is gone."""
    TAKEOVER_HELD = "TakeoverHeld"
    """Silent, but so are many others: its streams wait for the brake."""
    RECOVERING = "Recovering"
    """True: heard again, not yet at its share."""
    BACKING_OFF = "BackingOff"
    """Died repeatedly; gets streams again when its back-off ends."""
    DOUBLE_HELD = "DoubleHeld"
    """A stream was found in its assignment and in another worker's."""
    DRAINING = "Draining"
    DRAINED = "Drained"


class WorkerApplied(StrEnum):
    """Reasons of a FingerWorker's Applied."""

    APPLIED = "Applied"
    """True: the worker confirmed the present epoch."""
    WAITING_FOR_WORKER = "WaitingForWorker"
    """The sidecar is alive and the worker has not confirmed the present epoch yet."""
    NOT_ACKNOWLEDGED = "NotAcknowledged"
    """The Lease's holder has acknowledged nothing of this FingerWorker."""
    NOTHING_ASSIGNED = "NothingAssigned"
    """False or True: there is no assignment to apply."""


class WorkerDraining(StrEnum):
    """Reasons of a FingerWorker's Draining."""

    NOT_REQUESTED = "NotRequested"
    DRAINING = "Draining"
    """True: streams are leaving."""
    DRAINED = "Drained"
    """True: nothing is held any more."""
    NO_CAPACITY = "NoCapacity"
    """True: what is left has no room elsewhere."""


class WorkerPhase(StrEnum):
    """Where a worker is in its life: derived from everything else, never a trigger."""

    PENDING = "Pending"
    REGISTERED = "Registered"
    ACTIVE = "Active"
    WARNING = "Warning"
    INACTIVE = "Inactive"
    RECOVERING = "Recovering"
    DRAINING = "Draining"
    DRAINED = "Drained"
    REMOVED = "Removed"


# --- StreamPool -------------------------------------------------------------------------------------------


class PoolCondition(StrEnum):
    """Condition types of a StreamPool."""

    READY = "Ready"
    """Every stream of the source is processed by a live worker, as far as the operator can do it."""
    SOURCE_REACHABLE = "SourceReachable"
    """The streams table can be read."""
    SOURCE_CHANGED = "SourceChanged"
    """The source changed so much that the operator waits for a confirmation before it revokes anything."""
    SOURCE_SHARED = "SourceShared"
    """Another pool reads the same table, so streams may be processed twice."""
    BALANCED = "Balanced"
    """The workers' loads are within tolerance."""
    CAPACITY_SUFFICIENT = "CapacitySufficient"
    """The live workers have room for every stream."""
    TAKEOVER_HELD = "TakeoverHeld"
    """So many workers went silent at once that takeovers wait."""
    STREAMS_SUSPECTED = "StreamsSuspected"
    """Streams are kept from every worker, because workers died shortly after they got them."""
    PAUSED = "Paused"
    """`spec.paused` is set."""
    WORKERS_READY = "WorkersReady"
    """The workers that `spec.workers` asks for run as it says; absent where it asks for none."""


class PoolReady(StrEnum):
    """Reasons of a StreamPool's Ready."""

    SERVING = "Serving"
    """True: every stream is assigned to a live worker."""
    STARTING = "Starting"
    """A new leader waits until no older one can still write."""
    SOURCE_NOT_READ = "SourceNotRead"
    """The source has never been read by this operator and nothing is assigned."""
    NO_WORKERS = "NoWorkers"
    """No FingerWorker refers to the pool."""
    NO_READY_WORKERS = "NoReadyWorkers"
    """None of the pool's workers is alive."""
    STREAMS_UNASSIGNED = "StreamsUnassigned"
    """Some streams are on no worker; `status.unassignedReasons` counts why."""
    INVALID_SPEC = "InvalidSpec"
    """The spec cannot be used; the last good one stays in force."""
    DRAINING = "Draining"
    """The pool is being deleted and its workers are being emptied."""


class SourceReachable(StrEnum):
    """Reasons of a StreamPool's SourceReachable."""

    REACHABLE = "Reachable"
    NOT_TRIED = "NotTried"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 (a word, not a password)
    SECRET_KEY_MISSING = "SecretKeyMissing"  # noqa: S105
    SECRET_INVALID = "SecretInvalid"  # noqa: S105
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    UNREACHABLE = "Unreachable"
    TLS_FAILED = "TlsFailed"
    DATABASE_MISSING = "DatabaseMissing"
    TABLE_MISSING = "TableMissing"
    COLUMN_MISSING = "ColumnMissing"
    PERMISSION_DENIED = "PermissionDenied"
    TIMEOUT = "Timeout"
    INVALID_DATA = "InvalidData"
    QUERY_FAILED = "QueryFailed"


class SourceChanged(StrEnum):
    """Reasons of a StreamPool's SourceChanged."""

    UNCHANGED = "Unchanged"
    """False: nothing is held back."""
    SHRUNK = "Shrunk"
    """True: more of the held streams vanished or changed their URL than `maxShrinkPercent` allows."""
    DATABASE_CHANGED = "DatabaseChanged"
    """True: the Secret points at another database than before."""
    CONFIRMED = "Confirmed"
    """False: the change was confirmed, by polls or by the annotation, and acted on."""


class SourceShared(StrEnum):
    """Reasons of a StreamPool's SourceShared."""

    EXCLUSIVE = "Exclusive"
    SHARED = "Shared"
    """True: somebody else holds the advisory lock of this table."""
    UNKNOWN = "Unknown"


class Balanced(StrEnum):
    """Reasons of a StreamPool's Balanced."""

    BALANCED = "Balanced"
    IMBALANCED = "Imbalanced"
    """Outside tolerance, and a round of moves is under way or about to start."""
    COOLING_DOWN = "CoolingDown"
    """Outside tolerance, and the cooldown since the last round has not passed."""
    ADVISORY_ONLY = "AdvisoryOnly"
    """`status.proposal` shows what would be moved; mode Advisory moves nothing for balance."""
    AWAITING_APPROVAL = "AwaitingApproval"
    """`status.proposal` waits for the annotation `fingerv7.io/approve` with its id (mode Manual)."""
    NO_READY_WORKERS = "NoReadyWorkers"


class CapacitySufficient(StrEnum):
    """Reasons of a StreamPool's CapacitySufficient."""

    SUFFICIENT = "Sufficient"
    NO_CAPACITY = "NoCapacity"
    """False: the live workers are full."""
    NO_CAPABLE_WORKER = "NoCapableWorker"
    """False: there is room, but not on workers with the capabilities that the streams require."""
    NO_READY_WORKERS = "NoReadyWorkers"
    """False: there are streams, and nobody to take any."""


class TakeoverHeld(StrEnum):
    """Reasons of a StreamPool's TakeoverHeld."""

    NOT_HELD = "NotHeld"
    MASS_FAILURE = "MassFailure"
    """True: more of the pool than `massFailure.thresholdPercent` went silent at once."""
    RELEASING = "Releasing"
    """True: `massFailure.maxHold` has passed; takeovers proceed at a bounded rate."""


class StreamsSuspected(StrEnum):
    """Reasons of a StreamPool's StreamsSuspected."""

    NONE_SUSPECTED = "NoneSuspected"
    SUSPECTED_POISON = "SuspectedPoison"
    """True: three workers died shortly after each of them got the same stream."""


class Paused(StrEnum):
    """Reasons of a StreamPool's Paused."""

    REQUESTED = "Requested"
    NOT_REQUESTED = "NotRequested"


class WorkersReady(StrEnum):
    """Reasons of a StreamPool's WorkersReady; what is wrong with single workers comes before what is under way."""

    AS_WANTED = "AsWanted"
    """True: as many as wanted, all in service, all from the present template."""
    STARTING = "Starting"
    """Pods are on their way into service."""
    SCALING_DOWN = "ScalingDown"
    """Workers that are not wanted any more are drained and removed."""
    ROLLING_OUT = "RollingOut"
    """Pods are being replaced by ones from the present template."""
    PAUSED = "Paused"
    """`spec.paused` holds a change of the fleet back."""
    ROLLOUT_STOPPED = "RolloutStopped"
    """A new pod did not come into service within `progressTimeout`; the others keep their old ones."""
    SIDECAR_IMAGE_MISSING = "SidecarImageMissing"
    """Neither `spec.workers.sidecar.image` nor the operator's FINGERV7_SIDECAR_IMAGE names one."""
    TEMPLATE_INVALID = "TemplateInvalid"
    """No pod can be built from the template."""
    NAME_TAKEN = "NameTaken"
    """An object that is not the operator's has the name of a worker, or of something that it needs."""
    OPERATOR_FORBIDDEN = "OperatorForbidden"
    """The operator lacks a right that managed workers need."""
    QUOTA_EXCEEDED = "QuotaExceeded"
    """A ResourceQuota of the namespace refuses pods."""
    POD_REFUSED = "PodRefused"
    """The API server refuses pods, for instance because of the namespace's Pod Security level."""
    IMAGE_PULL_FAILED = "ImagePullFailed"
    """An image cannot be pulled."""
    SECRET_MISSING = "SecretMissing"  # noqa: S105 (a word, not a password)
    """A container needs a Secret, or a key of one, that does not exist."""
    CONFIG_MAP_MISSING = "ConfigMapMissing"
    """A container needs a ConfigMap, or a key of one, that does not exist."""
    CONTAINER_INVALID = "ContainerInvalid"
    """A container cannot be created from what the template says."""
    CRASHING = "Crashing"
    """A container ends again and again."""
    UNSCHEDULABLE = "Unschedulable"
    """No node takes the pod."""
    POD_ENDED = "PodEnded"
    """Pods failed, ended or were evicted, and are made again after a back-off."""
    POD_STUCK = "PodStuck"
    """A pod is being deleted and does not go: its node does not answer."""
    NOT_STARTING = "NotStarting"
    """A pod is not in service after `progressTimeout`, and says no better reason."""


class Unassigned(StrEnum):
    """Why a stream is on no worker: the keys of `status.unassignedReasons`."""

    NO_CAPACITY = "NoCapacity"
    """Every worker that may have it is full."""
    NO_CAPABLE_WORKER = "NoCapableWorker"
    """No live worker has all the capabilities that it requires."""
    NO_ELIGIBLE_WORKER = "NoEligibleWorker"
    """No worker may be given anything now."""
    EXCLUDED = "Excluded"
    """`spec.balancing.pins` or `exclusions` keep it from every worker that could take it."""
    HANDOVER_PENDING = "HandoverPending"
    """Its last holder has not confirmed yet that it stopped."""
    PAUSED = "Paused"
    """The pool is paused."""
    SUSPECTED_POISON = "SuspectedPoison"
    """Several workers died shortly after they got it."""


class MoveReason(StrEnum):
    """Why a stream moves: in log lines, `status.lastRebalance` and `status.proposal`."""

    NEW_STREAM = "NewStream"
    """Nobody had it."""
    WORKER_LOST = "WorkerLost"
    """Its worker died, was released or was deleted."""
    WORKER_INELIGIBLE = "WorkerIneligible"
    """Its worker drains, or may not have it: for lack of a capability, by a pin or by an exclusion."""
    OVER_CAPACITY = "OverCapacity"
    """Its worker holds more than it can."""
    MAKING_ROOM = "MakingRoom"
    """It leaves its place to a stream that found no other."""
    IMBALANCE = "Imbalance"
    """The loads are further apart than is tolerated."""
    NEW_WORKER = "NewWorker"
    """As Imbalance, towards a worker that had nothing."""
    CAPACITY_CHANGED = "CapacityChanged"
    """As Imbalance, to or from a worker whose capacity changed."""
    COMING_HOME = "ComingHome"
    """Its own location has room for it again."""
    ROTATION = "Rotation"
    """Its time on this worker is over."""


class ApprovalReason(StrEnum):
    """Why an approval was granted or refused: `status.approval.reason`."""

    APPROVED = "Approved"
    """It names the present proposal."""
    PROPOSAL_CHANGED = "ProposalChanged"
    """It names another proposal than the present one."""
    NOTHING_PROPOSED = "NothingProposed"
    """There is nothing to approve: the loads are within tolerance, or the cooldown runs."""
    ADVISORY_ONLY = "AdvisoryOnly"
    """Mode Advisory applies no proposal."""


class Condition(Model):
    """One aspect of the present state, after the Kubernetes API conventions."""

    type: str = Field(min_length=1, max_length=64, pattern=r"^[A-Z][A-Za-z0-9]*$")
    """What is stated, such as Ready."""
    status: ConditionStatus
    """Whether it holds."""
    reason: str = Field(min_length=1, max_length=64, pattern=r"^[A-Z][A-Za-z0-9]*$")
    """Why, in one word for programs."""
    message: str = Field(default="", max_length=4096)
    """Why, in a sentence for people."""
    observed_generation: int | None = Field(default=None, ge=0)
    """The `metadata.generation` that this was derived from."""
    last_transition_time: Timestamp
    """When the status last changed."""


Conditions = Annotated[
    list[Condition],
    Field(max_length=32),
    Keywords((("x-kubernetes-list-type", "map"), ("x-kubernetes-list-map-keys", ("type",)))),
]
