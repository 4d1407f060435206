"""The values that the operator thinks in: streams, workers, assignments and Leases, without any API around them.

All are immutable. Collections are keyed by id or name, and every function of `core` that iterates over them
for a decision sorts first, so that the same world gives the same answer whatever order it arrived in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from fingerv7.contract import FINGERPRINTING, Acknowledgement, Release, format_token, parse_token

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Token(NamedTuple):
    """Grows from grant to grant of a stream; a sink that refuses older ones refuses a frozen worker's writes."""

    leader_epoch: int
    sequence: int

    def __str__(self) -> str:
        return format_token(*self)

    @classmethod
    def parse(cls, text: str) -> Token:
        """Raises ValueError for what is not a token."""
        return cls(*parse_token(text))


@dataclass(frozen=True, slots=True)
class Stream:
    """One valid row of the catalog."""

    id: str
    url: str = field(repr=False)  # may carry credentials: never in a log or a traceback
    name: str = ""
    weight: int = 1
    location: str = ""
    capabilities: frozenset[str] = frozenset()
    metadata: Mapping[str, str] = field(default_factory=lambda: _NOTHING, repr=False)
    size: int = field(default=0, compare=False)
    """Bytes it takes in an assignment, serialised; derived, so no part of what makes two streams equal."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A stream that a worker may run, and under which token."""

    stream: Stream
    token: Token


@dataclass(frozen=True, slots=True)
class Assignment:
    """`status.assignment` of a FingerWorker."""

    epoch: int = 0
    leader_epoch: int = 0
    grants: Mapping[str, Grant] = field(default_factory=dict)
    """By stream id: what the worker may run."""
    revoking: Mapping[str, int] = field(default_factory=dict)
    """By stream id: taken away at that epoch, and held until that is acknowledged."""

    def holds(self, stream_id: str) -> bool:
        return stream_id in self.grants or stream_id in self.revoking

    @property
    def empty(self) -> bool:
        return not self.grants and not self.revoking


@dataclass(frozen=True, slots=True)
class Worker:
    """A FingerWorker: who it is, what it can do and what it was given."""

    name: str
    uid: str
    resource_version: int
    pool: str
    max_streams: int
    capabilities: frozenset[str] = frozenset({FINGERPRINTING})
    location: str = ""
    score_percent: int | None = None
    drain: bool = False
    """`spec.drain`: asked for by a user."""
    drain_for: str = ""
    """Why the operator empties it itself: the annotation `fingerv7.io/drain-for` of a managed worker."""
    managed: bool = False
    """Made, and removed, as the pool's `spec.workers` says."""
    deleting: bool = False
    finalizer: bool = False
    generation: int = 1
    created_by_operator: bool = False
    assignment: Assignment = Assignment()
    """Epoch 0, leader epoch 0 and nothing held, where the status has none yet."""
    tampered: bool = False
    """The stored assignment is not what its own hash says: somebody edited it, and the sidecar refuses it."""
    status: Mapping[str, object] = field(default_factory=dict, repr=False)
    """The stored status as it is, to compare a newly derived one with."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's Lease: its heartbeat and what it states about itself."""

    name: str
    uid: str
    resource_version: int
    pool: str
    holder: str
    """The incarnation; empty when nobody holds it."""
    renew_time: str
    """As written by the sidecar: compared for equality only, never with a clock."""
    duration_ms: int = 0
    """The takeover time that the sidecar declares to run under."""
    applied: Acknowledgement | None = None
    released: Release | None = None
    gone: str = ""
    """The incarnation whose worker ended by itself, beside its release."""
    drain: str = ""
    report: str = ""
    register: str = ""

    def acknowledged_epoch(self, worker: Worker) -> int | None:
        """The epoch that the present holder runs of this very FingerWorker, if it says so.

        An epoch above the stored one is none: it speaks of a state that a restored backup has undone, in which
        other streams had those epochs.
        """
        claimed = self.claimed_epoch(worker.uid)
        return None if claimed is None or claimed > worker.assignment.epoch else claimed

    def claimed_epoch(self, worker_uid: str) -> int | None:
        """The epoch in the present holder's acknowledgement of this FingerWorker, whatever it is worth."""
        applied = self.applied
        if applied and self.holder and applied.worker_uid == worker_uid and applied.incarnation == self.holder:
            return applied.epoch
        return None

    def shows_release(self, worker_uid: str) -> bool:
        """Whether the present holder proves that it runs nothing of this FingerWorker."""
        released = self.released
        return bool(
            released and self.holder and released.worker_uid == worker_uid and released.incarnation == self.holder
        )
