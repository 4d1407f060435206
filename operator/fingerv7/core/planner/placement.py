"""Streams without a worker find one.

First only numbers are decided: of each class, scarce ones first, so and so many streams to this worker and to that,
each to where the load is furthest below its fair part; up to the fair parts, then up to capacity; and where a class
still lacks room, along an augmenting path that moves others aside (J. Edmonds, R. Karp, 1972, on classes and kinds
instead of streams and workers). For streams of equal weight this places as many as can be placed. Then the streams
get their names: who can stay where it was does, then those whose location is the worker's, then the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heapreplace

from fingerv7.core.planner.chains import Chains
from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.shares import Shares
from fingerv7.core.planner.stock import Residents, Slots


class Placement:
    """One attempt to find a place for `waiting`: ids of streams without a worker, in order of precedence.

    `current` tells who lived where when the round began.
    """

    def __init__(self, fleet: Fleet, shares: Shares, current: Mapping[str, str], waiting: Sequence[str]) -> None:
        self.made_room: dict[str, str] = {}
        """Streams that were moved aside → the stream for which that was done."""
        self.ran_out = False
        """Whether `within_quotas` would have needed more moves."""
        self._fleet = fleet
        self._shares = shares
        self._current = current
        self._slots = Slots(fleet)
        self._waiting: dict[int, list[str]] = {}
        for stream_id in waiting:
            self._waiting.setdefault(fleet.class_of(stream_id), []).append(stream_id)
        self._aside: dict[int, list[str]] = {}

    def within_capacity(self) -> list[str]:
        """Place all that can be placed, preferring the fair parts; answer the others."""
        fleet, shares = self._fleet, self._shares
        chains_of_slots = [
            Chains(fleet, shares, limit, self._slots, None) for limit in (shares.quotas, fleet.capacity)
        ]
        chains: Chains | None = None
        for c in self._scarce_first():
            self._fill(c, shares.floors)
            self._fill(c, shares.quotas)
            self._displace(c, chains_of_slots[0])
            self._fill(c, fleet.capacity)
            self._displace(c, chains_of_slots[1])
            if self._lacking(c):
                chains = chains or Chains(fleet, shares, fleet.capacity, self._slots, Residents(fleet))
                self._displace(c, chains)
        return self._name()

    def within_quotas(self, moves: int) -> list[str]:
        """Place what fits into the fair parts, moving at most so many residents aside; answer the others."""
        fleet, shares = self._fleet, self._shares
        chains: Chains | None = None
        for c in self._scarce_first():
            self._fill(c, shares.quotas)
            if self._lacking(c):
                chains = chains or Chains(fleet, shares, shares.quotas, self._slots, Residents(fleet))
                moves -= self._displace(c, chains, moves)
        return self._name()

    def _scarce_first(self) -> list[int]:
        classes = self._fleet.classes
        return sorted((c for c in self._waiting if classes[c].kinds), key=lambda c: classes[c].precedence)

    def _lacking(self, c: int) -> int:
        """How many streams of the class still have no place."""
        return len(self._waiting.get(c, ())) + len(self._aside.get(c, ())) - self._slots.total(c)

    def _fill(self, c: int, limit: Sequence[int]) -> None:
        """Give places up to `limit` (weight, by worker), always the one where the load is furthest below its fair
        part next.
        """
        count = self._lacking(c)
        if not count:
            return
        fleet, slots, loads = self._fleet, self._slots, self._shares.loads
        used, capacity, weight = fleet.used, fleet.capacity, fleet.classes[c].weight
        rooms: dict[int, int] = {}
        for kind in fleet.classes[c].kinds:
            for i in fleet.members[kind]:
                room = (limit[i] - used[i]) // weight
                if room > 0 and fleet.largest:
                    room = min(room, (fleet.byte_capacity[i] - fleet.bytes_used[i]) // fleet.largest)
                if room > 0:
                    rooms[i] = room
        if sum(rooms.values()) <= count:
            for i, room in rooms.items():
                slots.add(c, i, room)
            return
        heap = [((used[i] + weight) / capacity[i] - loads[i], i) for i in rooms]
        heapify(heap)
        given = dict.fromkeys(rooms, 0)
        while count:
            i = heap[0][1]
            given[i] += 1
            count -= 1
            # Without room it sinks to the bottom; the rooms together suffice, so that it is never met there.
            full = given[i] == rooms[i]
            after = (used[i] + weight * (given[i] + 1)) / capacity[i] - loads[i]
            heapreplace(heap, (float("inf") if full else after, i))
        for i, places in given.items():
            if places:
                slots.add(c, i, places)

    def _displace(self, c: int, chains: Chains, moves: int | None = None) -> int:
        """Make room as long as there is a way; answer how many residents were moved aside."""
        done = 0
        while lacking := self._lacking(c):
            path = chains.find(c)
            if path is None:
                break
            if moves is not None and done + sum(hop.resident for hop in path) > moves:
                self.ran_out = True
                break
            for stream_id in chains.apply(path):
                self._aside.setdefault(self._fleet.class_of(stream_id), []).append(stream_id)
                self.made_room.setdefault(stream_id, self._waiting[c][-lacking])
                done += 1
        return done

    def _name(self) -> list[str]:
        """Say which stream gets which place; answer those that get none."""
        nameless: list[str] = []
        for c in sorted(self._waiting.keys() | self._aside.keys()):
            # Who was moved aside had a place and must not lose it to one who waits.
            ids = self._aside.get(c, []) + self._waiting.get(c, [])
            slots = self._slots.drain(c)
            places = sum(slots.values())
            nameless += ids[places:]
            ids = self._at_home(ids[:places], slots)
            ids = self._by_location(ids, slots)
            start = 0
            for worker, count in slots.items():
                self._fleet.put(worker, *ids[start : start + count])
                start += count
        return nameless

    def _at_home(self, ids: list[str], slots: dict[int, int]) -> list[str]:
        """Use up slots for streams that lived there; answer the others."""
        if not self._current:
            return ids
        rest = []
        for stream_id in ids:
            home = self._fleet.index.get(self._current.get(stream_id, ""), -1)
            if slots.get(home):
                slots[home] -= 1
                self._fleet.put(home, stream_id)
            else:
                rest.append(stream_id)
        return rest

    def _by_location(self, ids: list[str], slots: dict[int, int]) -> list[str]:
        """Use up slots for streams whose location is the worker's; answer the others."""
        streams, workers = self._fleet.streams, self._fleet.workers
        near: dict[str, list[int]] = {}
        for i, count in reversed(slots.items()):
            if location := workers[i].location:
                near.setdefault(location, []).extend([i] * count)
        if not near:
            return ids
        chosen: dict[int, list[str]] = {}
        rest = []
        for stream_id in ids:
            if places := near.get(streams[stream_id].location):
                chosen.setdefault(places.pop(), []).append(stream_id)
            else:
                rest.append(stream_id)
        for worker, found in chosen.items():
            slots[worker] -= len(found)
            self._fleet.put(worker, *found)
        return rest
