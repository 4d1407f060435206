"""Many rows, judged at once by their columns.

A row at a time costs a dozen steps of Python, a column costs one step of C. So a portion of rows is looked at in
columns: values that repeat are judged once, texts are searched when they are joined. That finds the rows that are
good for certain, by rules that are nowhere wider than those of `row`; what it cannot vouch for, `row` decides.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import chain, repeat
from operator import itemgetter
from types import NoneType
from typing import Any, Final, Generic, TypeVar

import numpy as np

from fingerv7.core.columns import Catalog, Columns, Demand, Details, integers
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

T = TypeVar("T", Demand, Details)

_URL: Final = rb"https?+://[A-Za-z0-9._-]++(?:/.*+|(?::[0-5]?[0-9]{1,4})?+(?:[/?#].*+)?+)"
_URLS: Final = re.compile(_URL + rb"(?:\n" + _URL + rb")*+")
"""Plain URLs, one a line. That none of them has more than one line is found out elsewhere."""
_INTEGERS: Final = range(-(1 << 63), 1 << 63)
_CONTROL: Final = re.compile(rb"[\x00-\x1f]")
_DEMAND: Final = ("weight", "location", "capabilities")
"""Columns that make a demand."""
_COMPARABLE: Final = {"active": {NoneType, bool, int, str, bytes}, "weight": {NoneType, int, str, bytes}}
"""Types whose equal values say the same: a float would pass for the number, and as a weight True for 1."""
_TEXTS: Final = ("id", "url", "name")
"""Columns whose values are of one type, or None."""
_BAD_DEMAND: Final = Demand(0, "", frozenset(), STREAM_LIMIT + 1)
_BAD_DETAILS: Final = Details({}, STREAM_LIMIT + 1)
"""Larger than any stream may be, so that no row with one of them is certain."""
_SPARE: Final = 1000
"""Values that may be known besides those that streams say."""


class DoubtfulError(Exception):
    """Nothing is certain about these rows."""


class Known(dict[Hashable, int], Generic[T]):
    """Values that repeat from row to row and from reading to reading, each judged once, and a number from then on."""

    def __init__(self, judge: Callable[[Any], T]) -> None:
        super().__init__()
        self._judge: Callable[[Any], T] = judge
        self._free: list[int] = []
        """Numbers of what was forgotten."""
        self.judged: list[T] = []
        """What the numbers stand for."""
        self.sizes = array("i")
        """Of what is judged."""

    def __missing__(self, value: Hashable) -> int:
        """Raises what the judge raises."""
        judged = self._judge(value)
        if self._free:
            number = self._free.pop()
            self.judged[number], self.sizes[number] = judged, judged.size
        else:
            number = len(self.judged)
            self.judged.append(judged)
            self.sizes.append(judged.size)
        self[value] = number
        return number

    def numbers(self, values: Iterable[Any], count: int) -> array[int]:
        """Of so many values. Raises TypeError for what cannot be a key, and what the judge raises."""
        return integers(np.fromiter(map(self.__getitem__, values), np.intc, count))

    def sizes_of(self, numbers: array[int]) -> Ints:
        return np.array(self.sizes)[numbers]

    def forget(self, but: array[int]) -> None:
        """Keep only what has one of these numbers. Other numbers will stand for something else, but in a new list:
        who has the old one still finds in it what they stood for.
        """
        used = set(but)
        for value in [value for value, number in self.items() if number not in used]:
            del self[value]
        self.judged = self.judged.copy()
        self._free = [number for number in range(len(self.judged)) if number not in used]


class Judge:
    """Judges the portions of one reading after the other."""

    def __init__(self) -> None:
        self._demands = Known(_read_demand)
        self._details = Known(_read_details)

    def catalog(self) -> Catalog:
        """An empty one, for columns that are judged here."""
        return Catalog(self._demands.judged, self._details.judged)

    def forget(self, but: Catalog) -> None:
        """When there is much that these streams do not say."""
        if max(len(self._demands), len(self._details)) > len(but) + _SPARE:
            self._demands.forget(but.columns.demands)
            self._details.forget(but.columns.details)
            but.demands, but.details = self._demands.judged, self._details.judged

    def columns(self, column: Mapping[str, list[Any]], count: int) -> Columns:
        """So many active rows, of which nothing is certain yet. Raises DoubtfulError."""
        nothing = [None] * count
        demands = zip(*(column.get(name, nothing) for name in _DEMAND), strict=True)
        try:
            return Columns(
                _ids(column.get("id", nothing)),
                _texts(column.get("url", nothing)),
                _texts(column.get("name", nothing)),
                self._demands.numbers(demands, count),
                self._details.numbers(column.get("metadata", nothing), count),
            )
        except (TypeError, ValueError) as error:
            raise DoubtfulError from error

    def one(self, row: Mapping[str, Any], stream: Stream) -> Columns:
        """A single good row, equal to what it would be among others."""
        demand, metadata = tuple(map(row.get, _DEMAND)), row.get("metadata")
        if not _is_key(demand):
            demand = stream.weight, stream.location, stream.capabilities
        if not _is_key(metadata):
            metadata = json.dumps(dict(stream.metadata), ensure_ascii=False)
        return Columns(
            [stream.id],
            [stream.url.encode()],
            [stream.name.encode()],
            self._demands.numbers([demand], 1),
            self._details.numbers([metadata], 1),
        )

    def examine(self, columns: Columns) -> tuple[Ints, Bools]:
        """Bytes that each stream takes in an assignment, and which of the rows are good for certain."""
        others = self._demands.sizes_of(columns.demands) + self._details.sizes_of(columns.details)
        return _examine(columns, ENTRY_SIZE + others)


def turn(rows: Sequence[Mapping[str, Any]]) -> tuple[Sequence[str], Values]:
    """Names, and values in their order. Raises DoubtfulError where rows differ in names, or in more than values."""
    names = list(rows[0].keys())
    if len(names) < 2 or set(map(len, rows)) != {len(names)}:
        raise DoubtfulError
    try:
        values = list(map(itemgetter(*names), rows))
    except KeyError as error:
        raise DoubtfulError from error
    for place, name in enumerate(names):
        if name in _COMPARABLE or name in _TEXTS:
            types = set(map(type, map(itemgetter(place), values)))
            if len(types - {NoneType}) > 1 if name in _TEXTS else not types <= _COMPARABLE[name]:
                raise DoubtfulError
    return names, values


def in_columns(names: Sequence[str], rows: Values) -> dict[str, list[Any]]:
    values = list(chain.from_iterable(rows))
    return {name: values[number :: len(names)] for number, name in enumerate(names)}


def activity(column: Mapping[str, list[Any]], count: int) -> list[bool | None] | None:
    """Whether each of so many rows is active, and None for one that says neither; no list where all of them are.
    Raises DoubtfulError.
    """
    active = column.get("active") or [None] * count
    if "status" not in column and active[0] is True and active.count(True) == count:
        return None
    said = list(zip(active, column.get("status") or repeat(ABSENT, count), strict=True))
    try:
        answers = {pair: _says_active(*pair) for pair in set(said)}
    except TypeError as error:
        raise DoubtfulError from error
    return None if all(answers.values()) else list(map(answers.__getitem__, said))


def _examine(columns: Columns, others: Ints) -> tuple[Ints, Bools]:
    """`others`: bytes of what is not in these texts."""
    number = len(columns.ids)
    ids, urls, names = "\n".join(columns.ids).encode(), b"\n".join(columns.urls), b"\n".join(columns.names)
    joined = b"\n".join((ids, urls, names, b""))
    of_texts = text_sizes(joined)
    if len(of_texts) != 3 * number or not all(map(_is_printable, (ids, urls, names))):
        return _examine_printable(columns, others)
    of_texts = of_texts.reshape(3, number)
    sizes = others + of_texts.sum(0)
    good = (sizes <= STREAM_LIMIT) & (of_texts[0] <= ID_LIMIT) & (of_texts[0] > 0)
    if b" " in ids:
        good &= np.array([text == text.strip() for text in columns.ids], np.bool_)
    if not _URLS.fullmatch(urls):
        good &= np.array([bool(_URLS.fullmatch(url)) for url in columns.urls], np.bool_)
    return sizes, good


# --- texts ------------------------------------------------------------------------------------------------


def _examine_printable(columns: Columns, others: Ints) -> tuple[Ints, Bools]:
    """As `_examine`, without the rows that have something unprintable in a text."""
    texts = zip(map(str.encode, columns.ids), columns.urls, columns.names, strict=True)
    good = np.array([all(map(_is_printable, row)) and not _CONTROL.search(b"".join(row)) for row in texts], np.bool_)
    sizes = np.zeros(len(good), np.int64)
    if good.any():
        sizes[good], good[good] = _examine(columns.only(good), others[good])
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


def _says_active(active: object, status: object) -> bool | None:
    try:
        return says_active(active, status)
    except BadRowError:
        return None


def _read_demand(key: tuple[Any, Any, Any]) -> Demand:
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


def _ids(column: list[Any]) -> list[str]:
    if _type(column) is int:
        numbers = [number for number in column if number is not None]
        if min(numbers) not in _INTEGERS or max(numbers) not in _INTEGERS:
            raise DoubtfulError
        return ["" if number is None else str(number) for number in column]
    texts = _texts(column)
    ids = b"\n".join(texts).decode().split("\n")
    return ids if len(ids) == len(texts) else list(map(bytes.decode, texts))


def _texts(column: list[Any]) -> list[bytes]:
    """As UTF-8, which is not looked at; NULL is an empty text."""
    kind = _type(column)
    if kind is bytes:
        return column if all(column) else [text or b"" for text in column]
    if kind is str:
        return [(text or "").encode() for text in column]
    raise DoubtfulError


def _type(column: list[Any]) -> type:
    """Of all values but None."""
    return next((type(value) for value in column if value is not None), bytes)
