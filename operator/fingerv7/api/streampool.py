"""StreamPool: where the streams come from, how they are balanced and how failures are judged."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from fingerv7.api.conditions import ApprovalReason, Conditions, MoveReason
from fingerv7.api.fields import (
    ATOMIC,
    Count,
    Duration,
    Identifier,
    Interval,
    Keywords,
    Model,
    ObjectName,
    Percent,
    RotationTime,
    ShortText,
    StreamId,
    TableName,
    TakeoverTime,
    Text,
    Timestamp,
    WrittenDuration,
    validations,
)
from fingerv7.api.meta import MAX_DEPTH, Resource, too_deep
from fingerv7.api.rules import EXCLUSION, POD_STOP_TIME, POD_STOP_TIME_MS, POOL, TIMES
from fingerv7.api.workers import Workers
from fingerv7.contract import Timing, parse_duration


class Registration(StrEnum):
    """Who may add workers to a pool."""

    DECLARED = "Declared"
    OPEN = "Open"


class Strategy(StrEnum):
    """What an even share is."""

    CAPACITY = "Capacity"
    PERFORMANCE = "Performance"
    LOCATION = "Location"


class Mode(StrEnum):
    """What happens with a balancing plan."""

    AUTO = "Auto"
    ADVISORY = "Advisory"
    MANUAL = "Manual"


# --- spec.source ------------------------------------------------------------------------------------------


class SecretReference(Model):
    """A Secret in the pool's own namespace."""

    name: ObjectName
    """The Secret's name."""


class Columns(Model):
    """Which column holds what. A name is used quoted, so upper and lower case matter."""

    id: Identifier = "id"
    """The stream's id: unique, of any type that prints as text."""
    url: Identifier = "url"
    """The stream's address, http or https."""
    name: Identifier = "name"
    """The stream's name for people."""
    active: Identifier = "active"
    """A boolean; only active streams are processed."""
    updated_at: Identifier = "updated_at"
    """When the row last changed."""
    metadata: Identifier = "metadata"
    """JSON: an object of at most 16 texts, handed to the worker as it is."""
    status: Identifier | None = None
    """A text; where this column is named, rows whose status is not `active` are left out as well."""
    location: Identifier | None = None
    """Where the stream is best processed."""
    capabilities: Identifier | None = None
    """A text array: what a worker must be capable of to get the stream."""
    weight: Identifier | None = None
    """A whole number: how many ordinary streams this one counts for."""


class PostgresSource(Model):
    """A table of streams in PostgreSQL. A role that may only read it is enough."""

    secret_ref: SecretReference
    """The Secret with the connection: key `uri`, or `host`, `port`, `database`, `user` and `password`; optional
    `sslmode` and `ca.crt`. It is read again on every reconnect."""
    table: TableName
    """The table or view, as `table` or `schema.table`."""
    columns: Columns = Columns()
    """The table's columns."""
    poll_interval: Interval = "30s"
    """How often the whole table is read."""
    notify_channel: Identifier | None = None
    """A channel to LISTEN on; a notification reads the table at once."""
    max_shrink_percent: Percent = 50
    """When more than this share of the streams held by workers vanishes or changes its URL at once, nothing is
    revoked until the change is confirmed."""
    shrink_confirmations: Annotated[int, Field(ge=1, le=100)] = 3
    """How many polls in a row must show the same change to confirm it."""
    statement_timeout: Interval = "10s"
    """How long one query may run."""
    connect_timeout: Interval = "10s"
    """How long connecting may take."""

    @property
    def poll_interval_ms(self) -> int:
        return parse_duration(self.poll_interval)

    @property
    def statement_timeout_ms(self) -> int:
        return parse_duration(self.statement_timeout)

    @property
    def connect_timeout_ms(self) -> int:
        return parse_duration(self.connect_timeout)


class Source(Model):
    """Where the streams come from."""

    postgres: PostgresSource
    """A table in PostgreSQL."""


# --- spec.balancing, spec.liveness ------------------------------------------------------------------------


class Rotation(Model):
    """Streams change their worker regularly, even where the loads are even."""

    every: RotationTime
    """Each stream changes its worker once in this time, spread over all of it and within `maxMovesPerRoundPercent`,
    as far as the loads stay even."""

    @property
    def every_ms(self) -> int:
        return parse_duration(self.every)


