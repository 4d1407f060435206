"""A catalog in columns: a hundred thousand streams without an object for each.

Most of what streams say, many of them say alike, and it is kept once. The rest stays as the bytes that the database
holds. A `Stream` is made when somebody asks for it, and stays for as long as its row does not change.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress, repeat
from typing import Any

import numpy as np

from fingerv7.core.model import Stream
from fingerv7.core.size import Bools, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """What a stream asks of a worker: one object for all streams that ask the same."""

    weight: int
    location: str
    capabilities: frozenset[str]
    size: int
    """Bytes that it takes in an assignment."""


@dataclass(frozen=True, slots=True, eq=False)
class Details:
    """What a stream says of itself: one object for all that say it in the same words."""

    metadata: Mapping[str, str]
    size: int


@dataclass(slots=True)
class Columns:
    """Rows, turned over: what stands at one place in each of the columns belongs together."""

    ids: list[str] = field(default_factory=list)
    urls: list[bytes] = field(default_factory=list)
    names: list[bytes] = field(default_factory=list)
    demands: array[int] = field(default_factory=lambda: array("i"))
    """Numbers of what their judge knows."""
    details: array[int] = field(default_factory=lambda: array("i"))
    """As `demands`."""

    def part(self, start: int, stop: int) -> Columns:
        return Columns(*(column[start:stop] for column in self.all()))

    def only(self, chosen: Bools) -> Columns:
        if chosen.all():
            return self
        return Columns(
            list(compress(self.ids, chosen)),
            list(compress(self.urls, chosen)),
            list(compress(self.names, chosen)),
            integers(np.array(self.demands)[chosen]),
            integers(np.array(self.details)[chosen]),
        )

    def extend(self, more: Columns) -> None:
        for column, values in zip(self.all(), more.all(), strict=True):
            column.extend(values)

    def at(self, places: Sequence[int]) -> Iterator[tuple[str, bytes, bytes, int, int]]:
        """Rows, as they once came."""
        return zip(*(map(column.__getitem__, places) for column in self.all()), strict=True)

    def all(self) -> tuple[Any, ...]:
        return self.ids, self.urls, self.names, self.demands, self.details


def integers(values: Ints) -> array[int]:
    """Small ones in an array that can grow."""
    return array("i", values.astype(np.intc, copy=False).tobytes())


class Catalog(Mapping[str, Stream]):
    """Streams by id, in the order in which their rows came. Only its reader changes it, while it reads."""

    def __init__(self, demands: Sequence[Demand] = (), details: Sequence[Details] = ()) -> None:
        """What the numbers in the columns stand for; there may be more of it than there are streams that say so."""
        self.demands, self.details = demands, details
        self.columns = Columns()
        self.sizes = array("i")
        """Bytes that each stream takes in an assignment."""
        self.places: dict[str, int] = {}
        """Id → its place in the columns."""
        self._made: list[Stream | None] = []

    def __getitem__(self, stream_id: str) -> Stream:
        place = self.places[stream_id]
        return self._made[place] or self._make(place)

    def __contains__(self, stream_id: object) -> bool:
        return stream_id in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def keys(self) -> KeysView[str]:
        return self.places.keys()

    def urls(self, ids: Iterable[str]) -> list[bytes]:
        """Of these streams, without making them; as UTF-8."""
        return list(map(self.columns.urls.__getitem__, map(self.places.__getitem__, ids)))

    def _make(self, place: int) -> Stream:
        columns = self.columns
        demand = self.demands[columns.demands[place]]
        stream = self._made[place] = Stream(
            columns.ids[place],
            columns.urls[place].decode(),
            columns.names[place].decode(),
            demand.weight,
            demand.location,
            demand.capabilities,
            self.details[columns.details[place]].metadata,
            self.sizes[place],
        )
        return stream

    # --- for the reader ---------------------------------------------------------------------------------------

    def has(self, rows: Columns) -> list[bool]:
        """Of each row whether it is one of these, of which there has to be one."""
        places = list(map(self.places.get, rows.ids, repeat(0)))
        return [mine == row for mine, row in zip(self.columns.at(places), rows.at(range(len(places))), strict=True)]

    def made(self, ids: Iterable[str], known: Iterable[bool]) -> list[Stream | None]:
        """The streams that were made already, of the ids that are known."""
        return [self._made[self.places[i]] if here else None for i, here in zip(ids, known, strict=True)]

    def first(self, number: int) -> Catalog:
        """The first streams, for a new catalog."""
        part = Catalog(self.demands, self.details)
        part.extend(self.columns.part(0, number), np.array(self.sizes[:number]), self._made[:number])
        return part

    def only(self, places: Sequence[int]) -> Catalog:
        """A new catalog of the streams at these places, no two of which have one id."""
        part = Catalog(self.demands, self.details)
        for column, values in zip(part.columns.all(), self.columns.all(), strict=True):
            column.extend(map(values.__getitem__, places))
        part.sizes.extend(map(self.sizes.__getitem__, places))
        part._made.extend(map(self._made.__getitem__, places))
        return part.numbered()

    def numbered(self) -> Catalog:
        """This very catalog, complete: what of it is found by id. Of streams with one id the last is."""
        self.places = dict(zip(self.columns.ids, range(len(self.columns.ids)), strict=True))
        return self

    def extend(self, rows: Columns, sizes: Ints, made: Iterable[Stream | None]) -> None:
        """Further streams, which are not found by their ids yet."""
        self.columns.extend(rows)
        self.sizes.extend(integers(sizes))
        self._made.extend(made)
