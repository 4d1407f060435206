"""Which silent workers are taken over now: the brake on mass failure, back-off and suspected poison.

When most of a fleet goes silent at once it is more likely that the network failed than that they all died, and
giving everything to the few that are heard would break those too. So takeovers are then held for a while and
proceed at a bounded rate afterwards (design section 5). All of this is memory that may be forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from fingerv7.core.liveness import Health, Verdict
from fingerv7.core.model import Stream

BACKOFF_FIRST_S = 10.0
BACKOFF_LAST_S = 600.0
POISON_DEATHS = 3
SHORTLY_S = 10.0
"""A stream that kills its worker does so within this time."""
QUARANTINE_S = 1800.0
"""How long a suspected stream is kept from everybody."""
MIN_MASS = 2
"""A mass failure is more than this many workers."""
MASS_LASTS_S = 160.0
"""A worker that ended by itself counts for a mass failure through its back-off, this long at most, and one T more."""
RATE_PERCENT = 10
"""After `max_hold`, this share of the workers (at least one) is taken over per quarter of T."""


@dataclass(frozen=True, slots=True)
class MassFailure:
    """The pool's `liveness.massFailure`."""

    threshold_percent: int = 50
    max_hold_s: float = 60.0

    def is_mass(self, failed: int, workers: int) -> bool:
        return failed > MIN_MASS and failed * 100 > self.threshold_percent * workers


@dataclass(slots=True)
class Takeovers:
    """Which workers were taken over, and whether the brake holds. Times are seconds, monotonic."""

    taken: dict[str, float] = field(default_factory=dict)
    """Worker → when it was taken over, until it is heard again."""
    unconfirmed: list[str] = field(default_factory=list)
    """Silent workers whose Lease has to be read directly first: it may be the watch that is silent."""
    held_since: float | None = None
    released: list[str] = field(default_factory=list)
    """Those that the last decision took over only because somebody released the brake."""
    at_peace: bool = True
    """Whether at the last decision nobody who holds streams was late or silent: there is nothing to release."""
    mass: bool = False
    """Whether the workers taken over last were part of a mass failure, which says nothing of their streams."""
    last_mass: float = -math.inf
    """When the last mass failure was seen."""
    last_release: float = -math.inf
    _overridden: bool = False
    """Somebody released the brake for this mass failure, and it stays so until that is over."""

    def decide(
        self,
        health: Mapping[str, Health],
        *,
        holding: AbstractSet[str],
        confirmed: AbstractSet[str],
        policy: MassFailure,
        t_s: float,
        now: float,
        override: bool = False,
        watch_silent: bool = False,
    ) -> frozenset[str]:
        """The workers taken over as of now (those of before included, until they are heard again).

        Only workers that are `holding` streams count for the brake: the long dead, who hold nothing, are no news.
        When a network is mended, workers are heard again one after the other, and once half of them are the rest is
        no mass any more; so a brake that held goes on holding for one T, in which the living among them are heard.
        `confirmed`: whose silence a direct read has shown. `override`: the brake does not hold.
        `watch_silent`: the watch has shown nothing of anybody lately, so who is late is read directly, too, before a
        mass is made of it.
        """
        for name in [n for n in self.taken if n not in health or health[n].verdict is Verdict.ALIVE]:
            del self.taken[name]
        silent = sorted(n for n, h in health.items() if h.verdict is Verdict.SILENT and n not in self.taken)
        for name in silent:
            if name not in holding:
                self.taken[name] = -math.inf
        waiting = [n for n in silent if n in holding and (n in confirmed or health[n].reason == "PoolMismatch")]
        self.unconfirmed = [n for n in silent if n in holding and n not in waiting]
        if watch_silent and waiting:
            late = {n for n, h in health.items() if h.verdict is Verdict.LATE and n not in self.taken}
            self.unconfirmed += sorted((late & holding) - confirmed)
        self.mass = self._mass(health, holding, policy, t_s, now)
        self._overridden &= self.mass
        if self.mass:
            self.last_mass = now
        ending = self.held_since is not None and now - self.last_mass < t_s and not watch_silent
        self.released = []
        if not waiting or not (self.mass or ending):
            self.held_since = None
            allowed = waiting
        elif override or self._overridden:
            self._overridden, self.held_since = True, None
            allowed = self.released = waiting
        else:
            if self.held_since is None:
                self.held_since = now
            allowed = []
            if now - self.held_since >= policy.max_hold_s and now - self.last_release >= t_s / 4:
                allowed = waiting[: max(1, math.ceil(len(health) * RATE_PERCENT / 100))]
                self.last_release = now
        for name in allowed:
            self.taken[name] = now
        return frozenset(self.taken)

    def _mass(
        self, health: Mapping[str, Health], holding: AbstractSet[str], policy: MassFailure, t_s: float, now: float
    ) -> bool:
        # Who is late is on the way to silence: counting only the silent would let the first of a mass go.
        late = {Verdict.SILENT, Verdict.LATE}
        overdue = sum(1 for n, h in health.items() if h.verdict in late and n in holding and n not in self.taken)
        self.at_peace = not overdue
        recent = sum(1 for at in self.taken.values() if now - at < t_s)
        alive = sum(1 for h in health.values() if h.verdict is Verdict.ALIVE)
        gone = overdue + recent
        return policy.is_mass(gone, alive + gone)


class Suspect(NamedTuple):
    """A stream as it was when workers died of it: with another URL it is another one."""

    id: str
    url: str


