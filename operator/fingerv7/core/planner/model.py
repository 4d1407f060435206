"""What the planner is told and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

_NONE: Mapping[str, str] = MappingProxyType({})


class Strategy(StrEnum):
    """What an even share is."""

    Capacity = "Capacity"
    """Loads, as a share of capacity, are even."""
    Performance = "Performance"
    """As Capacity, with each capacity weighted by the worker's performance score."""
    Location = "Location"
    """A location's streams live on its own workers as far as these have room; loads are even within a location."""


class Trigger(StrEnum):
    """Why a stream moves."""

    NewStream = "NewStream"
    """Nobody had it."""
    WorkerLost = "WorkerLost"
    """Its owner is no candidate any more."""
    WorkerIneligible = "WorkerIneligible"
    """Its owner drains, or may not have it: for lack of a capability, by a pin or by an exclusion."""
    OverCapacity = "OverCapacity"
    """Its owner holds more than it can."""
    MakingRoom = "MakingRoom"
    """It leaves its place to a stream that found no other."""
    Imbalance = "Imbalance"
    """The loads are further apart than the policy tolerates."""
    NewWorker = "NewWorker"
    """As Imbalance, towards a worker that had nothing while others had something."""
    CapacityChanged = "CapacityChanged"
    """As Imbalance, to or from a worker whose capacity changed."""
    ComingHome = "ComingHome"
    """Its own location has room for it again."""
    Rotation = "Rotation"
    """Its time on this worker is over."""


BALANCING = frozenset(
    {Trigger.Imbalance, Trigger.NewWorker, Trigger.CapacityChanged, Trigger.ComingHome, Trigger.Rotation}
)
"""Triggers of moves that nobody needs at once: they wait for the cooldown, for approval, and for their budget."""


class UnplacedReason(StrEnum):
    """Why a stream has no worker."""

    NoCapacity = "NoCapacity"
    NoCapableWorker = "NoCapableWorker"
    """No candidate has all capabilities that it requires."""
    NoEligibleWorker = "NoEligibleWorker"
    """Candidates have them, but none of those may be given anything new."""
    Excluded = "Excluded"
    """The policy keeps it from every worker, or from all that could take it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker as the planner sees it."""

    name: str
    max_streams: int
    """Capacity, as a sum of weights; a weight counts as 1 at least, so that this bounds the number of streams too."""
    capabilities: frozenset[str]
    location: str = ""
    eligible: bool = True
    """May be given something new."""
    keeps: bool = True
    """May keep what it has; not so while it drains. A worker that may not keep is given nothing either."""
    max_bytes: int = 1_000_000
    """Bound on the sum of `Stream.size`."""
    reserved_weight: int = 0
    """Taken by something that the planner may not count on; its capacity is what remains."""
    reserved_bytes: int = 0
    score_percent: int = 100
    """Performance; only the strategy Performance looks at it, and only between `MIN_SCORE` and `MAX_SCORE`."""
    capacity_changed: bool = False
    """Its capacity is another one than when loads were last evened out: the reason of moves that this leads to."""


MIN_SCORE, MAX_SCORE = 25, 200
"""Bounds of a score in percent: a share stays within a factor of eight of any other for one capacity."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When loads are uneven enough to move streams for it, how many at a time, and what may not be."""

    imbalance_threshold_percent: int = 15
    max_stream_difference: int = 3
    """Distance from the fair share, as a sum of weights."""
    max_moves_per_round_percent: int = 10
    """Of all streams of the catalog; one move is always allowed. Repairs are not bounded."""
    may_balance: bool = True
    """False during the cooldown, while paused, or where the pool's mode forbids it."""
    strategy: Strategy = Strategy.Capacity
    target_load_percent: int = 100
    """Above this share of its capacity a worker gets nothing while another that could take it is below."""
    pins: Mapping[str, str] = field(default_factory=lambda: _NONE)
    """Stream → the one worker that may have it."""
    excluded_streams: frozenset[str] = frozenset()
    """Streams that nobody may have."""
    excluded_workers: frozenset[str] = frozenset()
    """Workers that are given nothing new; what they have they keep."""
    excluded_pairs: frozenset[tuple[str, str]] = frozenset()
    """(stream, worker) that may not come together."""
    rotate: Sequence[str] = ()
    """Streams whose time on their worker is over, most urgent first; they move where that leaves the loads alone."""


@dataclass(frozen=True, slots=True)
class Move:
    """`source` is None for a stream that nobody had, and may name a worker that is no candidate any more."""

    stream: str
    source: str | None
    target: str
    trigger: Trigger


@dataclass(frozen=True, slots=True)
class Unplaced:
    stream: str
    reason: UnplacedReason


@dataclass(frozen=True, slots=True)
class Alternative:
    """A worker that a stream was not given to, and why not."""

    worker: str
    why_not: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a stream is where it is, and not elsewhere. Sentences for people; names and figures, never a URL."""

    stream: str
    worker: str | None
    why: str
    alternatives: tuple[Alternative, ...]
    """At most as many as were asked for, the emptiest first; workers with one reason in common may stand together."""


@dataclass(frozen=True)
class Plan:
    """The moves from today's owners to the wanted ones, and what they achieve.

    `target`, `moves` and `unplaced` may be views that make their items when asked for them.
    """

    target: Mapping[str, str]
    """Stream id → worker, for every stream that has a place."""
    moves: Sequence[Move]
    """Sorted by stream."""
    unplaced: Sequence[Unplaced]
    """Sorted by stream."""
    imbalance_before_percent: float
    """Largest distance of a worker's load from the mean, in percent points of its capacity."""
    imbalance_after_percent: float
    owned_moves: int = 0
    """Moves of streams with a live, keeping owner: what `lower_bound` bounds."""
    loads_before: Mapping[str, float] = field(default_factory=dict)
    """Worker → weight / capacity, in percent; empty where nothing was planned."""
    loads_after: Mapping[str, float] = field(default_factory=dict)
    count_fewest: Callable[[], int] = field(default=lambda: 0, repr=False, compare=False)
    """Finds out what `lower_bound` says."""
    judge: Callable[[], bool] = field(default=lambda: True, repr=False, compare=False)
    """Finds out what `balanced` says."""

    @cached_property
    def lower_bound(self) -> int:
        """Fewest moves of streams with a live, keeping owner that the repairs can do with; one for each stream that
        came home or had its turn to rotate; and the fewest that then led to the loads which balancing reached.
        Counted from owners and loads when somebody asks, and not looked for beyond what the plan needs; exact for
        weights of one, unless there are many kinds.
        """
        return self.count_fewest()

    @cached_property
    def balanced(self) -> bool:
        """Whether the target is within the policy's tolerance, or as even as capabilities allow up to that."""
        return self.judge()
