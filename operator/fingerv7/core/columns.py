"""A catalog in columns: a hundred thousand streams without an object for each.

Most of what streams say, many of them say alike, and it is kept once. The rest stays as the bytes that the database
holds. A `Stream` is made when somebody asks for it, and stays for as long as its row does not change.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress, count, repeat
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
    """Rows, turned over: what stands at one place in each of the lists belongs together."""

    ids: list[str] = field(default_factory=list)
    urls: list[bytes] = field(default_factory=list)
    names: list[bytes] = field(default_factory=list)
    demands: list[Demand] = field(default_factory=list)
    details: list[Details] = field(default_factory=list)

    def part(self, start: int, stop: int) -> Columns:
        return Columns(*(column[start:stop] for column in self._lists()))

    def only(self, chosen: Bools) -> Columns:
        return self if chosen.all() else Columns(*(list(compress(column, chosen)) for column in self._lists()))

    def extend(self, more: Columns) -> None:
        for column, values in zip(self._lists(), more._lists(), strict=True):
            column.extend(values)

    def put(self, place: int, row: Columns) -> None:
        """One row, in place of another or after the last."""
        for column, values in zip(self._lists(), row._lists(), strict=True):
            column[place : place + 1] = values

    def at(self, places: Sequence[int]) -> Iterator[tuple[str, bytes, bytes, Demand, Details]]:
        """Rows, as they once came."""
        return zip(*(map(column.__getitem__, places) for column in self._lists()), strict=True)

    def _lists(self) -> tuple[list[Any], ...]:
        return self.ids, self.urls, self.names, self.demands, self.details


class Catalog(Mapping[str, Stream]):
    """Streams by id, in the order in which their rows came. Only its reader changes it, while it reads."""

    def __init__(self) -> None:
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
        demand = columns.demands[place]
        stream = self._made[place] = Stream(
            columns.ids[place],
            columns.urls[place].decode(),
            columns.names[place].decode(),
            demand.weight,
            demand.location,
            demand.capabilities,
            columns.details[place].metadata,
            self.sizes[place],
        )
        return stream

    @cached_property
    def duplicate_urls(self) -> int:
        """Streams whose URL another stream has as well, but for one."""
        urls = self.columns.urls
        hashes = np.fromiter(map(hash, urls), np.int64, len(urls))
        ordered = np.sort(hashes)
        # Sorting numbers is faster than making a set of texts, and hardly any text is left to be compared.
        repeated = np.isin(hashes, ordered[1:][ordered[1:] == ordered[:-1]])
        alike = list(compress(urls, repeated))
        return len(alike) - len(set(alike))

    # --- for the reader ---------------------------------------------------------------------------------------

    def has(self, rows: Columns) -> list[bool]:
        """Of each row whether it is one of these, of which there has to be one."""
        places = list(map(self.places.get, rows.ids, repeat(0)))
        return [mine == row for mine, row in zip(self.columns.at(places), rows.at(range(len(places))), strict=True)]

    def made(self, ids: Iterable[str], known: Iterable[bool]) -> list[Stream | None]:
        """The streams that were made already, of the ids that are known."""
        return [self._made[self.places[i]] if here else None for i, here in zip(ids, known, strict=True)]

    def claim(self, ids: Sequence[str]) -> Bools:
        """Reserve the next places for the ids that are neither here nor further before; say which those are."""
        start = len(self.columns.ids)
        wanted = list(range(start, start + len(ids)))
        given = list(map(self.places.setdefault, ids, wanted))
        if given == wanted:
            return np.ones(len(ids), np.bool_)
        new: Bools = np.array(given) == np.array(wanted)
        self.places.update(zip(compress(ids, new), count(start)))
        return new

    def first(self, number: int) -> Catalog:
        """A new catalog of the first streams."""
        part = Catalog()
        part.columns = self.columns.part(0, number)
        part.sizes = self.sizes[:number]
        part.places = dict(zip(part.columns.ids, count()))
        part._made = self._made[:number]
        return part

    def extend(self, rows: Columns, sizes: Ints, made: Iterable[Stream | None]) -> None:
        """With ids that have claimed their places."""
        self.columns.extend(rows)
        self.sizes.frombytes(sizes.astype(np.intc).tobytes())
        self._made.extend(made)

    def put(self, row: Columns, stream: Stream) -> None:
        """One row, in place of the one with its id if there is one."""
        place = self.places.setdefault(stream.id, len(self))
        self.columns.put(place, row)
        self.sizes[place : place + 1] = array("i", [stream.size])
        self._made[place : place + 1] = [stream]
