"""The last bit of room.

Places are given out by class, charging every stream with the bytes of the largest one. Whoever got none is tried once
more one by one, with exact figures, so that no room is left that would fit a waiting stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.shares import Shares


def squeeze(fleet: Fleet, shares: Shares, waiting: Sequence[str]) -> list[str]:
    """Place of `waiting`, in its order within each class, what fits anywhere; answer the others."""
    by_class: dict[int, list[str]] = {}
    for stream_id in waiting:
        by_class.setdefault(fleet.class_of(stream_id), []).append(stream_id)
    left: list[str] = []
    for c in sorted(by_class, key=lambda c: fleet.classes[c].precedence):
        left += _squeeze_class(fleet, shares, c, by_class[c])
    return left


def _squeeze_class(fleet: Fleet, shares: Shares, c: int, ids: list[str]) -> list[str]:
    weight = fleet.classes[c].weight

    def load(worker: int) -> float:
        return fleet.used[worker] / fleet.capacity[worker] - shares.loads[worker]

    heap = [
        (load(i), i)
        for kind in fleet.classes[c].kinds
        for i in fleet.members[kind]
        if fleet.used[i] + weight <= fleet.capacity[i]
    ]
    heapify(heap)
    left = []
    too_large: int | None = None
    for stream_id in ids:
        size = fleet.streams[stream_id].size
        if not heap or (too_large is not None and size >= too_large):
            left.append(stream_id)
            continue
        passed = []
        while heap and fleet.bytes_used[heap[0][1]] + size > fleet.byte_capacity[heap[0][1]]:
            passed.append(heappop(heap))
        if heap:
            worker = heappop(heap)[1]
            fleet.put(worker, stream_id)
            if fleet.used[worker] + weight <= fleet.capacity[worker]:
                heappush(heap, (load(worker), worker))
        else:
            left.append(stream_id)
            too_large = size
        for room in passed:
            heappush(heap, room)
    return left
