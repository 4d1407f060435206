"""What the planner is told and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Trigger(StrEnum):
    """Why a stream moves."""

    NewStream = "NewStream"
    """Nobody had it."""
    WorkerLost = "WorkerLost"
    """Its owner is no candidate any more."""
    WorkerIneligible = "WorkerIneligible"
    """Its owner drains, is excluded, or lacks a capability that the stream requires."""
    OverCapacity = "OverCapacity"
    """Its owner holds more than it can."""
    Imbalance = "Imbalance"
    """The loads are further apart than the policy tolerates."""
    NewWorker = "NewWorker"
    """As Imbalance, towards a worker that had nothing while others had something."""


class UnplacedReason(StrEnum):
    """Why a stream has no worker."""

    NoCapacity = "NoCapacity"
    NoCapableWorker = "NoCapableWorker"
    """No candidate has all capabilities that it requires."""
    NoEligibleWorker = "NoEligibleWorker"
    """Candidates have them, but none of those may be given anything new."""


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


@dataclass(frozen=True, slots=True)
class Policy:
    """When loads are uneven enough to move streams for it, and how many at a time."""

    imbalance_threshold_percent: int = 15
    max_stream_difference: int = 3
    """Distance from the fair share, as a sum of weights."""
    max_moves_per_round_percent: int = 10
    """Of all streams of the catalog; one move is always allowed. Repairs are not bounded."""
    may_balance: bool = True
    """False during the cooldown, while paused, or where the pool's mode forbids it."""


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


@dataclass(frozen=True)
class Plan:
    """The moves from today's owners to the wanted ones, and what they achieve."""

    target: Mapping[str, str]
    """Stream id → worker, for every stream that has a place."""
    moves: tuple[Move, ...]
    """Sorted by stream."""
    unplaced: tuple[Unplaced, ...]
    """Sorted by stream."""
    imbalance_before_percent: float
    """Largest distance of a worker's load from the mean, in percent points of its capacity."""
    imbalance_after_percent: float
    balanced: bool
    """Whether the target is within the policy's tolerance, or as even as capabilities allow up to that tolerance."""
    lower_bound: int
    """Fewest moves of streams with a live, keeping owner that the repairs can do with, and, where balancing was done,
    that reach the fair shares or use up the budget. Exact for equal weights where every worker can take every stream;
    elsewhere it leaves out what must move aside."""
