"""The values of a managed fleet: what is wanted, what is there, and the steps from one to the other.

A member is a FingerWorker that the pool's `spec.workers` asked for, with its pod if there is one. Everything that
takes longer than one write, such as a drain before a pod is replaced, is readable from these objects alone, so that
whoever is the leader goes on with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fingerv7.api.conditions import WorkersReady
from fingerv7.contract import DRAIN_FOR_ROLLOUT, DRAIN_FOR_SCALE_DOWN
from fingerv7.core.model import Lease, Worker

MAX_ORDINAL = 9_999


def worker_name(pool: str, ordinal: int) -> str:
    """Three digits, and more where they are needed: radio-001."""
    return f"{pool}-{ordinal:03}"


def ordinal_of(pool: str, name: str) -> int | None:
    """None for a name that `worker_name` does not give."""
    found = re.fullmatch(r"([0-9]{3,4})", name.removeprefix(f"{pool}-"))
    ordinal = int(found[1]) if found else 0
    return ordinal if ordinal and worker_name(pool, ordinal) == name else None


# --- what is wanted ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Traits:
    """What a worker is and can do: the part of a FingerWorker's spec that the pool decides."""

    max_streams: int
    capabilities: frozenset[str]
    location: str = ""

    @classmethod
    def of(cls, worker: Worker) -> Traits:
        return cls(worker.max_streams, worker.capabilities, worker.location)


@dataclass(frozen=True, slots=True)
class Scaling:
    """`spec.workers.autoscaling`."""

    least: int
    most: int
    target_percent: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """`spec.workers`, as far as a decision needs it."""

    replicas: int
    defaults: Traits
    overrides: Mapping[str, Traits] = field(default_factory=dict)
    """By FingerWorker, complete."""
    revision: str = ""
    """What a pod made now would carry; empty while none can be made."""
    max_unavailable: int = 1
    progress_s: float = 600.0
    scaling: Scaling | None = None

    def traits(self, name: str) -> Traits:
        return self.overrides.get(name, self.defaults)


# --- what is there ----------------------------------------------------------------------------------------


def is_ready(worker: Worker) -> bool:
    """Whether its status says so."""
    conditions = worker.status.get("conditions")
    stated = conditions if isinstance(conditions, list) else []
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in stated)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A container that does not run, in the kubelet's words."""

    container: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod with the label of managed workers. Times are seconds since the epoch, by the cluster's clocks."""

    name: str
    uid: str
    resource_version: int
    pool: str
    owner: str
    """The UID of the FingerWorker that it belongs to."""
    revision: str
    phase: str = "Pending"
    ready: bool = False
    changed_s: float = 0.0
    """Since when it is ready, or is not."""
    created_s: float = 0.0
    gone_by_s: float | None = None
    """While it is being deleted: when its grace is over."""
    reason: str = ""
    """Of the pod as a whole, such as Evicted."""
    message: str = ""
    unschedulable: str = ""
    """Why no node takes it."""
    waiting: tuple[Waiting, ...] = ()

    @property
    def terminating(self) -> bool:
        return self.gone_by_s is not None

    @property
    def ended(self) -> bool:
        return self.phase in {"Failed", "Succeeded"}


@dataclass(frozen=True, slots=True)
class Member:
    """One worker of the fleet."""

    worker: Worker
    ordinal: int
    pod: Pod | None = None
    lease: Lease | None = None
    unsure: bool = False
    """Whether a write with its assignment was never answered: nobody knows what it holds."""

    @property
    def name(self) -> str:
        return self.worker.name

    @property
    def holds(self) -> bool:
        """Whether it has streams, or may have."""
        return self.unsure or not self.worker.assignment.empty

    @property
    def follows(self) -> bool:
        """Whether this very pod is ready, and its sidecar has confirmed all that is assigned."""
        pod, lease = self.pod, self.lease
        if pod is None or lease is None or not pod.ready or pod.terminating:
            return False
        if not lease.holder.startswith(f"{pod.uid}/"):
            return False
        return lease.acknowledged_epoch(self.worker) == self.worker.assignment.epoch

    @property
    def in_service(self) -> bool:
        """Whether it may be given streams, as far as pod and status tell."""
        pod, worker = self.pod, self.worker
        if pod is None or not pod.ready or pod.terminating or worker.deleting or worker.drain_for:
            return False
        return is_ready(worker)

    @property
    def leaving(self) -> bool:
        return self.worker.deleting or self.worker.drain_for == DRAIN_FOR_SCALE_DOWN

    @property
    def marked(self) -> bool:
        """Whether it is emptied for its pod to be replaced."""
        return self.worker.drain_for == DRAIN_FOR_ROLLOUT


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one worker, or with all of them (no name)."""

    reason: WorkersReady
    message: str
    worker: str = ""


# --- what is to be done -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateWorker:
    name: str
    traits: Traits


@dataclass(frozen=True, slots=True)
class ChangeWorker:
    worker: Worker
    traits: Traits


@dataclass(frozen=True, slots=True)
class Mark:
    """Empty it for a reason, or no longer (empty)."""

    worker: Worker
    reason: str


@dataclass(frozen=True, slots=True)
class RemoveWorker:
    worker: Worker


class PodReason(StrEnum):
    """Why a pod is made, or deleted."""

    NEW_WORKER = "NewWorker"
    """Its worker never had one that ran."""
    ROLLOUT = "Rollout"
    """It is replaced by one from the present template."""
    SCALE_DOWN = "ScaleDown"
    """Its worker is not wanted any more."""
    ENDED = "Ended"
    """The last one is gone, failed or was evicted."""
    WORKER_GONE = "WorkerGone"
    """Its FingerWorker was deleted, by somebody else."""


@dataclass(frozen=True, slots=True)
class MakePod:
    worker: Worker
    ordinal: int
    reason: PodReason


@dataclass(frozen=True, slots=True)
class RemovePod:
    pod: Pod
    reason: PodReason
    detail: str = ""
    """For the log: the kubelet's word for how it ended."""


Step = CreateWorker | ChangeWorker | Mark | RemoveWorker | MakePod | RemovePod
