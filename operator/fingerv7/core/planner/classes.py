"""Which workers can take which streams.

A hundred thousand streams differ in a few ways only: which workers can take them and how much they weigh. Streams
that agree in both form a class, workers that can take the same classes form a kind. Everything that is hard about
planning is decided between classes and kinds, and only then do names come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fingerv7.core.planner.model import Candidate


@dataclass(frozen=True, slots=True)
class StreamClass:
    """Streams that are interchangeable."""

    kinds: tuple[int, ...]
    """Kinds of workers that can take them, ascending; empty where nobody can."""
    weight: int
    reach: int
    """How many workers these kinds have."""

    @property
    def precedence(self) -> tuple[int, int, tuple[int, ...]]:
        """Scarce ones are placed first, then heavy ones."""
        return self.reach, -self.weight, self.kinds


@dataclass(frozen=True, slots=True)
class Need:
    """What a stream asks of a worker, resolved against this fleet."""

    stream_class: int
    weight: int
    capable: bytes
    """By worker: 1 where it has the capabilities, open or not."""


class Classes:
    """The classes and kinds of a fleet: `needs` are the (capabilities, weight) that occur among the streams."""

    def __init__(
        self, workers: Sequence[Candidate], open_workers: Iterable[int], needs: Iterable[tuple[frozenset[str], int]]
    ) -> None:
        needs = sorted(needs, key=lambda need: (sorted(need[0]), need[1]))
        wanted = list(dict.fromkeys(capabilities for capabilities, _ in needs))
        self.kind = [-1] * len(workers)
        """By worker; -1 for those that are not open."""
        self.members: list[list[int]] = []
        """By kind: its workers, ascending."""
        self.classes: list[StreamClass] = []
        self.needs: dict[tuple[frozenset[str], int], Need] = {}

        offers: dict[frozenset[str], tuple[int, ...]] = {}
        kinds: dict[tuple[int, ...], int] = {}
        for i in open_workers:
            has = workers[i].capabilities
            if has not in offers:
                offers[has] = tuple(n for n, capabilities in enumerate(wanted) if capabilities <= has)
            kind = kinds.setdefault(offers[has], len(kinds))
            if kind == len(self.members):
                self.members.append([])
            self.members[kind].append(i)
            self.kind[i] = kind
        suitable: list[list[int]] = [[] for _ in wanted]
        for offer, kind in kinds.items():
            for n in offer:
                suitable[n].append(kind)
        reach = {capabilities: tuple(suitable[n]) for n, capabilities in enumerate(wanted)}
        capable = {capabilities: bytes(capabilities <= w.capabilities for w in workers) for capabilities in wanted}
        known: dict[tuple[tuple[int, ...], int], int] = {}
        for capabilities, weight in needs:
            key = reach[capabilities], max(1, weight)
            if key not in known:
                known[key] = self._add(*key)
            self.needs[capabilities, weight] = Need(known[key], key[1], capable[capabilities])

    def _add(self, kinds: tuple[int, ...], weight: int) -> int:
        self.classes.append(StreamClass(kinds, weight, sum(len(self.members[k]) for k in kinds)))
        return len(self.classes) - 1

    def add_returning(self, worker: int, classes: Iterable[int]) -> dict[int, int]:
        """Make a kind of its own of a worker that is not open: streams that live there, of these classes, may come
        back to it. Answer which class each of them belongs to from now on.
        """
        kind = len(self.members)
        self.members.append([worker])
        self.kind[worker] = kind
        return {c: self._add((*self.classes[c].kinds, kind), self.classes[c].weight) for c in sorted(set(classes))}
