"""Where one stream is, as one word: an ordered chain of questions to the facts, of which the first answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fingerv7.api.conditions import PoolCondition, PoolReady
from fingerv7.cli.facts import Holder, Pool

_UNFINISHED = frozenset({PoolReady.STARTING, PoolReady.SOURCE_NOT_READ, PoolReady.INVALID_SPEC, PoolReady.DRAINING})
"""Reasons of a pool's Ready under which its counts do not tell of every row."""


class State(StrEnum):
    RUNNING = "Running"
    """On exactly one worker, which is alive and confirmed it. The only good answer."""
    UNCONFIRMED = "Unconfirmed"
    """On one worker, which has not confirmed its present assignment."""
    SILENT = "Silent"
    """On one worker that has not been heard for too long."""
    DOUBLE_HELD = "DoubleHeld"
    """In two workers' assignments."""
    STOPPING = "Stopping"
    """Taken away, and not confirmed as stopped."""
    QUARANTINED = "Quarantined"
    """Its row cannot be served as it is."""
    UNASSIGNED = "Unassigned"
    """In the catalog and on nobody, for a known reason."""
    NOT_ACTIVE = "NotActive"
    """On nobody, and everything that the operator read is accounted for."""
    UNKNOWN = "Unknown"
    """On nobody, and the status does not tell why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    stream: str
    namespace: str
    pool: Pool
    holders: Sequence[Holder]
    state: State
    reason: str = ""
    """Of QUARANTINED and UNASSIGNED: the operator's word."""


def decide(stream: str, namespace: str, pool: Pool, holders: Sequence[Holder]) -> Verdict:
    """`holders` are the workers of that pool that hold the stream."""
    for question in _QUESTIONS:
        if found := question(stream, pool, holders):
            return Verdict(stream, namespace, pool, holders, *found)
    return Verdict(stream, namespace, pool, holders, State.UNKNOWN)


_Answer = tuple[State, str] | None


def _twice(_stream: str, _pool: Pool, holders: Sequence[Holder]) -> _Answer:
    return (State.DOUBLE_HELD, "") if len(holders) > 1 and any(h.grant for h in holders) else None


def _granted(_stream: str, _pool: Pool, holders: Sequence[Holder]) -> _Answer:
    for holder in holders:
        if holder.grant:
            if holder.released:
                return State.UNCONFIRMED, ""
            if holder.sidecar is None or holder.sidecar.silent:
                return State.SILENT, ""
            return (State.RUNNING if holder.confirmed_epoch == holder.epoch else State.UNCONFIRMED), ""
    return None


def _revoked(_stream: str, _pool: Pool, holders: Sequence[Holder]) -> _Answer:
    return (State.STOPPING, "") if holders else None


def _quarantined(stream: str, pool: Pool, _holders: Sequence[Holder]) -> _Answer:
    return next(((State.QUARANTINED, reason) for reason, ids in pool.quarantined.items() if stream in ids), None)


def _unassigned(stream: str, pool: Pool, _holders: Sequence[Holder]) -> _Answer:
    return next(((State.UNASSIGNED, reason) for reason, ids in pool.unassigned.items() if stream in ids), None)


def _not_active(_stream: str, pool: Pool, _holders: Sequence[Holder]) -> _Answer:
    ready = pool.conditions.get(PoolCondition.READY)
    held_back = any(pool.holds(each) for each in (PoolCondition.SOURCE_CHANGED, PoolCondition.PAUSED))
    if ready is None or ready.reason in _UNFINISHED or held_back or not pool.holds(PoolCondition.SOURCE_REACHABLE):
        return None
    return None if pool.unnamed else (State.NOT_ACTIVE, "")


_QUESTIONS: tuple[Callable[[str, Pool, Sequence[Holder]], _Answer], ...] = (
    _twice,
    _granted,
    _revoked,
    _quarantined,
    _unassigned,
    _not_active,
)