class Pin(Model):
    """A stream that only one worker may have."""

    stream: StreamId
    """The stream's id."""
    worker: ObjectName
    """The FingerWorker's name. While it cannot have the stream, nobody has it."""


class Exclusion(Model):
    """What may not come together."""

    model_config = ConfigDict(json_schema_extra=validations(EXCLUSION))

    stream: StreamId | None = None
    """A stream's id. Without a worker: nobody may have it."""
    worker: ObjectName | None = None
    """A FingerWorker's name. Without a stream: it is given nothing new, and keeps what it has."""

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.stream is None and self.worker is None:
            raise ValueError(EXCLUSION.message)
        return self


def _each_stream_once(pins: list[Pin]) -> list[Pin]:
    seen: set[str] = set()
    for pin in pins:
        if pin.stream in seen:
            raise ValueError(f"stream {pin.stream!r} is pinned twice; a stream has one worker at most")
        seen.add(pin.stream)
    return pins


_BY_STREAM = Keywords((("x-kubernetes-list-type", "map"), ("x-kubernetes-list-map-keys", ("stream",))))
"""The API server refuses a second entry of a stream itself, which costs nothing of the rules' budget."""


class Balancing(Model):
    """How streams are shared among the workers, and how eagerly they are moved."""

    strategy: Strategy = Strategy.CAPACITY
    """`Capacity`: every worker gets the same share of its capacity. `Performance`: the same, with each capacity
    weighted by the worker's performance score. `Location`: a stream's own location comes first, and loads are even
    within a location."""
    mode: Mode = Mode.AUTO
    """What happens with a plan of balancing moves. `Auto`: it is applied. `Advisory`: it is only shown, as
    `status.proposal`. `Manual`: it is shown and waits for the annotation `fingerv7.io/approve` with its id. Repairs
    (streams of lost workers, new streams, drains) are applied in every mode."""
    imbalance_threshold_percent: Percent = 15
    """How far a worker's load may be from the mean load before streams move for balance."""
    max_stream_difference: Annotated[int, Field(ge=0, le=1000)] = 3
    """How many streams a worker may be away from its fair share before streams move for balance; both tolerances
    have to be exceeded."""
    cooldown: Duration = "300s"
    """How long after a round of balancing moves no other one begins. Repairs never wait."""
    max_moves_per_round_percent: Annotated[int, Field(ge=1, le=100)] = 10
    """The largest share of all streams that one round may move for balance."""
    target_load_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """A worker loaded above this share of its capacity gets nothing while another that could take it is below; no
    such target when absent."""
    rotation: Rotation | None = None
    """Regular changes of worker; none when absent."""
    pins: Annotated[list[Pin], Field(max_length=256), _BY_STREAM, AfterValidator(_each_stream_once)] = Field(
        default_factory=list
    )
    """Streams that only one worker may have, each at most once."""
    exclusions: Annotated[list[Exclusion], Field(max_length=256), ATOMIC] = Field(default_factory=list)
    """Streams and workers that are left out, or kept apart."""

    @property
    def cooldown_ms(self) -> int:
        return parse_duration(self.cooldown)


class MassFailure(Model):
    """A brake: when so many workers go silent at once, the network is the likelier cause."""

    threshold_percent: Annotated[int, Field(ge=1, le=100)] = 50
    """Takeovers are held when more than this share of the pool's workers, and more than two, go silent within
    one `takeoverAfter`."""
    max_hold: Duration = "60s"
    """How long takeovers are held at most; afterwards they proceed at a bounded rate."""

    @property
    def max_hold_ms(self) -> int:
        return parse_duration(self.max_hold)


