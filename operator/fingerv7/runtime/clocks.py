"""The two clocks of a process, as values that a simulation can replace."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def utc_timestamp() -> str:
    """Now, as `metav1.Time` writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