@dataclass(slots=True)
class Deaths:
    """Who keeps dying, and which streams were with them. Times are seconds, monotonic."""

    count: dict[str, int] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    """Workers that ended by themselves, as their sidecars state, and are not back yet."""
    ended: dict[str, float] = field(default_factory=dict)
    """Worker that ended by itself → until when that counts for a mass failure."""
    gained: dict[str, dict[Suspect, float]] = field(default_factory=dict)
    """Worker → stream → when it was granted, for grants that are still recent."""
    victims: dict[Suspect, dict[str, float]] = field(default_factory=dict)
    """Stream → workers that died shortly after gaining it, and when."""

    def granted(self, worker: str, stream: Stream, now: float) -> None:
        self.gained.setdefault(worker, {})[Suspect(stream.id, stream.url)] = now

    def died(self, worker: str, *, last_heard: float, now: float, of_its_streams: bool = True) -> None:
        """A worker died; what it gained shortly before it was last heard, or after, is suspected.

        Not so where many went silent together (`of_its_streams` False): that was the network.
        """
        if self._is_forgiven(worker, now):
            self.count[worker] = 0
        self.count[worker] = self.count.get(worker, 0) + 1
        self.last[worker] = now
        for suspect, at in self.gained.pop(worker, {}).items():
            if of_its_streams and at >= last_heard - SHORTLY_S:
                self.victims.setdefault(suspect, {})[worker] = now

    def newly_gone(self, gone: AbstractSet[str]) -> list[str]:
        """Those of the workers that ended by themselves whose end is news."""
        fresh = sorted(gone - self.gone)
        self.gone = set(gone)
        return fresh

    def ended_by_themselves(
        self, names: Sequence[str], *, alive: AbstractSet[str], policy: MassFailure, t_s: float, now: float
    ) -> None:
        """These workers died although their sidecars live on.

        When most of a pool does, that has a common cause. A stream is it only if it was with most of them, as poison
        that is passed on is; against the others it is no evidence, and what the first of the mass said of them before
        it was one is taken back. It lasts as long as they keep dying after their back-offs: by then one after the
        other, each with what the one before had.
        """
        for name in names:
            # It may have been restarted a few times before its sidecar gave up waiting for it.
            self.died(name, last_heard=now - t_s, now=now)
            self.ended[name] = now + min(self.backing_off_s(name, now), MASS_LASTS_S) + t_s
        self.ended = {name: until for name, until in self.ended.items() if now < until}
        ended = self.ended.keys()
        if not names or not policy.is_mass(len(ended), len(alive | ended)):
            return
        for suspect, deaths in list(self.victims.items()):
            of_these = deaths.keys() & ended
            if len(of_these) < POISON_DEATHS or len(of_these) * 2 <= len(ended):
                self.victims[suspect] = {name: at for name, at in deaths.items() if name not in ended}
                if not self.victims[suspect]:
                    del self.victims[suspect]

    def backing_off_s(self, worker: str, now: float) -> float:
        """Seconds until the worker is eligible again; 0 when it is."""
        if not self.count.get(worker):
            return 0.0
        return max(0.0, self._eligible_at(worker) - now)

    def survived(self, window_s: float, now: float) -> None:
        """Forget what is no longer recent: a stream whose worker outlived the window is innocent."""
        # By age and not with the worker: a FingerWorker that is deleted and made again begins no new back-off, and a
        # death of longer ago neither delays anybody nor counts for the next one.
        for worker in [name for name in self.last if self._is_forgiven(name, now)]:
            del self.last[worker], self.count[worker]
        for worker, streams in list(self.gained.items()):
            for stream in [i for i, at in streams.items() if now - at > window_s]:
                del streams[stream]
                self.victims.pop(stream, None)
            if not streams:
                del self.gained[worker]
        for stream, deaths in list(self.victims.items()):
            if now - max(deaths.values()) > QUARANTINE_S:
                del self.victims[stream]

    def suspected(self, catalog: Mapping[str, Stream], now: float) -> dict[str, float]:
        """Streams of the catalog that three workers died of lately, and for how many seconds nobody gets them.

        After that they get another chance, and at once where somebody has given them another URL.
        """
        return {
            suspect.id: max(deaths.values()) + QUARANTINE_S - now
            for suspect, deaths in self.victims.items()
            if len(deaths) >= POISON_DEATHS
            and now - max(deaths.values()) <= QUARANTINE_S
            and (stream := catalog.get(suspect.id))
            and stream.url == suspect.url
        }

    def forgive(self) -> list[str]:
        """End every back-off; whose."""
        forgiven = sorted(self.count)
        self.count.clear()
        self.last.clear()
        return forgiven

    def acquit(self, streams: Iterable[str]) -> None:
        """Forget what is said against these streams."""
        innocent = set(streams)
        for suspect in [each for each in self.victims if each.id in innocent]:
            del self.victims[suspect]

    def _eligible_at(self, worker: str) -> float:
        delay = min(BACKOFF_FIRST_S * 2.0 ** min(self.count[worker] - 1, 10), BACKOFF_LAST_S)
        return self.last[worker] + delay

    def _is_forgiven(self, worker: str, now: float) -> bool:
        """Whether it was eligible for long enough since its last death: a back-off itself is no good conduct."""
        return bool(self.count.get(worker)) and now - self._eligible_at(worker) > BACKOFF_LAST_S
