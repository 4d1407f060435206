"""The clocks of a process, as values that a simulation can replace."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def utc_timestamp(at_s: float | None = None) -> str:
    """Now, or seconds since the epoch, as `metav1.Time` writes it."""
    at = datetime.now(UTC) if at_s is None else datetime.fromtimestamp(at_s, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_since(timestamp: str) -> float:
    """How long ago, by the wall clock; infinite for what is no timestamp. For policy, never for safety."""
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()
    except ValueError:
        return float("inf")


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds for decisions, never wall clock; RFC 3339 in UTC for what people read."""

    monotonic: Callable[[], float] = time.monotonic
    timestamp: Callable[[], str] = utc_timestamp
    since: Callable[[str], float] = seconds_since
    wall: Callable[[], float] = time.time
    """Seconds since the epoch; it may jump."""
