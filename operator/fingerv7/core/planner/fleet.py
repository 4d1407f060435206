"""How full each worker is, and with what.

The one mutable thing of a round: streams are put on workers and taken off, and the sums are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import gcd

from fingerv7.core.model import Stream
from fingerv7.core.planner.classes import Classes
from fingerv7.core.planner.model import Candidate, UnplacedReason


class Fleet:
    """Workers by index, in order of their names."""

    def __init__(self, streams: Mapping[str, Stream], candidates: Mapping[str, Candidate]) -> None:
        self.streams = streams
        self.names = sorted(candidates)
        self.index = {name: i for i, name in enumerate(self.names)}
        self.workers = [candidates[name] for name in self.names]
        self.capacity = [max(0, w.max_streams - w.reserved_weight) for w in self.workers]
        self.byte_capacity = [max(0, w.max_bytes - w.reserved_bytes) for w in self.workers]
        self.used = [0] * len(self.names)
        self.bytes_used = [0] * len(self.names)
        self.owner: dict[str, int] = {}
        """Stream id → worker, for everything that has a place so far."""
        self.largest = max((s.size for s in streams.values()), default=0)
        """Bytes that a stream takes at most: what is charged for one whose name is not decided yet."""
        self.open = [i for i, w in enumerate(self.workers) if w.eligible and w.keeps and self.capacity[i] > 0]
        """Workers that may be given something new."""
        needs = Counter((s.capabilities, s.weight) for s in streams.values())
        found = Classes(self.workers, self.open, needs)
        self.classes, self.kind, self.members = found.classes, found.kind, found.members
        self._found = found
        self._needs = found.needs
        self.unit = gcd(*(c.weight for c in self.classes)) or 1
        """Weights are multiples of this."""
        self._returning: dict[str, int] = {}
        """Stream id → class, where it is not the one that its need says."""
        self.open_kinds = len(self.members)
        """Kinds below this one are made of open workers."""
        self.demand = [0] * len(self.classes)
        """By class: weight that is on open workers or looks for one."""
        for need, count in needs.items():
            c = self._needs[need].stream_class
            self.demand[c] += count * self.classes[c].weight

    def keep(self, current: Mapping[str, str]) -> list[str]:
        """Put every stream on the owner that may keep it; answer the others, sorted.

        Capacity is not looked at yet: see `shed`.
        """
        index, needs, owner, used, bytes_used = self.index, self._needs, self.owner, self.used, self.bytes_used
        keeps = [w.keeps for w in self.workers]
        shut = [kind < 0 for kind in self.kind]
        homeless = []
        for stream_id, stream in self.streams.items():
            i = index.get(current.get(stream_id, ""))
            if i is None or not keeps[i]:
                homeless.append(stream_id)
                continue
            need = needs[stream.capabilities, stream.weight]
            if not need.capable[i]:
                homeless.append(stream_id)
                continue
            owner[stream_id] = i
            used[i] += need.weight
            bytes_used[i] += stream.size
            if shut[i]:
                self.demand[need.stream_class] -= need.weight
        homeless.sort()
        return homeless

    def let_return(self, worker: int, ids: Sequence[str]) -> None:
        """Streams of a worker that is not open are about to leave it: let it keep any of them, not only those that
        are chosen first, so that those leave that find a place elsewhere.
        """
        if not self.capacity[worker]:
            return
        renamed = self._found.add_returning(worker, [self.class_of(stream_id) for stream_id in ids])
        self._returning.update((stream_id, renamed[self.class_of(stream_id)]) for stream_id in ids)
        self.demand += [0] * len(renamed)

    def put(self, worker: int, *ids: str) -> None:
        streams = self.streams
        self.owner.update(dict.fromkeys(ids, worker))
        self.used[worker] += sum(map(self.weight, ids))
        self.bytes_used[worker] += sum([streams[stream_id].size for stream_id in ids])

    def take(self, stream_id: str) -> int:
        """Remove a stream from its worker, which is returned."""
        worker = self.owner.pop(stream_id)
        self.used[worker] -= self.weight(stream_id)
        self.bytes_used[worker] -= self.streams[stream_id].size
        return worker

    def has_room(self, worker: int, weight: int, size: int) -> bool:
        return (
            self.used[worker] + weight <= self.capacity[worker]
            and self.bytes_used[worker] + size <= self.byte_capacity[worker]
        )

    def class_of(self, stream_id: str) -> int:
        if self._returning and stream_id in self._returning:
            return self._returning[stream_id]
        stream = self.streams[stream_id]
        return self._needs[stream.capabilities, stream.weight].stream_class

    def weight(self, stream_id: str) -> int:
        return max(1, self.streams[stream_id].weight)

    def held_by(self, workers: set[int]) -> dict[int, list[str]]:
        """Worker → ids of its streams, sorted, for those workers that have any."""
        held: dict[int, list[str]] = {}
        for stream_id, i in self.owner.items():
            if i in workers:
                held.setdefault(i, []).append(stream_id)
        for ids in held.values():
            ids.sort()
        return held

    def why_not(self, stream_id: str) -> UnplacedReason:
        """Why a stream that has no place has none."""
        stream = self.streams[stream_id]
        capable = self._needs[stream.capabilities, stream.weight].capable
        if any(can and w.eligible and w.keeps for can, w in zip(capable, self.workers, strict=True)):
            return UnplacedReason.NoCapacity
        if any(capable) or not self.workers:
            return UnplacedReason.NoEligibleWorker
        return UnplacedReason.NoCapableWorker

    def spread(self, used: Sequence[int], fair: Sequence[float] | None = None) -> tuple[float, float]:
        """Largest distance from the fair load (the mean, unless told) over all open workers: as a load, 0..1, and
        as weight.
        """
        capacity, open_workers = self.capacity, self.open
        if not open_workers:
            return 0.0, 0.0
        if fair is None:
            mean = sum(used[i] for i in open_workers) / sum(capacity[i] for i in open_workers)
            away = [abs(used[i] - mean * capacity[i]) for i in open_workers]
        else:
            away = [abs(used[i] - fair[i] * capacity[i]) for i in open_workers]
        return max(a / capacity[i] for a, i in zip(away, open_workers, strict=True)), max(away)
