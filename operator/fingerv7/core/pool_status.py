"""The status of a StreamPool: counts, conditions and sentences that a tired person understands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fingerv7.contract import APPROVE, RELEASE_STREAMS, RELEASE_TAKEOVERS
from fingerv7.core.override import counted
from fingerv7.core.status import Condition

Json = dict[str, Any]
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class SourceView:
    """What is known of the source."""

    reachable: bool
    reason: str
    message: str
    shared: bool = False
    changed: bool = False
    changed_reason: str = ""
    changed_message: str = ""
    identity: str = ""
    quarantined: Sequence[tuple[str, str]] = ()
    """Id and reason of every row that is not served."""


@dataclass(frozen=True, slots=True)
class PoolView:
    """Everything that the status is derived from."""

    generation: int
    leader_epoch: int
    streams: int
    assigned: int
    unassigned: Sequence[tuple[str, str]]
    """Stream id and reason."""
    workers: int
    ready: int
    silent: Sequence[tuple[str, float]]
    """Names of silent or late workers, and for how many seconds."""
    moving_in_s: float | None
    """Seconds until the streams of the most silent of them move."""
    capacity: int
    weight: int
    imbalance_percent: float
    balanced: bool
    cooling_down: bool
    source: SourceView
    starting: str
    """What a new leader still waits for; empty when it is at work."""
    paused: bool
    deleting: bool
    held: int = 0
    """Silent workers whose takeover the brake holds."""
    held_streams: int = 0
    release_in_s: float = 0.0
    suspected: Mapping[str, float] = field(default_factory=dict)
    """Streams that are kept from everybody → for how many seconds."""
    last_rebalance: Mapping[str, Any] = field(default_factory=dict)
    mode: str = "Auto"
    proposal: Mapping[str, Any] | None = None
    """As the status shows it."""


def pool_status(view: PoolView) -> Json:
    """The whole status, conditions without times (see `status.dated`)."""
    # Plain text: a JSON encoder takes no enum for a key.
    reasons = Counter(str(reason) for _, reason in view.unassigned)
    quarantined = Counter(str(reason) for _, reason in view.source.quarantined)
    status: Json = {
        "observedGeneration": view.generation,
        "leaderEpoch": view.leader_epoch,
        "streams": view.streams,
        "assigned": view.assigned,
        "unassigned": len(view.unassigned),
        "quarantined": len(view.source.quarantined),
        "workers": view.workers,
        "readyWorkers": view.ready,
        "capacity": view.capacity,
        "loadPercent": round(100 * view.weight / view.capacity) if view.capacity else 0,
        "imbalancePercent": round(view.imbalance_percent),
        # Null takes out what a merge patch would leave standing.
        "unassignedReasons": _exactly(reasons),
        "unassignedExamples": _examples(view.unassigned) or None,
        "quarantinedReasons": _exactly(quarantined),
        "quarantinedExamples": _examples(view.source.quarantined) or None,
        "conditions": [
            _ready(view, reasons),
            _reachable(view.source),
            _changed(view.source),
            Condition("SourceShared", True, "Shared", "another pool reads this table: streams may be processed twice")
            if view.source.shared
            else Condition("SourceShared", False, "Exclusive", ""),
            _balanced(view),
            _capacity(view, reasons),
            _held(view),
            _suspected(view),
            Condition("Paused", view.paused, "Requested" if view.paused else "NotRequested", ""),
        ],
    }
    if view.source.identity:
        status["sourceIdentity"] = view.source.identity
    if view.last_rebalance:
        status["lastRebalance"] = dict(view.last_rebalance)
    return status


def _ready(view: PoolView, reasons: Mapping[str, int]) -> Condition:
    if view.deleting:
        return Condition("Ready", False, "Draining", f"being deleted; {view.assigned} streams to hand back")
    if view.starting:
        return Condition("Ready", False, "Starting", view.starting)
    if not view.workers:
        return Condition("Ready", False, "NoWorkers", "no FingerWorker refers to this pool")
    if not view.ready:
        return Condition("Ready", False, "NoReadyWorkers", f"none of {view.workers} workers is alive")
    if not view.source.identity and not view.streams:
        return Condition("Ready", False, "SourceNotRead", view.source.message or "the source was not read yet")
    silent = _silence(view)
    if view.unassigned:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        message = f"{len(view.unassigned)} of {view.streams} streams are on no worker: {why}"
        return Condition("Ready", False, "StreamsUnassigned", f"{message}; {silent}" if silent else message)
    return Condition("Ready", True, "Serving", silent or f"{view.streams} streams on {view.ready} workers")


def _silence(view: PoolView) -> str:
    if not view.silent:
        return ""
    longest = max(seconds for _, seconds in view.silent)
    sentence = f"{len(view.silent)} of {view.workers} workers silent for {longest:.0f} s"
    if view.held:
        return f"{sentence}; {view.held_streams} streams wait for the brake"
    if view.moving_in_s is not None:
        return f"{sentence}; their streams move in {view.moving_in_s:.0f} s"
    return sentence


def _reachable(source: SourceView) -> Condition:
    return Condition("SourceReachable", source.reachable, source.reason, source.message)


def _changed(source: SourceView) -> Condition:
    reason = source.changed_reason or ("Shrunk" if source.changed else "Unchanged")
    return Condition("SourceChanged", source.changed, reason, source.changed_message)


def _balanced(view: PoolView) -> Condition:
    if not view.ready:
        return Condition("Balanced", False, "NoReadyWorkers", "")
    imbalance = f"imbalance {view.imbalance_percent:.0f} %"
    if view.proposal:
        # Turns of rotation and ways home are proposed also where the loads are even.
        imbalance += (
            f"; proposal {view.proposal['id']} would leave {view.proposal['imbalanceAfter']} %, "
            f"moves: {view.proposal['moves']}"
        )
        if view.mode == "Manual":
            imbalance += f"; the annotation {APPROVE}={view.proposal['id']} approves it"
    if view.balanced:
        return Condition("Balanced", True, "Balanced", imbalance)
    if view.proposal:
        return Condition(
            "Balanced", False, "AwaitingApproval" if view.mode == "Manual" else "AdvisoryOnly", imbalance
        )
    if view.cooling_down:
        return Condition("Balanced", False, "CoolingDown", f"{imbalance}; cooldown runs")
    return Condition("Balanced", False, "Imbalanced", imbalance)


def _capacity(view: PoolView, reasons: Mapping[str, int]) -> Condition:
    if reasons.get("NoCapableWorker"):
        count = reasons["NoCapableWorker"]
        return Condition(
            "CapacitySufficient", False, "NoCapableWorker", f"no live worker has the capabilities of {count} streams"
        )
    if reasons.get("NoCapacity"):
        return Condition(
            "CapacitySufficient",
            False,
            "NoCapacity",
            f"{reasons['NoCapacity']} streams find no room on {view.ready} workers with {view.capacity} places",
        )
    if view.streams and not view.ready and not view.starting:
        return Condition(
            "CapacitySufficient", False, "NoReadyWorkers", f"{view.streams} streams, and no worker is ready"
        )
    return Condition("CapacitySufficient", True, "Sufficient", f"{view.weight} of {view.capacity} places taken")


def _held(view: PoolView) -> Condition:
    if not view.held:
        return Condition("TakeoverHeld", False, "NotHeld", "")
    message = f"{view.held} of {view.workers} workers went silent at once; takeovers "
    ask = f"the annotation {RELEASE_TAKEOVERS}=now takes over from all of them at once"
    if view.release_in_s > 0:
        return Condition(
            "TakeoverHeld", True, "MassFailure", f"{message}are held for {view.release_in_s:.0f} s; {ask}"
        )
    return Condition("TakeoverHeld", True, "Releasing", f"{message}proceed at a bounded rate; {ask}")


def _suspected(view: PoolView) -> Condition:
    if not view.suspected:
        return Condition("StreamsSuspected", False, "NoneSuspected", "")
    left_min = min(view.suspected.values()) / 60
    message = (
        f"{counted(view.suspected, 'stream')} kept from every worker: three workers died shortly after they got "
        f"{'it' if len(view.suspected) == 1 else 'them'}. Tried again in {left_min:.0f} min, with another URL at "
        f"once, or by the annotation {RELEASE_STREAMS}=now"
    )
    return Condition("StreamsSuspected", True, "SuspectedPoison", message)


def _exactly(counts: Mapping[str, int]) -> Json | None:
    return dict(sorted(counts.items())) or None


def _examples(pairs: Iterable[tuple[str, str]]) -> Json:
    found: dict[str, list[str]] = {}
    for name, reason in sorted(pairs):
        examples = found.setdefault(str(reason), [])
        if len(examples) < EXAMPLES:
            examples.append(name)
    return dict(sorted(found.items()))
