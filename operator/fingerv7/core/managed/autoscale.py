"""How many workers the streams of a pool need.

No metric that Kubernetes collects knows it: the demand is in the catalog, and streams without a place are the ones
that no worker's CPU shows.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import groupby

from fingerv7.core.managed.model import Scaling, Traits
from fingerv7.core.model import Stream

MAX_NEEDS = 200
"""As many different requirements are looked at by themselves, the heaviest; the others count altogether only."""

Demand = Counter[frozenset[str]]
"""Capabilities that streams require → the weight of those streams."""


def demand(catalog: Iterable[Stream], excluded: AbstractSet[str] = frozenset()) -> Demand:
    """Of all streams that somebody may have, whether they have a place or not."""
    found: Demand = Counter()
    for stream in catalog:
        if stream.id not in excluded:
            found[stream.capabilities] += stream.weight
    return found


def placeable(asked: Demand, fleet: Collection[Traits]) -> Demand:
    """Without what nobody in the fleet can take, however many there are."""
    kinds = {each.capabilities for each in fleet}
    found = Demand({need: weight for need, weight in asked.items() if any(need <= kind for kind in kinds)})
    if len(found) > MAX_NEEDS:
        for need, weight in found.most_common()[MAX_NEEDS:]:
            del found[need]
            found[frozenset()] += weight
    return found


class Slack:
    """The places of a fleet beyond what is asked of it: altogether, and for those that not everybody can take.

    Each requirement is looked at by itself: necessary, and for fleets of a few kinds of workers also sufficient.
    All in hundredths of a place, of which `percent` are meant to be taken.
    """

    def __init__(self, asked: Demand, fleet: Collection[Traits], percent: int = 100) -> None:
        self._percent = percent
        self._total = -100 * sum(asked.values())
        self._by_need = {need: -100 * weight for need, weight in asked.items()}
        for kind, count in Counter(fleet).items():
            self._add(kind, count)

    @property
    def is_enough(self) -> bool:
        return self._total >= 0 and all(slack >= 0 for slack in self._by_need.values())

    def spare(self, worker: Traits) -> bool:
        """Whether the fleet has places enough without it; if so, it is counted no longer."""
        places = worker.max_streams * self._percent
        if self._total < places or any(
            slack < (places if need <= worker.capabilities else 0) for need, slack in self._by_need.items()
        ):
            return False
        self._add(worker, -1)
        return True

    def take(self, worker: Traits, most: int) -> int:
        """How many of a kind are added until there are enough, or `most`."""
        room = worker.max_streams * self._percent
        count = -(self._total // room) if self._total < 0 else 0
        for need, slack in self._by_need.items():
            if slack < 0:
                # What this kind cannot take, others that come after it may: so all of these are passed.
                count = max(count, -(slack // room)) if need <= worker.capabilities else most
        count = min(count, most)
        self._add(worker, count)
        return count

    def _add(self, kind: Traits, count: int) -> None:
        places = kind.max_streams * self._percent * count
        self._total += places
        for need in self._by_need:
            if need <= kind.capabilities:
                self._by_need[need] += places


def needed(
    asked: Demand,
    present: Sequence[Traits],
    coming: Sequence[Traits],
    scaling: Scaling,
    others: Collection[Traits] = (),
) -> int:
    """How many workers are enough at the target load; within the bounds.

    `present`: those of the fleet, the least useful first, as they would be removed; `coming`: the next ones, in the
    order in which they would be made; `others`: what workers that the pool does not manage can do.
    """
    coming = coming[: max(0, scaling.most - len(present))]
    feasible = placeable(asked, [*present, *coming, *others])
    slack = Slack(feasible, [*present, *others], scaling.target_percent)
    count = len(present)
    if slack.is_enough:
        count -= sum(1 for worker in present if slack.spare(worker))
    for kind, alike in groupby(coming):
        if slack.is_enough:
            break
        count += slack.take(kind, len(list(alike)))
    return min(max(scaling.least, count), scaling.most)


@dataclass(slots=True)
class History:
    """What was needed lately: a fleet grows at once and shrinks to the most of the window.

    A need lasts until another one is seen: one look at a low moment ends no window in which nobody looked.
    """

    _needs: deque[tuple[float, int]] = field(default_factory=deque)
    """Until when, and how many."""

    def settle(self, need: int, *, present: int, window_s: float, now: float) -> int:
        """How many there are to be. A leader that knows no history takes what is `present` for it."""
        if not self._needs:
            self._needs.append((now, present))
        self._needs[-1] = now, self._needs[-1][1]
        while self._needs and now - self._needs[0][0] >= window_s:
            self._needs.popleft()
        # Only what is higher than everything after it can ever be the highest.
        while self._needs and self._needs[-1][1] <= need:
            self._needs.pop()
        self._needs.append((now, need))
        return self._needs[0][1]
