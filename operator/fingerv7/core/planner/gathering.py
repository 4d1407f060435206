"""Room for a heavy stream, gathered on one worker.

An evenly filled fleet is the worst place for a heavy stream: there is room enough in total and nowhere enough of it.
Where no single stream can step aside for it, several lighter ones on one worker may.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest

from fingerv7.core.planner.chains import Chains
from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.shares import Shares
from fingerv7.core.planner.stock import Slots

_WORKERS_TRIED = 4


class Gathering:
    def __init__(self, fleet: Fleet, shares: Shares) -> None:
        self.made_room: dict[str, str] = {}
        """Streams that were moved aside → the stream for which that was done."""
        self._fleet = fleet
        self._rooms = Chains(fleet, shares, fleet.capacity, Slots(fleet), None)
        self._held = fleet.held_by(set(fleet.open))

    def place(self, waiting: Sequence[str]) -> list[str]:
        """Place what several others can make room for; answer the rest, in the same order."""
        fleet = self._fleet
        hopeless = {c for c, known in enumerate(fleet.classes) if known.weight == fleet.unit}
        left = []
        for stream_id in sorted(waiting, key=lambda s: fleet.classes[fleet.class_of(s)].precedence):
            c = fleet.class_of(stream_id)
            if c not in hopeless and not self._place(stream_id, c):
                hopeless.add(c)
            if c in hopeless:
                left.append(stream_id)
        return left

    def _place(self, stream_id: str, c: int) -> bool:
        fleet = self._fleet
        members = (i for k in fleet.classes[c].kinds if k < fleet.open_kinds for i in fleet.members[k])
        for worker in nsmallest(_WORKERS_TRIED, members, key=lambda i: (fleet.used[i] - fleet.capacity[i], i)):
            if self._clear(worker, stream_id):
                fleet.put(worker, stream_id)
                self._held.setdefault(worker, []).append(stream_id)
                return True
        return False

    def _clear(self, worker: int, for_stream: str) -> bool:
        """Move lighter streams off `worker` until there is room, or leave everything as it was."""
        fleet = self._fleet
        weight, size = fleet.weight(for_stream), fleet.streams[for_stream].size
        moved: dict[str, int] = {}
        lighter = (s for s in self._held.get(worker, ()) if fleet.weight(s) < weight)
        for stream_id in sorted(lighter, key=lambda s: (-fleet.weight(s), s)):
            target = self._rooms.emptiest(fleet.class_of(stream_id), {worker})
            if target is not None:
                moved[stream_id] = target
                fleet.take(stream_id)
                fleet.put(target, stream_id)
            if fleet.has_room(worker, weight, size):
                self._note(worker, moved, for_stream)
                return True
        for stream_id in moved:
            fleet.take(stream_id)
            fleet.put(worker, stream_id)
        return False

    def _note(self, worker: int, moved: dict[str, int], for_stream: str) -> None:
        self._held[worker] = [s for s in self._held[worker] if s not in moved]
        for stream_id, target in moved.items():
            self._held.setdefault(target, []).append(stream_id)
            self.made_room.setdefault(stream_id, for_stream)
