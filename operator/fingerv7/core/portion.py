"""Many rows, judged at once by their columns.

A row at a time costs a dozen steps of Python, a column costs one step of C. So a portion of rows is looked at in
columns: values that repeat are judged once, texts are searched when they are joined. That finds the rows that are
good for certain, by rules that are nowhere wider than those of `row`; what it cannot vouch for, `row` decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import compress, repeat
from operator import attrgetter, is_, itemgetter
from types import NoneType
from typing import Any, Final, Generic, TypeVar

import numpy as np

from fingerv7.core.columns import Columns, Demand, Details
from fingerv7.core.model import Stream
from fingerv7.core.row import (
    ABSENT,
    ID_LIMIT,
    STREAM_LIMIT,
    BadRowError,
    read_capabilities,
    read_location,
    read_metadata,
    read_weight,
    says_active,
)
from fingerv7.core.size import ENTRY_SIZE, Bools, Ints, demand_size, metadata_size, text_sizes

Rows = Sequence[Mapping[str, Any]]

T = TypeVar("T")

_URLS: Final = re.compile(
    rb"(?:https?://[A-Za-z0-9._-]++(?::[0-5]?[0-9]{1,4})?+(?:[/?#][^\n]*+)?+(?:\n(?=h)|\Z))++",
)
"""Plain URLs, one a line. That none of them has more than one line is found out elsewhere."""
_INTEGERS: Final = range(-(1 << 63), 1 << 63)
_BAD_DEMAND: Final = Demand(0, "", frozenset(), STREAM_LIMIT + 1)
_BAD_DETAILS: Final = Details({}, STREAM_LIMIT + 1)
"""Larger than any stream may be, so that no row with one of them is certain."""


class DoubtfulError(Exception):
    """Nothing is certain about these rows."""


class Known(Generic[T]):
    """Values that repeat from row to row and from reading to reading, each judged once.

    What the last complete reading met is believed, and forgotten when the next one does not meet it.
    """

    def __init__(self, judge: Callable[[Any], T]) -> None:
        self._judge = judge
        self._before: dict[Hashable, T] = {}
        self._met: dict[Hashable, T] = {}

    def all(self, values: Sequence[Hashable]) -> list[T]:
        """Raises what the judge raises, and TypeError for what cannot be a key."""
        try:
            return list(map(self._met.__getitem__, values))
        except KeyError:
            for value in set(values).difference(self._met):
                known = self._before.get(value)
                self._met[value] = self._judge(value) if known is None else known
            return list(map(self._met.__getitem__, values))

    def begin(self) -> None:
        self._met = {}

    def finish(self) -> None:
        self._before = self._met


class Judge:
    """Judges the portions of one reading after the other."""

    def __init__(self) -> None:
        self._active = Known(_says_active)
        self._demands = Known(_read_demand)
        self._details = Known(_read_details)

    def begin(self) -> None:
        """A reading begins, whatever became of the last one."""
        for known in self._all:
            known.begin()

    def finish(self) -> None:
        """The reading is complete."""
        for known in self._all:
            known.finish()

    @property
    def _all(self) -> tuple[Known[Any], ...]:
        return self._active, self._demands, self._details

    def active(self, rows: Rows) -> Rows:
        """Those that are active. Raises DoubtfulError."""
        try:
            column = list(map(itemgetter("active"), rows))
            if "status" not in rows[0] and all(map(is_, column, repeat(True))):
                return rows
            statuses = (row.get("status", ABSENT) for row in rows)
            return list(compress(rows, self._active.all(list(zip(map(type, column), column, statuses, strict=True)))))
        except (BadRowError, KeyError, TypeError) as error:
            raise DoubtfulError from error

    def columns(self, rows: Rows) -> Columns:
        """Active rows as columns, of which nothing is certain yet. Raises DoubtfulError."""
        if not rows:
            return Columns()
        names = list(rows[0].keys())
        if len(names) < 2 or set(map(len, rows)) != {len(names)}:
            raise DoubtfulError
        try:
            column = dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
            nothing = (None,) * len(rows)
            weights = column.get("weight", nothing)
            if not set(map(type, weights)) <= {NoneType, int, str, bytes}:
                raise DoubtfulError  # True would pass for 1
            demands = zip(weights, column.get("location", nothing), column.get("capabilities", nothing), strict=True)
            return Columns(
                _ids(column.get("id", nothing)),
                _texts(column.get("url", nothing)),
                _texts(column.get("name", nothing)),
                self._demands.all(list(demands)),
                self._details.all(column.get("metadata", nothing)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DoubtfulError from error

    def one(self, row: Mapping[str, Any], stream: Stream) -> Columns:
        """A single good row, equal to what it would be among others."""
        demand: tuple[Any, ...] = tuple(map(row.get, ("weight", "location", "capabilities")))
        metadata = row.get("metadata")
        return Columns(
            [stream.id],
            [stream.url.encode()],
            [stream.name.encode()],
            self._demands.all([demand if _is_key(demand) else (stream.weight, stream.location, stream.capabilities)]),
            self._details.all([metadata]) if _is_key(metadata) else [_read_details(metadata)],
        )


def examine(columns: Columns) -> tuple[Ints, Bools]:
    """Bytes that each stream takes in an assignment, and which of the rows are good for certain."""
    ids = list(map(str.encode, columns.ids))
    sizes = ENTRY_SIZE + _sizes(columns.demands) + _sizes(columns.details)
    good = np.ones(len(ids), bool)
    for texts in (ids, columns.urls, columns.names):
        joined = b" ".join(texts)
        good &= _check(_is_printable, texts, joined)
        sizes += text_sizes(texts, joined)
    good &= np.array(list(map(len, ids))) <= ID_LIMIT
    good &= _check(_is_id, ids, b" ".join(ids))
    good &= _check(_URLS.fullmatch, columns.urls, b"\n".join(columns.urls))
    return sizes, good & (sizes <= STREAM_LIMIT)


# --- texts ------------------------------------------------------------------------------------------------


def _check(is_good: Callable[[bytes], object], texts: Sequence[bytes], joined: bytes) -> Bools | np.bool_:
    """Which of the texts are good; all of them where that can be said of all together."""
    return np.True_ if is_good(joined) else np.array([bool(is_good(text)) for text in texts], bool)


def _is_printable(text: bytes) -> bool:
    view = np.frombuffer(text, np.uint8)
    if not len(view) or (view.min() >= 0x20 and view.max() < 0x7F):
        return True
    try:
        return text.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _is_id(text: bytes) -> bool:
    """No id is empty, nor begins or ends with a space."""
    return b"  " not in b" " + text + b" "


# --- columns ----------------------------------------------------------------------------------------------


def _says_active(key: tuple[type, object, object]) -> bool:
    _, active, status = key
    return says_active(active, status)


def _read_demand(key: tuple[object, object, object]) -> Demand:
    try:
        weight, location, capabilities = read_weight(key[0]), read_location(key[1]), read_capabilities(key[2])
    except BadRowError:
        return _BAD_DEMAND
    return Demand(weight, location, capabilities, demand_size(weight, location, capabilities))


def _read_details(value: object) -> Details:
    try:
        metadata = read_metadata(value)
    except BadRowError:
        return _BAD_DETAILS
    return Details(metadata, metadata_size(metadata))


def _is_key(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _ids(column: Sequence[Any]) -> list[str]:
    types = set(map(type, column))
    if int in types and types <= {int, NoneType}:
        numbers = [number for number in column if number is not None]
        if min(numbers) not in _INTEGERS or max(numbers) not in _INTEGERS:
            raise DoubtfulError
        return ["" if number is None else str(number) for number in column]
    return list(map(bytes.decode, _texts(column)))


def _texts(column: Sequence[Any]) -> list[bytes]:
    """As UTF-8, which is not looked at; NULL is an empty text."""
    types = set(map(type, column))
    if types == {bytes}:
        return list(column)
    if types <= {bytes, NoneType}:
        return [text or b"" for text in column]
    if types <= {str, NoneType}:
        return [(text or "").encode() for text in column]
    raise DoubtfulError


def _sizes(column: Sequence[Demand | Details]) -> Ints:
    return np.fromiter(map(attrgetter("size"), column), np.int64, len(column))
