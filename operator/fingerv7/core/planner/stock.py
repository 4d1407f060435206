"""How many streams of each class may be moved aside on which worker.

Two sorts: *slots*, places that this round gave to a class without having said to which stream, which cost nothing to
move; and streams that already live there, which cost a move each.
"""

from __future__ import annotations

from collections.abc import Iterator

from fingerv7.core.planner.fleet import Fleet


class Slots:
    """Places given to a class whose streams are named later, by kind, class and worker."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._counts: list[dict[int, dict[int, int]]] = [{} for _ in fleet.members]
        self._totals: dict[int, int] = {}

    def total(self, c: int) -> int:
        return self._totals.get(c, 0)

    def add(self, c: int, worker: int, count: int) -> None:
        """Give (or with a negative count take back) places, and charge the worker for them."""
        fleet = self._fleet
        fleet.used[worker] += count * fleet.classes[c].weight
        fleet.bytes_used[worker] += count * fleet.largest
        by_worker = self._counts[fleet.kind[worker]].setdefault(c, {})
        by_worker[worker] = by_worker.get(worker, 0) + count
        if not by_worker[worker]:
            del by_worker[worker]
        self._totals[c] = self.total(c) + count

    def classes(self, kind: int) -> Iterator[int]:
        return iter(sorted(self._counts[kind]))

    def workers(self, kind: int, c: int) -> Iterator[int]:
        return iter(self._counts[kind].get(c, ()))

    def drain(self, c: int) -> dict[int, int]:
        """Worker → places of this class, ascending; they are taken back."""
        found: dict[int, int] = {}
        for by_class in self._counts:
            found.update(by_class.get(c, {}))
        for worker, count in found.items():
            self.add(c, worker, -count)
        return dict(sorted(found.items()))


class Residents:
    """Streams that live on an open worker, by kind, class and worker."""

    def __init__(self, fleet: Fleet) -> None:
        self._ids: list[dict[int, dict[int, list[str]]]] = [{} for _ in fleet.members]
        for stream_id in sorted(fleet.owner):
            worker = fleet.owner[stream_id]
            kind = fleet.kind[worker]
            if kind >= 0:
                by_worker = self._ids[kind].setdefault(fleet.class_of(stream_id), {})
                by_worker.setdefault(worker, []).append(stream_id)

    def classes(self, kind: int) -> Iterator[int]:
        return iter(sorted(self._ids[kind]))

    def workers(self, kind: int, c: int) -> Iterator[int]:
        return iter(self._ids[kind].get(c, ()))

    def last(self, kind: int, c: int, worker: int) -> str:
        return self._ids[kind][c][worker][-1]

    def pop(self, kind: int, c: int, worker: int) -> str:
        ids = self._ids[kind][c][worker]
        stream_id = ids.pop()
        if not ids:
            del self._ids[kind][c][worker]
        return stream_id
