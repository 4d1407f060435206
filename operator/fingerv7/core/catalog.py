"""From rows that other people edit to streams that workers can be given.

A table always holds some rows that nobody can use, and one of them must not stop the others: each row is judged on
its own and becomes a stream, is counted as inactive, or is quarantined with a reason and a sentence that says what
would be accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from fingerv7.core.model import Stream
from fingerv7.core.row import FETCH_LIMIT, STREAM_LIMIT, BadRowError, is_active, printable_id, read_stream
from fingerv7.core.size import stream_size

__all__ = [
    "FETCH_LIMIT",
    "STREAM_LIMIT",
    "CatalogReader",
    "Quarantined",
    "Snapshot",
    "read_rows",
    "stream_size",
]

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
    """`read_rows` in portions, so that a large table neither blocks its reader nor is in memory twice."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self._quarantined: list[Quarantined] = []
        self._inactive = 0

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Text may come as str or as the bytes that the database holds; those have to be UTF-8."""
        for row in rows:
            try:
                if not is_active(row):
                    self._inactive += 1
                    continue
                stream = read_stream(row)
            except BadRowError as bad:
                self._quarantined.append(Quarantined(printable_id(row.get("id")), bad.reason, bad.message))
                continue
            other = self._streams.setdefault(stream.id, stream)
            if other is not stream:
                self._streams[stream.id] = min(other, stream, key=_rank)
                self._quarantined.append(Quarantined(printable_id(stream.id), "DuplicateId", _DUPLICATE))

    def snapshot(self, identity: str) -> Snapshot:
        return Snapshot(
            streams=MappingProxyType(self._streams),
            quarantined=tuple(sorted(self._quarantined, key=lambda q: (q.id, q.reason, q.message))),
            inactive=self._inactive,
            duplicate_urls=len(self._streams) - len({stream.url for stream in self._streams.values()}),
            identity=identity,
        )


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
