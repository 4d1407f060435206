"""Which silent workers are taken over now: the brake on mass failure, back-off and suspected poison.

When most of a fleet goes silent at once it is more likely that the network failed than that they all died, and
giving everything to the few that are heard would break those too. So takeovers are then held for a while and
proceed at a bounded rate afterwards (design section 5). All of this is memory that may be forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fingerv7.core.liveness import Health, Verdict

BACKOFF_FIRST_S = 10.0
BACKOFF_LAST_S = 600.0
POISON_DEATHS = 3
MIN_MASS = 2
"""A mass failure is more than this many workers."""
RATE_PERCENT = 10
"""After `max_hold`, this share of the workers (at least one) is taken over per quarter of T."""


@dataclass(frozen=True, slots=True)
class MassFailure:
    """The pool's `liveness.massFailure`."""

    threshold_percent: int = 50
    max_hold_s: float = 60.0


@dataclass(slots=True)
class Takeovers:
    """Which workers were taken over, and whether the brake holds. Times are seconds, monotonic."""

    taken: dict[str, float] = field(default_factory=dict)
    held_since: float | None = None
    last_release: float = 0.0

    def decide(self, health: Mapping[str, Health], policy: MassFailure, t_s: float, now: float) -> frozenset[str]:
        """The workers taken over as of now (those of before included, until they are heard again)."""
        for name in [n for n in self.taken if n not in health or health[n].verdict is Verdict.ALIVE]:
            del self.taken[name]
        waiting = sorted(n for n, h in health.items() if h.verdict is Verdict.SILENT and n not in self.taken)
        overdue = [
            n for n, h in health.items() if h.verdict in {Verdict.SILENT, Verdict.LATE} and n not in self.taken
        ]
        recent = [n for n, at in self.taken.items() if now - at < t_s]
        known = sum(1 for h in health.values() if h.verdict is not Verdict.ABSENT) - len(self.taken) + len(recent)
        gone = len(overdue) + len(recent)
        mass = gone > MIN_MASS and gone * 100 > policy.threshold_percent * known

        if not waiting or not mass:
            self.held_since = None
            allowed = waiting
        else:
            if self.held_since is None:
                self.held_since = now
            allowed = []
            if now - self.held_since >= policy.max_hold_s and now - self.last_release >= t_s / 4:
                allowed = waiting[: max(1, math.ceil(known * RATE_PERCENT / 100))]
                self.last_release = now
        for name in allowed:
            self.taken[name] = now
        return frozenset(self.taken)


@dataclass(slots=True)
class Deaths:
    """Who keeps dying, and which streams were with them. Times are seconds, monotonic."""

    count: dict[str, int] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    gained: dict[str, dict[str, float]] = field(default_factory=dict)
    """Worker → stream → when it was granted, for grants that are still recent."""
    victims: dict[str, set[str]] = field(default_factory=dict)
    """Stream → workers that died shortly after gaining it."""

    def granted(self, worker: str, stream: str, now: float) -> None:
        self.gained.setdefault(worker, {})[stream] = now

    def died(self, worker: str, *, window_s: float, now: float) -> None:
        """A worker was taken over; what it gained within `window_s` before that is suspected."""
        if now - self.last.get(worker, -math.inf) > BACKOFF_LAST_S:
            self.count[worker] = 0
        self.count[worker] = self.count.get(worker, 0) + 1
        self.last[worker] = now
        for stream, at in self.gained.pop(worker, {}).items():
            if now - at <= window_s:
                self.victims.setdefault(stream, set()).add(worker)

    def backing_off_s(self, worker: str, now: float) -> float:
        """Seconds until the worker is eligible again; 0 when it is."""
        count = self.count.get(worker, 0)
        if not count:
            return 0.0
        delay = min(BACKOFF_FIRST_S * 2.0 ** min(count - 1, 10), BACKOFF_LAST_S)
        return max(0.0, self.last[worker] + delay - now)

    def survived(self, window_s: float, now: float) -> None:
        """Forget what is no longer recent: a stream whose worker outlived the window is innocent."""
        for worker, streams in list(self.gained.items()):
            for stream, at in list(streams.items()):
                if now - at > window_s:
                    del streams[stream]
                    self.victims.pop(stream, None)
            if not streams:
                del self.gained[worker]

    def poison(self) -> frozenset[str]:
        """Streams that three workers died of."""
        return frozenset(s for s, workers in self.victims.items() if len(workers) >= POISON_DEATHS)

    def pardon(self, streams: Iterable[str]) -> None:
        for stream in streams:
            self.victims.pop(stream, None)
