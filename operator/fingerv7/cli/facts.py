"""What the stored objects say about one stream, as small values.

A pool knows its streams only in numbers and a few examples, so what a status does not mention may still be so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fingerv7.contract import Acknowledgement, Release


@dataclass(frozen=True, slots=True)
class Said:
    """A condition."""

    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Grant:
    token: str
    url: str
    """Redacted."""
    name: str


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A worker's Lease."""

    holder: str
    age_s: float | None
    """Since the last renewal; None where there was none."""
    duration_s: float
    applied: Acknowledgement | None
    released: Release | None

    @property
    def silent(self) -> bool:
        return not self.holder or self.age_s is None or 0 < self.duration_s < self.age_s


@dataclass(frozen=True, slots=True)
class Holder:
    """A worker in whose assignment the stream is: granted, or taken away and not confirmed as stopped."""

    worker: str
    uid: str
    epoch: int
    grant: Grant | None
    revoked_at: int | None
    phase: str
    ready: Said | None
    takeover_after: str
    sidecar: Sidecar | None
    """None where there is no Lease."""

    @property
    def claimed_epoch(self) -> int | None:
        """What the Lease's holder says to run of this very FingerWorker."""
        lease = self.sidecar
        if (
            lease
            and lease.applied
            and (lease.applied.worker_uid, lease.applied.incarnation) == (self.uid, lease.holder)
        ):
            return lease.applied.epoch
        return None

    @property
    def confirmed_epoch(self) -> int | None:
        """An epoch above the assignment's speaks of a state that is not the stored one, and proves nothing."""
        claimed = self.claimed_epoch
        return None if claimed is None or claimed > self.epoch else claimed

    @property
    def released(self) -> bool:
        """Whether the Lease's holder proves that the worker runs nothing."""
        lease = self.sidecar
        return bool(lease and lease.released == Release(self.uid, lease.holder))


@dataclass(frozen=True, slots=True)
class Pool:
    """A StreamPool's status. `streams` is None before an operator has looked at it."""

    name: str
    exists: bool = True
    streams: int | None = None
    conditions: Mapping[str, Said] = field(default_factory=dict)
    unassigned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Examples of ids by reason."""
    quarantined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unnamed: int = 0
    """Unassigned streams and quarantined rows that are counted, but not among the examples."""

    def holds(self, condition: str) -> bool:
        return condition in self.conditions and self.conditions[condition].status == "True"
