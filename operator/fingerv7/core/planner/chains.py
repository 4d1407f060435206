"""Moving streams aside, so that one more finds room.

A class that finds every worker it could go to full may take the place of a stream of another class that can go
elsewhere, which in turn may take the place of a third: an augmenting path. The search is breadth first over classes,
so that as few streams as possible move, and each hop hands a place to a stream at least as heavy as the one that
leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace

from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.shares import Shares
from fingerv7.core.planner.stock import Residents, Slots


@dataclass(frozen=True, slots=True)
class Hop:
    """A stream of class `takes` goes to `worker`; one of class `gives` (None: there was room) leaves it."""

    takes: int
    worker: int
    gives: int | None = None
    resident: bool = False
    """Whether the one that leaves lives there already, so that this costs a move."""


class Chains:
    """Searches paths that keep every worker within `limit` (weight, by worker).

    A worker that was found full is not asked again: one that is emptied meanwhile may be overlooked.
    """

    def __init__(
        self, fleet: Fleet, shares: Shares, limit: Sequence[int], slots: Slots, residents: Residents | None
    ) -> None:
        self._fleet = fleet
        self._shares = shares
        self._limit = limit
        self._slots = slots
        self._residents = residents
        self._rooms: dict[int, list[tuple[float, int]]] = {}
        """By class: a heap of (load, worker); loads may be out of date, never too high."""

    def find(self, start: int) -> list[Hop] | None:
        """A shortest path that makes room for one stream of class `start`."""
        came_by: dict[int, Hop | None] = {start: None}
        queue = [start]
        for c in queue:
            path = self._path(came_by, c)
            # With weights, passing a worker twice could overfill it.
            visited = {hop.worker for hop in path}
            if (worker := self.emptiest(c, visited)) is not None:
                return [*path, Hop(c, worker)]
            for hop in self._displacing(c, visited, came_by):
                gives = hop.gives
                if gives is not None and gives not in came_by:
                    came_by[gives] = hop
                    queue.append(gives)
        return None

    def apply(self, path: list[Hop]) -> list[str]:
        """Walk the path; answer the residents that it moved aside, who need a new place of their class."""
        aside = []
        for hop in path:
            if hop.gives is not None:
                if hop.resident and self._residents:
                    stream_id = self._residents.pop(self._fleet.kind[hop.worker], hop.gives, hop.worker)
                    self._fleet.take(stream_id)
                    aside.append(stream_id)
                else:
                    self._slots.add(hop.gives, hop.worker, -1)
            self._slots.add(hop.takes, hop.worker, 1)
        return aside

    def _path(self, came_by: dict[int, Hop | None], c: int) -> list[Hop]:
        path = []
        while (hop := came_by[c]) is not None:
            path.append(hop)
            c = hop.takes
        return path[::-1]

    def _displacing(self, c: int, visited: set[int], came_by: dict[int, Hop | None]) -> Iterator[Hop]:
        """For each class that is not reached yet, one way in which `c` can take a place of it."""
        fleet, classes = self._fleet, self._fleet.classes
        for stock in (self._slots, self._residents):
            if stock is None:
                continue
            for kind in classes[c].kinds:
                for gives in stock.classes(kind):
                    if gives in came_by or classes[gives].weight > classes[c].weight:
                        continue
                    for worker in stock.workers(kind, gives):
                        freed = fleet.largest
                        if isinstance(stock, Residents):
                            freed = fleet.streams[stock.last(kind, gives, worker)].size
                        if worker not in visited and self._fits(c, worker, classes[gives].weight, freed):
                            yield Hop(c, worker, gives, resident=stock is self._residents)
                            break

    def _fits(self, c: int, worker: int, freed: int = 0, bytes_freed: int = 0) -> bool:
        fleet = self._fleet
        return (
            fleet.used[worker] - freed + fleet.classes[c].weight <= self._limit[worker]
            and fleet.bytes_used[worker] - bytes_freed + fleet.largest <= fleet.byte_capacity[worker]
        )

    def emptiest(self, c: int, visited: set[int]) -> int | None:
        """The worker with room for class `c` and the load furthest below its fair part, `visited` apart."""
        fleet = self._fleet
        if c not in self._rooms:
            self._rooms[c] = [(self._load(i), i) for k in fleet.classes[c].kinds for i in fleet.members[k]]
            heapify(self._rooms[c])
        rooms = self._rooms[c]
        passed = []
        found = None
        while rooms and found is None:
            load, worker = rooms[0]
            if not self._fits(c, worker):
                heappop(rooms)
            elif load != (now := self._load(worker)):
                heapreplace(rooms, (now, worker))
            elif worker in visited:
                passed.append(heappop(rooms))
            else:
                found = worker
        for room in passed:
            heappush(rooms, room)
        return found

    def _load(self, worker: int) -> float:
        return self._fleet.used[worker] / self._fleet.capacity[worker] - self._shares.loads[worker]
