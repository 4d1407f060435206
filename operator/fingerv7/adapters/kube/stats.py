"""What the client counts for /metrics: requests by verb and outcome, and how long they took."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

LATENCY_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class RequestStats:
    """Plain numbers; watches are counted when they open, every attempt of a request counts by itself."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (verb, outcome): the HTTP status, or `timeout`, `connection`, `cancelled`."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By verb: the sum of the latencies."""
    buckets: dict[str, list[int]] = field(default_factory=dict)
    """By verb: how many attempts fell below each of `LATENCY_BOUNDS_S`, and above the last (not cumulative)."""

    def count(self, verb: str, outcome: str, seconds: float) -> None:
        self.requests[verb, outcome] += 1
        self.seconds[verb] = self.seconds.get(verb, 0.0) + seconds
        buckets = self.buckets.setdefault(verb, [0] * (len(LATENCY_BOUNDS_S) + 1))
        buckets[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
