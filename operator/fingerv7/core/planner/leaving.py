"""Which streams leave the workers that have more than their fair part.

The most loaded worker gives first. Of its streams go, in this order: what the round has only just placed, which moves
for nothing; what a worker below its fair part can take at once; what belongs where loads are lowest; the heaviest, so
that few move; strangers to the location.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heapreplace

from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.shares import Shares


def above_quota(fleet: Fleet, shares: Shares, current: Mapping[str, str], at_most: int) -> tuple[list[str], bool]:
    """Choose streams, at most so many of those that live where they are; answer them, and whether that bound cut
    the choice short.
    """
    surplus = {i: fleet.used[i] - shares.quotas[i] for i in fleet.open if fleet.used[i] > shares.quotas[i]}
    donors = {i: _Donor(fleet, i, ids, current) for i, ids in fleet.held_by(set(surplus)).items()}
    gaps = _Gaps(fleet, shares)

    def above(worker: int) -> float:
        excess = surplus[worker] + shares.quotas[worker] - shares.loads[worker] * fleet.capacity[worker]
        return -excess / fleet.capacity[worker]

    heap = [(above(i), i) for i in donors]
    heapify(heap)
    leaving: list[str] = []
    while heap:
        i = heap[0][1]
        sort = donors[i].best(surplus[i], gaps)
        if sort is None:
            heappop(heap)
            continue
        lives_there, c = sort
        if lives_there:
            if not at_most:
                return leaving, True
            at_most -= 1
        leaving.append(donors[i].pop(sort))
        surplus[i] -= fleet.classes[c].weight
        gaps.fill(c)
        heapreplace(heap, (above(i), i))
    return leaving, False


class _Donor:
    """The streams of one worker, by whether they live there and by class."""

    def __init__(self, fleet: Fleet, worker: int, ids: list[str], current: Mapping[str, str]) -> None:
        self._fleet = fleet
        self._ids: dict[tuple[bool, int], list[str]] = {}
        name, location = fleet.names[worker], fleet.workers[worker].location
        if location:
            ids.sort(key=lambda stream_id: fleet.streams[stream_id].location != location)
        for stream_id in ids:
            sort = current.get(stream_id) == name, fleet.class_of(stream_id)
            self._ids.setdefault(sort, []).append(stream_id)

    def best(self, surplus: int, gaps: _Gaps) -> tuple[bool, int] | None:
        """The sort of stream that should leave next, not heavier than `surplus`."""
        classes = self._fleet.classes
        fitting = [sort for sort in self._ids if classes[sort[1]].weight <= surplus]
        if len(fitting) < 2:
            return fitting[0] if fitting else None
        return min(fitting, key=lambda sort: (sort[0], gaps.reluctance(sort[1]), sort[1]))

    def pop(self, sort: tuple[bool, int]) -> str:
        ids = self._ids[sort]
        stream_id = ids.pop()
        if not ids:
            del self._ids[sort]
        return stream_id


class _Gaps:
    """How much each kind of worker is below its fair part, less what was already chosen to go there."""

    def __init__(self, fleet: Fleet, shares: Shares) -> None:
        self._classes = fleet.classes
        kinds = range(fleet.open_kinds)
        self._missing = [sum(max(0, shares.quotas[i] - fleet.used[i]) for i in fleet.members[k]) for k in kinds]
        takers = [sum(k in c.kinds for c in fleet.classes) for k in kinds]
        # Gaps that few classes can fill are filled first.
        self._kinds = [
            sorted((k for k in c.kinds if k < fleet.open_kinds and self._missing[k]), key=lambda k: -takers[k])
            for c in fleet.classes
        ]
        self._lowest = [
            min((shares.loads[fleet.members[k][0]] for k in c.kinds if k < fleet.open_kinds), default=0.0)
            for c in fleet.classes
        ]

    def reluctance(self, c: int) -> tuple[bool, float, int]:
        return self._first(c) is None, self._lowest[c], -self._classes[c].weight

    def fill(self, c: int) -> None:
        if (kind := self._first(c)) is not None:
            self._missing[kind] -= self._classes[c].weight

    def _first(self, c: int) -> int | None:
        kinds = self._kinds[c]
        while kinds and self._missing[kinds[-1]] <= 0:
            kinds.pop()
        return kinds[-1] if kinds else None