class Liveness(Model):
    """When a worker counts as late, stops by itself, and loses its streams. What is left out is derived."""

    model_config = ConfigDict(json_schema_extra=validations(*(time.rule() for time in TIMES)))

    takeover_after: TakeoverTime = "20s"
    """A worker silent for so long loses its streams to others."""
    renew_interval: Interval | None = None
    """How often a sidecar renews its Lease; 5/12 of `fenceAfter`, at most 10s, when absent."""
    request_timeout: Interval | None = None
    """How long one request of a sidecar may take; 1/6 of `fenceAfter`, at most 5s, when absent."""
    fence_after: Interval | None = None
    """A sidecar that could not renew for so long empties its worker's config; 9/10 of `takeoverAfter` less
    `stopTime` when absent."""
    stop_time: Interval | None = None
    """How long a worker may take to stop after its config was emptied; 3/10 of `takeoverAfter`, at most 6s, when
    absent. In pods at least 6s."""
    warning_after: Interval | None = None
    """A worker silent for so long is shown as late; half of `takeoverAfter` when absent."""
    remove_after: Interval = "24h"
    """A silent worker that the operator created itself is deleted after so long."""
    mass_failure: MassFailure = MassFailure()
    """What to do when many workers go silent at once."""

    def timing(self) -> Timing:
        """The five times of the protocol, derived where they are left out."""
        return Timing.derive(
            parse_duration(self.takeover_after),
            renew_interval_ms=_optional_ms(self.renew_interval),
            request_timeout_ms=_optional_ms(self.request_timeout),
            fence_after_ms=_optional_ms(self.fence_after),
            stop_time_ms=_optional_ms(self.stop_time),
        )

    @property
    def takeover_after_ms(self) -> int:
        return parse_duration(self.takeover_after)

    @property
    def warning_after_ms(self) -> int:
        given = _optional_ms(self.warning_after)
        return self.takeover_after_ms // 2 if given is None else given

    @property
    def remove_after_ms(self) -> int:
        return parse_duration(self.remove_after)

    @model_validator(mode="after")
    def _keeps_the_inequalities(self) -> Self:
        timing = self.timing()
        broken = [time.message for time in TIMES if not time.holds(timing, self.warning_after_ms)]
        if broken:
            raise ValueError("; ".join(broken))
        return self


def _optional_ms(text: str | None) -> int | None:
    return None if text is None else parse_duration(text)


class StreamPoolSpec(Model):
    """What is wanted of a pool."""

    model_config = ConfigDict(json_schema_extra=validations(POD_STOP_TIME))

    source: Source
    """Where the streams come from."""
    registration: Registration = Registration.DECLARED
    """`Declared`: only FingerWorkers that somebody created take part. `Open`: a worker may register itself through
    its Lease."""
    balancing: Balancing = Balancing()
    """How streams are shared among the workers."""
    liveness: Liveness = Liveness()
    """How failures are judged."""
    workers: Workers | None = None
    """The fleet that the operator runs for the pool; absent: none, and what it ran before is drained and removed."""
    drain_timeout: Duration = "10m"
    """How long a draining worker keeps streams that have no room elsewhere before it gives them up."""
    paused: bool = False
    """Plan nothing new and follow no change of the source. Hand-overs that have begun finish, and takeovers go on."""

    status_refresh_interval: Interval = "30s"
    """How often figures that change with every heartbeat are copied into the workers' status at most."""

    @property
    def drain_timeout_ms(self) -> int:
        return parse_duration(self.drain_timeout)

    @property
    def status_refresh_interval_ms(self) -> int:
        return parse_duration(self.status_refresh_interval)

    @model_validator(mode="after")
    def _gives_a_kubelet_time(self) -> Self:
        if self.workers and self.liveness.timing().stop_time_ms < POD_STOP_TIME_MS:
            raise ValueError(POD_STOP_TIME.message)
        return self


# --- status -----------------------------------------------------------------------------------------------


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


class StreamPool(Resource):
    """A table of streams and the rules by which a fleet of FingerWorkers shares it."""

    model_config = ConfigDict(json_schema_extra=validations(*POOL))

    kind: Literal["StreamPool"] = "StreamPool"
    spec: StreamPoolSpec
    """What is wanted."""
    status: StreamPoolStatus = Field(default_factory=StreamPoolStatus)
    """What the operator sees."""

    @model_validator(mode="before")
    @classmethod
    def _is_shallow(cls, document: object) -> object:
        """Before anything recurses into it: parts of a pod template are whatever somebody wrote."""
        deep = too_deep(document.get("spec"), MAX_DEPTH) if isinstance(document, Mapping) else None
        if deep is not None:
            raise PydanticCustomError(
                "too_deep",
                "{where} is nested too deep; at most {most} levels are accepted",
                {"where": ".".join(["spec", *deep[:5]]) + ("…" if len(deep) > 5 else ""), "most": MAX_DEPTH},
            )
        return document
