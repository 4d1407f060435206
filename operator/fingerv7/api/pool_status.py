"""`status` of a StreamPool: what the operator sees of the source, the workers, and its own moves."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from fingerv7.api.conditions import ApprovalReason, Conditions, MoveReason
from fingerv7.api.fields import ATOMIC, Count, Model, ShortText, StreamId, Text, Timestamp, WrittenDuration

ReasonCounts = Annotated[dict[str, Count], Field(max_length=32)]
WorkerName = Annotated[str, Field(max_length=253)]
"""In a status: the operator wrote it, so that no rule is spent on it."""
ReasonExamples = Annotated[dict[str, Annotated[list[Text], Field(max_length=5), ATOMIC]], Field(max_length=32)]


class LastRebalance(Model):
    """The last round of moves."""

    time: Timestamp
    """When it began."""
    reason: ShortText
    """Why most of its streams moved."""
    moves: Count
    """How many streams it moved."""
    reasons: ReasonCounts | None = None
    """How many streams it moved for which reason."""
    duration: WrittenDuration | None = None
    """How long it took until the last move was finished; absent while it is under way."""
    balanced_time: Timestamp | None = None
    """When the last round with moves for balance began: the cooldown counts from there."""


class ProposedMove(Model):
    """One stream of a proposal."""

    stream: StreamId
    """The stream's id."""
    source: WorkerName | None = Field(default=None, alias="from")
    """The worker that has it; absent for a stream that nobody has."""
    target: WorkerName = Field(alias="to")
    """The worker that is to have it."""
    reason: MoveReason
    """Why it moves."""


class Proposal(Model):
    """A round of moves for balance that is not applied by itself."""

    id: ShortText
    """Names exactly these moves: the annotation `fingerv7.io/approve` with this value applies them in mode Manual."""
    digest: Annotated[str, Field(max_length=128)]
    """The SHA-256 of all moves, of which the id is the beginning."""
    moves: Count
    """How many streams would move."""
    imbalance_before: Count
    """How far the most uneven worker's load is from the mean load now, in percent."""
    imbalance_after: Count
    """How far it would be afterwards."""
    lower_bound: Count | None = None
    """The fewest moves that could reach this."""
    time: Timestamp
    """When exactly these moves were first proposed."""
    examples: Annotated[list[ProposedMove], Field(max_length=20), ATOMIC] = Field(default_factory=list)
    """The first of the moves, in the order of streams."""


class ApprovalOutcome(StrEnum):
    """What became of an approval."""

    APPROVED = "Approved"
    REFUSED = "Refused"


class Approval(Model):
    """The answer to the annotation `fingerv7.io/approve`.

    Each value is answered once: remove the annotation, or change it, to be answered again.
    """

    id: ShortText
    """The annotation's value."""
    outcome: ApprovalOutcome
    """`Approved`: those moves were begun. `Refused`: nothing was done."""
    reason: ApprovalReason
    """Why, in one word for programs."""
    message: Text = ""
    """Why, in a sentence for people."""
    time: Timestamp
    """When it was answered."""


class StreamPoolStatus(Model):
    """What the operator sees. Written by the operator only."""

    observed_generation: Count | None = None
    """The `metadata.generation` that the rest was derived from."""
    conditions: Conditions = Field(default_factory=list)
    """Ready, SourceReachable, SourceChanged, SourceShared, Balanced, CapacitySufficient, TakeoverHeld,
    StreamsSuspected, Paused; with `spec.workers` also WorkersReady."""
    streams: Count | None = None
    """Active streams in the source."""
    assigned: Count | None = None
    """Streams that a live worker was given."""
    unassigned: Count | None = None
    """Streams that nobody was given."""
    quarantined: Count | None = None
    """Rows of the source that cannot be served as they are."""
    workers: Count | None = None
    """FingerWorkers of the pool."""
    ready_workers: Count | None = None
    """Those of them that are alive."""
    replicas: Count | None = None
    """Workers that the operator runs, those on their way out included."""
    ready_replicas: Count | None = None
    """Those of them that are in service: the pod is ready and the worker alive."""
    updated_replicas: Count | None = None
    """Those of them whose pod is made from the present template."""
    desired_replicas: Count | None = None
    """How many there are to be: `spec.workers.replicas`, or what autoscaling came to."""
    selector: Annotated[str, Field(max_length=512)] | None = None
    """Finds the pods of the workers that the operator runs."""
    capacity: Count | None = None
    """How many streams the ready workers may have together."""
    load_percent: Count | None = None
    """Assigned streams as a share of the capacity."""
    imbalance_percent: Count | None = None
    """How far the most uneven worker's load is from the mean load."""
    leader_epoch: Count | None = None
    """The epoch of the operator process that wrote this; it never decreases."""
    last_rebalance: LastRebalance | None = None
    """The last round of moves."""
    proposal: Proposal | None = None
    """The moves for balance that mode Advisory or Manual would make now; absent when there are none."""
    approval: Approval | None = None
    """The answer to the annotation `fingerv7.io/approve`; absent when there is no such annotation."""
    answered_rebalance: ShortText | None = None
    """The value of the annotation `fingerv7.io/rebalance` that was answered; the same value is not answered again
    until the annotation was removed."""
    answered_overrides: Annotated[dict[str, ShortText], Field(max_length=16)] | None = None
    """The values of the annotations `fingerv7.io/release-takeovers`, `fingerv7.io/end-back-off` and
    `fingerv7.io/release-streams` that were answered, by annotation; the same value is not answered again until the
    annotation was removed."""
    rotated_through: Timestamp | None = None
    """Streams whose turn to change their worker came before this time had it."""
    unassigned_reasons: ReasonCounts | None = None
    """How many streams are unassigned for which reason."""
    unassigned_examples: ReasonExamples | None = None
    """A few ids of unassigned streams for each reason."""
    quarantined_reasons: ReasonCounts | None = None
    """How many rows are quarantined for which reason."""
    quarantined_examples: ReasonExamples | None = None
    """A few ids of quarantined rows for each reason."""
    confirmed_source_change: ShortText | None = None
    """The last change of the source that the annotation confirmed; it is not confirmed by the same value again."""
    source_identity: Text | None = None
    """Which database the streams were last read from, as a hash: another one is a change that asks for
    confirmation."""
