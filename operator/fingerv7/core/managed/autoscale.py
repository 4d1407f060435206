"""How many workers the streams of a pool need.

No metric that Kubernetes collects knows it: the demand is in the catalog, and streams without a place are the ones
that no worker's CPU shows.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from fingerv7.core.managed.model import Scaling, Traits
from fingerv7.core.model import Stream

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
    return Demand({need: weight for need, weight in asked.items() if any(need <= kind for kind in kinds)})


class Slack:
    """The places of a fleet beyond what is asked of it: altogether, and for those that not everybody can take.

    Each requirement is looked at by itself: necessary, and for fleets of a few kinds of workers also sufficient.
    """

    def __init__(self, asked: Demand, fleet: Collection[Traits]) -> None:
        self._total = sum(each.max_streams for each in fleet) - sum(asked.values())
        self._by_need = {
            need: sum(each.max_streams for each in fleet if need <= each.capabilities) - weight
            for need, weight in asked.items()
        }

    def spare(self, worker: Traits) -> bool:
        """Whether the fleet has places enough without it; if so, it is counted no longer."""
        places = worker.max_streams
        without = {
            need: slack - places if need <= worker.capabilities else slack for need, slack in self._by_need.items()
        }
        if self._total < places or any(slack < 0 for slack in without.values()):
            return False
        self._total -= places
        self._by_need = without
        return True


def needed(asked: Demand, traits: Callable[[int], Traits], scaling: Scaling, others: Collection[Traits] = ()) -> int:
    """How many workers, numbered from 1, are enough at the target load; within the bounds.

    `others`: what workers that the pool does not manage can do.
    """
    fleet = [traits(ordinal) for ordinal in range(1, scaling.most + 1)]
    feasible = placeable(asked, [*fleet, *others])
    left = {need: 100 * weight for need, weight in feasible.items()}
    total = 100 * sum(feasible.values())
    for worker in others:
        total -= _take(worker, left, scaling.target_percent)
    for count, worker in enumerate(fleet):
        if total <= 0 and all(each <= 0 for each in left.values()):
            return max(scaling.least, count)
        total -= _take(worker, left, scaling.target_percent)
    return scaling.most


def _take(worker: Traits, left: dict[frozenset[str], int], percent: int) -> int:
    """What a worker takes of each requirement, at that load, in hundredths; and altogether."""
    room = worker.max_streams * percent
    for need in left:
        if need <= worker.capabilities:
            left[need] -= room
    return room


@dataclass(slots=True)
class History:
    """What was needed lately: a fleet grows at once and shrinks to the most of the window."""

    _needs: deque[tuple[float, int]] = field(default_factory=deque)

    def settle(self, need: int, *, present: int, window_s: float, now: float) -> int:
        """How many there are to be. A leader that knows no history takes what is `present` for it."""
        if not self._needs:
            self._needs.append((now, present))
        while len(self._needs) > 1 and now - self._needs[0][0] >= window_s:
            self._needs.popleft()
        if now - self._needs[0][0] >= window_s:
            self._needs.clear()
        # Only what is higher than everything after it can ever be the highest.
        while self._needs and self._needs[-1][1] <= need:
            self._needs.pop()
        self._needs.append((now, need))
        return self._needs[0][1]
