"""From rows that other people edit to streams that workers can be given.

A table always holds some rows that nobody can use, and one of them must not stop the others: each row is judged on
its own and becomes a stream, is counted as inactive, or is quarantined with a reason and a sentence that says what
would be accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from operator import not_
from typing import Any, Final

import numpy as np

from fingerv7.core.columns import Catalog, Columns
from fingerv7.core.model import Stream
from fingerv7.core.portion import INACTIVE, DoubtfulError, Judge, Values, examine, turn
from fingerv7.core.row import FETCH_LIMIT, STREAM_LIMIT, BadRowError, is_active, printable_id, read_stream
from fingerv7.core.size import Bools, Ints, stream_size

__all__ = [
    "FETCH_LIMIT",
    "STREAM_LIMIT",
    "CatalogReader",
    "Quarantined",
    "Snapshot",
    "read_rows",
    "stream_size",
]

_PORTION: Final = 1000
"""Rows that are judged at once: a millisecond, and their texts fit into the processor's cache."""
_DUPLICATE: Final = "another row with this id is served; ids have to be unique among active rows"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that is not served, and why."""

    id: str
    """As far as it can be printed; empty where the row has none."""
    reason: str
    message: str
    """What is wrong and what is accepted; never a part of the URL."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One complete reading of the table: every row is in `streams`, in `quarantined` or counted as inactive."""

    streams: Mapping[str, Stream]
    quarantined: tuple[Quarantined, ...]
    inactive: int
    duplicate_urls: int
    """Streams whose URL another stream has as well; they are served."""
    identity: str
    """Which database and table this is; differs when the Secret was pointed elsewhere."""


def read_rows(rows: Iterable[Mapping[str, Any]], *, identity: str) -> Snapshot:
    """Judge rows keyed by the logical column names (`id`, `url`, `name`, `active`, `status`, …); never raises."""
    reader = CatalogReader()
    reader.add(rows)
    return reader.snapshot(identity)


class CatalogReader:
    """`read_rows` in portions, so that a large table neither blocks its reader nor is in memory twice.

    Reads the same table again and again: rows that are still the same are recognised, and what was made of them
    stays. While all of them are the same, so is `Snapshot.streams`, as an object.
    """

    def __init__(self) -> None:
        self._judge = Judge()
        self._last = Catalog()
        """Of the last complete reading."""
        self.begin()

    def begin(self) -> None:
        """Begin again; needed only after a reading that was not completed."""
        self._judge.begin()
        self._same = 0
        """So many streams are the first ones of `_last`. As long as nothing differs, nothing is built."""
        self._new: Catalog | None = None
        """What is built from the first difference on."""
        self._differing: set[str] = set()
        """Ids in it whose rows are not in `_last`."""
        self._quarantined: list[Quarantined] = []
        self._inactive = 0

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Text may come as str or as the bytes that the database holds; those have to be UTF-8."""
        waiting = iter(rows)
        while portion := list(islice(waiting, _PORTION)):
            try:
                self._add(*turn(portion))
            except DoubtfulError:
                for row in portion:
                    self._add_one(row)

    def add_values(self, names: Sequence[str], rows: Values) -> None:
        """As `add`, rows as the values of these columns; each column's are of one type or None, as in a database."""
        for start in range(0, len(rows), _PORTION):
            portion = rows[start : start + _PORTION]
            try:
                self._add(names, portion)
            except DoubtfulError:
                for row in portion:
                    self._add_one(dict(zip(names, row, strict=True)))

    def snapshot(self, identity: str) -> Snapshot:
        """Complete the reading, and be ready for the next."""
        self._judge.finish()
        self._last = self._streams()
        snapshot = Snapshot(
            streams=self._last,
            quarantined=tuple(sorted(self._quarantined, key=lambda q: (q.id, q.reason, q.message))),
            inactive=self._inactive,
            duplicate_urls=self._last.duplicate_urls,
            identity=identity,
        )
        self.begin()
        return snapshot

    def _streams(self) -> Catalog:
        if self._new is None:
            return self._last if self._same == len(self._last) else self._last.first(self._same)
        in_another_order = not self._differing and len(self._new) == len(self._last)
        return self._last if in_another_order else self._new

    # --- rows ---------------------------------------------------------------------------------------------

    def _add(self, names: Sequence[str], rows: Values) -> None:
        """All at once, and one by one what is not certain. Raises DoubtfulError, with nothing done."""
        columns = self._judge.columns(names, rows)
        if INACTIVE in columns.demands:
            active = np.array([demand is not INACTIVE for demand in columns.demands], np.bool_)
            columns, rows = columns.only(active), list(compress(rows, active))
            self._inactive += len(active) - len(rows)
        if self._is_same(columns):
            return
        sizes, good = examine(columns)
        certain = columns.only(good)
        if not self._is_same(certain):
            good[good] = self._extend(certain, sizes[good])
        for row in compress(rows, ~good):
            self._add_one(dict(zip(names, row, strict=True)))

    def _add_one(self, row: Mapping[str, Any]) -> None:
        try:
            if is_active(row):
                stream = read_stream(row)
                self._serve(stream, self._judge.one(row, stream))
            else:
                self._inactive += 1
        except BadRowError as bad:
            self._quarantined.append(Quarantined(printable_id(row.get("id")), bad.reason, bad.message))

    # --- good rows ----------------------------------------------------------------------------------------

    def _extend(self, rows: Columns, sizes: Ints) -> Bools:
        """Serve those whose ids are not served yet; says which those are."""
        catalog = self._build()
        new = catalog.claim(rows.ids)
        rows = rows.only(new)
        made: list[Stream | None] = [None] * len(rows.ids)
        if self._last:
            known = self._last.has(rows)
            made = self._last.made(rows.ids, known)
            self._differing.update(compress(rows.ids, map(not_, known)))
        catalog.extend(rows, sizes[new], made)
        return new

    def _serve(self, stream: Stream, row: Columns) -> None:
        if self._place(stream.id) is not None:
            other = (self._new or self._last)[stream.id]
            self._quarantined.append(Quarantined(printable_id(stream.id), "DuplicateId", _DUPLICATE))
            if min(other, stream, key=_rank) is other:
                return
        elif self._is_same(row):
            return
        known = bool(self._last) and all(self._last.has(row))
        self._build().put(row, self._last[stream.id] if known else stream)
        (self._differing.discard if known else self._differing.add)(stream.id)

    def _is_same(self, rows: Columns) -> bool:
        """Whether the reading goes on as the last one did."""
        stop = self._same + len(rows.ids)
        if self._new is not None or self._last.columns.part(self._same, stop) != rows:
            return False
        self._same = stop
        return True

    def _build(self) -> Catalog:
        if self._new is None:
            self._new = self._last.first(self._same)
        return self._new

    def _place(self, stream_id: str) -> int | None:
        """Where the stream is served so far."""
        if self._new is not None:
            return self._new.places.get(stream_id)
        place = self._last.places.get(stream_id)
        return place if place is not None and place < self._same else None


def _rank(stream: Stream) -> tuple[object, ...]:
    """Which of several rows with one id is served: the same one whatever order the database returns."""
    return (
        stream.url,
        stream.name,
        stream.location,
        stream.weight,
        sorted(stream.capabilities),
        sorted(stream.metadata.items()),
    )
