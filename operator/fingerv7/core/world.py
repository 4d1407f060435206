"""What a round of a pool looks at, and what a leader remembers from one to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from fingerv7.contract import Timing
from fingerv7.core.approval import Asked, Mode
from fingerv7.core.doubt import Claims, Doubts
from fingerv7.core.handover import Action, Write
from fingerv7.core.liveness import Observation
from fingerv7.core.model import Assignment, Lease, Stream, Worker
from fingerv7.core.override import Override
from fingerv7.core.performance import Scores
from fingerv7.core.planner import Holdings, Policy, StreamTable, WorkerTable
from fingerv7.core.reuse import Reuse
from fingerv7.core.rotation import Rota
from fingerv7.core.takeover import Deaths, MassFailure, Takeovers


@dataclass(frozen=True, slots=True)
class Rules:
    """The pool's spec, as far as a round needs it."""

    timing: Timing
    warning_after_ms: int
    mass_failure: MassFailure
    policy: Policy
    cooldown_s: float
    drain_timeout_s: float
    mode: Mode = Mode.Auto
    rotation_s: float | None = None
    """In what time each stream changes its worker once; None for never."""
    paused: bool = False
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """Everything that one round looks at, by worker name where it is by worker."""

    workers: Mapping[str, Worker]
    leases: Mapping[str, Lease]
    """Leases of these workers, whatever their label says, and Leases that carry the pool's label."""
    observations: Mapping[str, Observation]
    unknown: Mapping[str, Assignment]
    proven: Mapping[str, int]
    """Up to which epoch a direct read of its Lease has proven that a worker stopped."""
    confirmed: AbstractSet[str]
    """Workers whose silence a direct read of their Lease has confirmed: the watch is not what is silent."""
    unreadable: AbstractSet[str]
    """FingerWorkers of the namespace that cannot be understood: who knows what they hold."""
    catalog: Mapping[str, Stream] | None
    """None while the source was never read: what is held stays in force."""
    rules: Rules
    leader_epoch: int
    barrier_passed: bool
    asked: Asked = field(default_factory=Asked)
    overrides: Mapping[Override, str] = field(default_factory=dict)
    """What people overrule and were not answered yet, with the annotation's value."""
    watch_silent: bool = False
    """Whether the watch of Leases has shown nothing of anybody for half of T: it may have stalled."""
    wall_s: float = 0.0
    """Seconds since the epoch, by a clock that may jump: for policy, never for safety."""


@dataclass(slots=True)
class Memory:
    """What a leader remembers from round to round. Times are seconds, monotonic."""

    takeovers: Takeovers = field(default_factory=Takeovers)
    deaths: Deaths = field(default_factory=Deaths)
    intended: dict[str, str] = field(default_factory=dict)
    """Stream → worker, for streams on their way: a hand-over that has begun counts as done.
    Replaced, never changed."""
    triggers: dict[str, str] = field(default_factory=dict)
    """Stream → why it is on its way, to be told again when it arrives."""
    doubts: Doubts = field(default_factory=Doubts)
    claims: Claims = field(default_factory=Claims)
    behind: dict[str, float] = field(default_factory=dict)
    """UID → since when a live worker has not confirmed what is assigned to it."""
    draining: dict[str, float] = field(default_factory=dict)
    """Worker → since when it drains."""
    first_accept: float | None = None
    seen_held: dict[str, Stream] = field(default_factory=dict)
    """While the source was never read: all that was ever held, also what a dead worker is being relieved of.
    Replaced, never changed."""
    last_balance: float | None = None
    """When the last round of moves for balance began."""
    capacities: dict[str, int] = field(default_factory=dict)
    """UID → `max_streams` when that was, or when the worker was first seen after it."""
    proposed: bool = False
    """Whether a proposal is shown: then it is kept up to date, whatever the cooldown says."""
    approved: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Stream → from whom to whom: moves that were approved and have not begun yet. Replaced, never changed."""
    scores: Scores = field(default_factory=Scores)
    rota: Rota = field(default_factory=Rota)
    reuse: Reuse = field(default_factory=Reuse)
    table: tuple[Mapping[str, Stream], StreamTable] | None = None
    """A catalog, and its columns for the planner."""
    candidates: WorkerTable = field(default_factory=lambda: WorkerTable({}))
    """As the planner was last told of them."""
    holdings: Holdings = field(default_factory=Holdings)
    still: object = None
    """From what the protocol had nothing to write, the last time that it was asked."""
    served: tuple[Mapping[str, Stream], AbstractSet[str], Mapping[str, Stream]] | None = None
    """A catalog, the streams suspected of killing workers, and the one without the other."""

    def accepted(self, write: Write, now: float) -> None:
        """A write was stored."""
        for change in write.changes:
            if change.action is Action.CLEAR:
                self.doubts.vouch(change.stream)
            elif change.action is not Action.REVOKE:
                # A row that was changed is as new to its worker as one that it never had.
                self.deaths.granted(write.worker, write.assignment.grants[change.stream].stream, now)

    def balanced(self, workers: Mapping[str, Worker], moved: Iterable[str], rules: Rules, now: float) -> None:
        """A round of moves for balance has begun."""
        self.last_balance = now
        self.capacities = {worker.uid: worker.max_streams for worker in workers.values()}
        if rules.rotation_s is not None:
            self.rota.moved(frozenset(moved), every_s=rules.rotation_s)
