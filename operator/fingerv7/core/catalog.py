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
from fingerv7.core.portion import DoubtfulError, Judge, Values, activity, in_columns, turn
from fingerv7.core.row import FETCH_LIMIT, STREAM_LIMIT, BadRowError, is_active, printable_id, read_stream
from fingerv7.core.size import Ints, stream_size

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
    identity: str
    """Which database and table this is; differs when the Secret was pointed elsewhere."""

    @property
    def duplicate_urls(self) -> int:
        """Streams whose URL another stream has as well, but for one; they are served."""
        streams = self.streams
        urls = streams.columns.urls if isinstance(streams, Catalog) else [each.url for each in streams.values()]
        return len(urls) - len(set(urls))


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
        self._last = self._judge.catalog()
        """Of the last complete reading."""
        self.begin()

    def begin(self) -> None:
        """Begin again; needed only after a reading that was not completed."""
        self._judge.forget(but=self._last)
        self._same = 0
        """So many streams are the first ones of `_last`. As long as nothing differs, nothing is built."""
        self._new: Catalog | None = None
        """What is built from the first difference on; ids may be in it more than once."""
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
        self._last = self._streams()
        snapshot = Snapshot(
            streams=self._last,
            quarantined=tuple(sorted(self._quarantined, key=lambda q: (q.id, q.reason, q.message))),
            inactive=self._inactive,
            identity=identity,
        )
        self.begin()
        return snapshot

    def _streams(self) -> Catalog:
        if self._new is None:
            if self._same == len(self._last):
                return self._last
            self._new = self._last.first(self._same)
        new = self._new.numbered()
        if len(new) < len(new.columns.ids):
            new = self._settle(new)
        in_another_order = not self._differing and len(new) == len(self._last)
        return self._last if in_another_order else new

    # --- rows ---------------------------------------------------------------------------------------------

    def _add(self, names: Sequence[str], rows: Values) -> None:
        """All at once, and one by one what is not certain. Raises DoubtfulError, with nothing done."""
        column = in_columns(names, rows)
        active = activity(column, len(rows))
        doubtful: Values = ()
        if active is not None:
            doubtful = [row for row, is_active in zip(rows, active, strict=True) if is_active is None]
            rows = list(compress(rows, active))
            column = {name: list(compress(values, active)) for name, values in column.items()}
        columns = self._judge.columns(column, len(rows))
        if active is not None:
            self._inactive += active.count(False)
            for row in doubtful:
                self._add_one(dict(zip(names, row, strict=True)))
        if not rows or self._is_same(columns):
            return
        sizes, good = self._judge.examine(columns)
        self._serve(columns.only(good), sizes[good])
        for row in compress(rows, ~good):
            self._add_one(dict(zip(names, row, strict=True)))

    def _add_one(self, row: Mapping[str, Any]) -> None:
        try:
            if is_active(row):
                stream = read_stream(row)
                self._serve(self._judge.one(row, stream), np.array([stream.size]))
            else:
                self._inactive += 1
        except BadRowError as bad:
            self._quarantined.append(Quarantined(printable_id(row.get("id")), bad.reason, bad.message))

    # --- good rows ----------------------------------------------------------------------------------------

    def _serve(self, rows: Columns, sizes: Ints) -> None:
        if self._is_same(rows):
            return
        if self._new is None:
            self._new = self._last.first(self._same)
        made: list[Stream | None] = [None] * len(rows.ids)
        if self._last:
            known = self._last.has(rows)
            made = self._last.made(rows.ids, known)
            self._differing.update(compress(rows.ids, map(not_, known)))
        self._new.extend(rows, sizes, made)

    def _settle(self, catalog: Catalog) -> Catalog:
        """Of rows with one id only one is served, where the first of them is."""
        several: dict[str, list[int]] = {}
        for place, stream_id in enumerate(catalog.columns.ids):
            if catalog.places[stream_id] != place:  # the last one's
                several.setdefault(stream_id, []).append(place)
        served = list(range(len(catalog.columns.ids)))
        for stream_id, places in several.items():
            places.append(catalog.places[stream_id])
            served[places[0]] = min(places, key=lambda place: _rank(catalog, place))
            for place in places[1:]:
                served[place] = -1
            duplicate = Quarantined(printable_id(stream_id), "DuplicateId", _DUPLICATE)
            self._quarantined += [duplicate] * (len(places) - 1)
        if self._last:
            chosen = catalog.only([served[first] for first, *_ in several.values()])
            for stream_id, known in zip(several, self._last.has(chosen.columns), strict=True):
                (self._differing.discard if known else self._differing.add)(stream_id)
        return catalog.only([place for place in served if place >= 0])

    def _is_same(self, rows: Columns) -> bool:
        """Whether the reading goes on as the last one did."""
        stop = self._same + len(rows.ids)
        if self._new is not None or self._last.columns.part(self._same, stop) != rows:
            return False
        self._same = stop
        return True


def _rank(catalog: Catalog, place: int) -> tuple[object, ...]:
    """Which of several rows with one id is served: the same one whatever order the database returns."""
    rows = catalog.columns
    demand, details = catalog.demands[rows.demands[place]], catalog.details[rows.details[place]]
    return (
        rows.urls[place],
        rows.names[place],
        demand.location,
        demand.weight,
        sorted(demand.capabilities),
        sorted(details.metadata.items()),
    )
