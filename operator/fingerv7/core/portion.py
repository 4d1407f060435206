"""Many rows, judged at once by their columns.

A row at a time costs a dozen steps of Python, a column costs one step of C. So a portion of rows is looked at in
columns: values that repeat are judged once, texts are searched when they are joined. That finds the rows that are
good for certain, by rules that are nowhere wider than those of `row`; what it cannot vouch for, `row` decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import chain, repeat
from operator import attrgetter, itemgetter
from types import NoneType
from typing import Any, Final, TypeVar

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

Values = Sequence[Iterable[Any]]
"""Rows, each as its values, which stand in the same order in all of them."""

T = TypeVar("T")

_URLS: Final = re.compile(
    rb"(?:https?://[A-Za-z0-9._-]++(?::[0-5]?[0-9]{1,4})?+(?:[/?#][^\n]*+)?+(?:\n(?=h)|\Z))++",
)
"""Plain URLs, one a line. That none of them has more than one line is found out elsewhere."""
_INTEGERS: Final = range(-(1 << 63), 1 << 63)
_CONTROL: Final = re.compile(rb"[\x00-\x1f]")
_DEMAND: Final = (("active", None), ("status", ABSENT), ("weight", None), ("location", None), ("capabilities", None))
"""Columns that make a demand, and what they say when they are absent."""
_COMPARABLE: Final = {"active": {NoneType, bool, int, str, bytes}, "weight": {NoneType, int, str, bytes}}
"""Types whose equal values say the same: a float would pass for the number, and as a weight True for 1."""
INACTIVE: Final = Demand(0, "", frozenset(), 0)
"""Of rows that are not active."""
_BAD_DEMAND: Final = Demand(0, "", frozenset(), STREAM_LIMIT + 1)
_BAD_DETAILS: Final = Details({}, STREAM_LIMIT + 1)
"""Larger than any stream may be, so that no row with one of them is certain."""


class DoubtfulError(Exception):
    """Nothing is certain about these rows."""


class Known(dict[Hashable, T]):
    """Values that repeat from row to row and from reading to reading, each judged once.

    What the last complete reading met is believed, and forgotten when the next one does not meet it.
    """

    def __init__(self, judge: Callable[[Any], T]) -> None:
        super().__init__()
        self._judge = judge
        self._before: dict[Hashable, T] = {}

    def __missing__(self, value: Hashable) -> T:
        """Raises what the judge raises."""
        known = self._before.get(value)
        if known is None:
            known = self._judge(value)
        self[value] = known
        return known

    def begin(self) -> None:
        self.clear()

    def finish(self) -> None:
        self._before = dict(self)


class Judge:
    """Judges the portions of one reading after the other."""

    def __init__(self) -> None:
        self._demands = Known(_read_demand)
        self._details = Known(_read_details)

    def begin(self) -> None:
        """A reading begins, whatever became of the last one."""
        self._demands.begin()
        self._details.begin()

    def finish(self) -> None:
        """The reading is complete."""
        self._demands.finish()
        self._details.finish()

    def columns(self, names: Sequence[str], rows: Values) -> Columns:
        """Rows as columns, of which nothing is certain yet but which are `INACTIVE`. Raises DoubtfulError."""
        values = list(chain.from_iterable(rows))
        column = {name: values[number :: len(names)] for number, name in enumerate(names)}
        nothing = [None] * len(rows)
        demands = zip(*(column.get(name) or repeat(absent, len(rows)) for name, absent in _DEMAND), strict=True)
        try:
            return Columns(
                _ids(column.get("id", nothing)),
                _texts(column.get("url", nothing)),
                _texts(column.get("name", nothing)),
                list(map(self._demands.__getitem__, demands)),
                list(map(self._details.__getitem__, column.get("metadata", nothing))),
            )
        except (TypeError, ValueError) as error:
            raise DoubtfulError from error

    def one(self, row: Mapping[str, Any], stream: Stream) -> Columns:
        """A single good row, equal to what it would be among others."""
        demand, metadata = tuple(row.get(name, absent) for name, absent in _DEMAND), row.get("metadata")
        return Columns(
            [stream.id],
            [stream.url.encode()],
            [stream.name.encode()],
            [
                self._demands[
                    demand if _is_key(demand) else (True, ABSENT, stream.weight, stream.location, stream.capabilities)
                ]
            ],
            [self._details[metadata] if _is_key(metadata) else _read_details(metadata)],
        )


def turn(rows: Sequence[Mapping[str, Any]]) -> tuple[Sequence[str], Values]:
    """Names, and values in their order. Raises DoubtfulError where rows differ in names, or in more than values."""
    names = list(rows[0].keys())
    if len(names) < 2 or set(map(len, rows)) != {len(names)}:
        raise DoubtfulError
    try:
        values = list(map(itemgetter(*names), rows))
    except KeyError as error:
        raise DoubtfulError from error
    for name, types in _COMPARABLE.items():
        if name in names and not set(map(type, map(itemgetter(names.index(name)), values))) <= types:
            raise DoubtfulError
    return names, values


def examine(columns: Columns) -> tuple[Ints, Bools]:
    """Bytes that each stream takes in an assignment, and which of the rows are good for certain."""
    number = len(columns.ids)
    ids, urls, names = "\n".join(columns.ids).encode(), b"\n".join(columns.urls), b"\n".join(columns.names)
    joined = b"\n".join((ids, urls, names, b""))
    ends = np.flatnonzero(np.frombuffer(joined, np.uint8) < 0x20)
    if len(ends) != 3 * number or not all(map(_is_printable, (ids, urls, names))):
        return _examine_printable(columns)
    of_texts = text_sizes(joined, ends).reshape(3, number)
    sizes = ENTRY_SIZE + of_texts.sum(0)
    for column in (columns.demands, columns.details):
        sizes += np.fromiter(map(_SIZE, column), np.int64, number)
    good = (sizes <= STREAM_LIMIT) & (of_texts[0] <= ID_LIMIT) & (of_texts[0] > 0)
    if b" " in ids:
        good &= np.array([text == text.strip() for text in columns.ids], np.bool_)
    if not _URLS.fullmatch(urls):
        good &= np.array([bool(_URLS.fullmatch(url)) for url in columns.urls], np.bool_)
    return sizes, good


_SIZE: Final = attrgetter("size")


# --- texts ------------------------------------------------------------------------------------------------


def _examine_printable(columns: Columns) -> tuple[Ints, Bools]:
    """As `examine`, without the rows that have something unprintable in a text."""
    texts = zip(map(str.encode, columns.ids), columns.urls, columns.names, strict=True)
    good = np.array([all(map(_is_printable, row)) and not _CONTROL.search(b"".join(row)) for row in texts], np.bool_)
    sizes = np.zeros(len(good), np.int64)
    if good.any():
        sizes[good], good[good] = examine(columns.only(good))
    return sizes, good


def _is_printable(lines: bytes) -> bool:
    """Of ASCII, whoever calls has looked for what comes before the space."""
    if lines.isascii():
        return b"\x7f" not in lines
    try:
        return lines.decode().replace("\n", "").isprintable()
    except UnicodeDecodeError:
        return False


# --- columns ----------------------------------------------------------------------------------------------


def _read_demand(key: tuple[Any, ...]) -> Demand:
    try:
        if not says_active(*key[:2]):
            return INACTIVE
        weight, location, capabilities = read_weight(key[2]), read_location(key[3]), read_capabilities(key[4])
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


def _ids(column: list[Any]) -> list[str]:
    types = set(map(type, column))
    if int in types and types <= {int, NoneType}:
        numbers = [number for number in column if number is not None]
        if min(numbers) not in _INTEGERS or max(numbers) not in _INTEGERS:
            raise DoubtfulError
        return ["" if number is None else str(number) for number in column]
    texts = _texts(column)
    ids = b"\n".join(texts).decode().split("\n")
    return ids if len(ids) == len(texts) else list(map(bytes.decode, texts))


def _texts(column: list[Any]) -> list[bytes]:
    """As UTF-8, which is not looked at; NULL is an empty text."""
    types = set(map(type, column))
    if types == {bytes}:
        return column
    if types <= {bytes, NoneType}:
        return [text or b"" for text in column]
    if types <= {str, NoneType}:
        return [(text or "").encode() for text in column]
    raise DoubtfulError
