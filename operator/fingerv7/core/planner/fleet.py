"""Which workers can take which streams, and how full each of them is.

A hundred thousand streams differ in a few ways only: which workers can take them and how much they weigh. Streams
that agree in both form a class, workers that can take the same classes form a kind. Everything that is hard about
planning is decided between classes and kinds, and only then do names come in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fingerv7.core.model import Stream
from fingerv7.core.planner.model import Candidate, UnplacedReason


@dataclass(frozen=True, slots=True)
class StreamClass:
    """Streams that are interchangeable."""

    kinds: tuple[int, ...]
    """Kinds of workers that can take them, ascending; empty where nobody can."""
    weight: int
    reach: int
    """How many open workers these kinds have."""

    @property
    def precedence(self) -> tuple[int, int, tuple[int, ...]]:
        """Scarce ones are placed first, then heavy ones."""
        return self.reach, -self.weight, self.kinds


@dataclass(frozen=True, slots=True)
class _Need:
    """What a stream asks of a worker, resolved against this fleet."""

    stream_class: int
    capable: bytes
    """By worker: 1 where it has the capabilities, open or not."""


class Fleet:
    """Workers by index, in order of their names, with what each of them holds. The one mutable thing of a round."""

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
        self._sort_out(needs)
        self.demand = [0] * len(self.classes)
        """By class: weight that is on open workers or looks for one."""
        for (capabilities, weight), count in needs.items():
            c = self._needs[capabilities, weight].stream_class
            self.demand[c] += count * self.classes[c].weight

    def _sort_out(self, needs: Mapping[tuple[frozenset[str], int], int]) -> None:
        """Find the classes and the kinds."""
        wanted = sorted({capabilities for capabilities, _ in needs}, key=sorted)
        capable = {caps: bytes(caps <= w.capabilities for w in self.workers) for caps in wanted}
        self.kind = [-1] * len(self.names)
        self.members: list[list[int]] = []
        """By kind: its workers, ascending."""
        known: dict[tuple[int, ...], int] = {}
        offers: dict[frozenset[str], tuple[int, ...]] = {}
        for i in self.open:
            has = self.workers[i].capabilities
            if has not in offers:
                offers[has] = tuple(n for n, caps in enumerate(wanted) if caps <= has)
            kind = known.setdefault(offers[has], len(known))
            if kind == len(self.members):
                self.members.append([])
            self.kind[i] = kind
            self.members[kind].append(i)
        kinds_of = [tuple(kind for offer, kind in known.items() if n in offer) for n in range(len(wanted))]
        reach = dict(zip(wanted, kinds_of, strict=True))
        found: dict[tuple[tuple[int, ...], int], int] = {}
        self.classes: list[StreamClass] = []
        self._needs: dict[tuple[frozenset[str], int], _Need] = {}
        for capabilities, weight in sorted(needs, key=lambda need: (sorted(need[0]), need[1])):
            key = reach[capabilities], max(1, weight)
            if key not in found:
                found[key] = len(found)
                self.classes.append(StreamClass(*key, sum(len(self.members[k]) for k in key[0])))
            self._needs[capabilities, weight] = _Need(found[key], capable[capabilities])

    def class_of(self, stream_id: str) -> int:
        stream = self.streams[stream_id]
        return self._needs[stream.capabilities, stream.weight].stream_class

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
            weight = max(1, stream.weight)
            owner[stream_id] = i
            used[i] += weight
            bytes_used[i] += stream.size
            if shut[i]:
                self.demand[need.stream_class] -= weight
        homeless.sort()
        return homeless

    def put(self, stream_id: str, worker: int) -> None:
        self.owner[stream_id] = worker
        self.used[worker] += self.weight(stream_id)
        self.bytes_used[worker] += self.streams[stream_id].size

    def take(self, stream_id: str) -> int:
        """Remove a stream from its worker, which is returned."""
        worker = self.owner.pop(stream_id)
        self.used[worker] -= self.weight(stream_id)
        self.bytes_used[worker] -= self.streams[stream_id].size
        return worker

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
        stream = self.streams[stream_id]
        need = self._needs[stream.capabilities, stream.weight]
        if self.classes[need.stream_class].kinds:
            return UnplacedReason.NoCapacity
        if not self.names or any(need.capable):
            eligible = any(c and w.eligible and w.keeps for c, w in zip(need.capable, self.workers, strict=True))
            return UnplacedReason.NoCapacity if eligible else UnplacedReason.NoEligibleWorker
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
