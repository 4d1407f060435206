"""Rows judged many at once, and again and again: the answers are those of one row at a time, read for the first time."""

from __future__ import annotations

import os
from decimal import Decimal
from itertools import compress
from types import NoneType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fingerv7.core.catalog import CatalogReader, Quarantined, Snapshot, read_rows
from fingerv7.core.model import Stream
from fingerv7.core.planner import StreamTable
from fingerv7.core.row import BadRowError, is_active, printable_id, read_stream

Row = dict[str, Any]

# A long run: CATALOG_EXAMPLES=10000 pytest --timeout=0.
law = settings(deadline=None, max_examples=int(os.environ.get("CATALOG_EXAMPLES", "100")))

TEXTS = (
    "",
    " ",
    "a",
    "a b",
    " a",
    "Rádio",
    "R&B",
    '"<\\>"',
    "\xa0",
    "\u2028",
    "\x00",
    "a\nb",
    "\x7f",
    "\ud800",
    "x" * 400,
)
VALUES: dict[str, tuple[Any, ...]] = {
    "id": (
        *TEXTS,
        *"bcdefgh",
        1,
        2,
        -3,
        1 << 63,
        1 << 900,
        True,
        1.0,
        UUID(int=1),
        "x" * 253,
        "ü" * 200,
        b"\xc3",
        b"\xa9",
    ),
    "url": (
        *(f"http://host-{n}.example:{n}000/{n}?a=b&c=d" for n in range(1, 8)),
        *("https://h", "http://h#", "http://u:p@h/", "HTTP://h/", "http://h:65535/", "http://h:65536/", "http://h:"),
        *(
            "http://rädio/",
            "http://h/ü",
            "http://h/a b",
            "http://a/ http://b/",
            "http://a/\nhttp://b/",
            "http://a/\n",
        ),
        *("ftp://h/", "http://", "http://h/" + "x" * 980, b"http://h/\xc3", *TEXTS, 7),
    ),
    "name": (*TEXTS, b"\xc3", b"\xa9", "&" * 170, 7, bytearray(b"x")),
    "active": (False, None, 1, 0, 1.0, "yes", "no", "maybe", b"t", [True]),
    "status": ("active", b" Active", "deleted", None, 1, ["active"]),
    "location": (*TEXTS, "de", 1, True),
    "weight": (*range(-1, 5), True, False, 1.0, 1.5, Decimal(1), "2", b"3.0", "x", 1001, [1]),
    "capabilities": ("", "a,b", b"b, a", ["a", None], ("a",), frozenset("a"), 0, 1, "a b", {"a": 1}),
    "metadata": (
        "",
        "{}",
        '{"a":"&"}',
        b'{"a":1}',
        '{"a":"\\n"}',
        "[]",
        "{",
        {"a": 1},
        {"a": [1]},
        7,
        False,
        b"\xff",
    ),
}
USUAL: dict[str, Any] = {"url": "http://a/b?c=d&e", "name": "One", "active": True, "location": "de", "weight": 1}

# Made once: making a strategy takes longer than drawing from it.
encoded = st.sampled_from([lambda row: row, lambda row: {column: _encoded(value) for column, value in row.items()}])
some_column = st.sampled_from(sorted(VALUES))
columns_of_a_table = st.sets(some_column)
changed_columns = st.lists(some_column, max_size=2)
value_of = {column: st.sampled_from(values) for column, values in VALUES.items()}
number_of_rows = st.integers(0, 12)
one_in_ten = st.integers(0, 9).map(lambda n: n == 0)
one_in_twenty = st.integers(0, 19).map(lambda n: n == 0)


def _encoded(value: Any) -> Any:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """Rows of one query, most of them good; now and then a row that lacks a column or has one more."""
    columns = draw(columns_of_a_table) | {"id", "url", "active"}
    encode = draw(encoded)
    rows = []
    for number in range(draw(number_of_rows)):
        row = {column: USUAL.get(column) for column in sorted(columns)} | {"id": f"id-{number}"}
        if "status" in columns:
            row["status"] = "active"
        for column in draw(changed_columns):
            if column in columns or draw(one_in_ten):
                row[column] = draw(value_of[column])
        if draw(one_in_twenty):
            row.pop(draw(st.sampled_from(sorted(row))))
        rows.append(encode(row))
    return rows


any_table = tables()


def table(**column: list[Any]) -> list[Row]:
    """Rows that are good but for one column."""
    ((name, values),) = column.items()
    return [{**USUAL, "id": f"id-{number}", name: value} for number, value in enumerate(values)]


def one_by_one(rows: list[Row]) -> tuple[dict[str, Stream], list[Quarantined], int]:
    """What the rules for one row say, without anything that makes it fast."""
    found: dict[str, list[Stream]] = {}
    bad: list[Quarantined] = []
    inactive = 0
    for row in rows:
        try:
            if is_active(row):
                stream = read_stream(row)
                found.setdefault(stream.id, []).append(stream)
            else:
                inactive += 1
        except BadRowError as error:
            bad.append(Quarantined(printable_id(row.get("id")), error.reason, error.message))
    served = {}
    for stream_id, streams in found.items():
        served[stream_id] = min(
            streams,
            key=lambda s: (s.url, s.name, s.location, s.weight, sorted(s.capabilities), sorted(s.metadata.items())),
        )
        message = "another row with this id is served; ids have to be unique among active rows"
        bad += [Quarantined(printable_id(stream_id), "DuplicateId", message)] * (len(streams) - 1)
    return served, sorted(bad, key=lambda q: (q.id, q.reason, q.message)), inactive


def as_from_a_database(rows: list[Row]) -> list[Row]:
    """Those that one table can hold: with the same columns, in each of which every value has the same type."""
    kept: list[Row] = []
    types: dict[str, type] = dict.fromkeys((rows or [{}])[0], NoneType)
    for row in rows:
        if row.keys() == types.keys() and all(
            value is None or types[name] in (NoneType, type(value)) for name, value in row.items()
        ):
            kept.append(row)
            types |= {name: type(value) for name, value in row.items() if value is not None}
    return kept


def agree(reader: CatalogReader, rows: list[Row]) -> None:
    reader.add(rows)
    compare(reader.snapshot("db"), rows)


def compare(snapshot: Snapshot, rows: list[Row]) -> None:
    streams, bad, inactive = one_by_one(rows)
    assert dict(snapshot.streams) == streams
    assert {i: stream.size for i, stream in snapshot.streams.items()} == {i: s.size for i, s in streams.items()}
    assert (list(snapshot.quarantined), snapshot.inactive) == (bad, inactive)
    assert snapshot.duplicate_urls == len(streams) - len({stream.url for stream in streams.values()})
    by_columns, by_streams = StreamTable(snapshot.streams), StreamTable(streams)
    for table in (by_columns, by_streams):
        assert [table.index[i] for i in table.ids] == list(range(len(table)))
    assert by_columns.ids == by_streams.ids
    assert by_columns.traits == by_streams.traits
    for column in ("weights", "rank", "trait", "sizes"):
        assert getattr(by_columns, column).tolist() == getattr(by_streams, column).tolist()


@law
@given(any_table)
@example(table(id=[b"\xc3", b"\xa9"]))
@example(table(id=["", " ", None]))
@example(table(id=["a", 1, "a"]))
@example(table(id=[1, None, 1]))
@example(table(name=[b"\xc3", b"\xa9"]))
@example(table(url=["http://a/", ""]))
@example(table(url=["http://a/\nhttp://b/", "http://a/ http://b/"]))
@example(table(weight=[1, True, 1.0, Decimal(1)]))
@example(table(active=[1, True, 1.0, False, 0]))
def test_many_rows_are_judged_as_each_of_them_alone(rows: list[Row]) -> None:
    agree(CatalogReader(), rows)


@law
@given(any_table)
def test_so_are_values_of_columns(rows: list[Row]) -> None:
    rows = as_from_a_database(rows)
    names = list(rows[0]) if rows else []
    reader = CatalogReader()
    for _ in range(2):
        reader.add_values(names, [tuple(row[name] for name in names) for row in rows])
        compare(reader.snapshot("db"), rows)


@law
@given(any_table, st.data())
def test_a_table_that_was_read_before_is_judged_as_for_the_first_time(rows: list[Row], data: st.DataObject) -> None:
    reader = CatalogReader()
    agree(reader, rows)
    for _ in range(3):
        reader.add(data.draw(any_table))  # a reading that breaks off
        reader.begin()
        kept = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
        rows = list(compress(rows, kept)) + data.draw(any_table)
        rows = data.draw(st.permutations(rows)) if data.draw(st.booleans()) else rows
        agree(reader, rows)


@pytest.mark.parametrize("column", ["id", "url", "name", "active", "weight", "location", "capabilities", "metadata"])
def test_of_many_rows_only_the_bad_one_is_refused(column: str) -> None:
    rows = [{**USUAL, "id": str(n), "capabilities": "hls", "metadata": "{}"} for n in range(1000)]
    rows[700][column] = "\x00"
    snapshot = read_rows(rows, identity="db")
    assert sorted(snapshot.streams, key=int) == [str(n) for n in range(1000) if n != 700]
    assert len(snapshot.quarantined) == 1


class TestReadingAgain:
    def rows(self, number: int = 1200) -> list[Row]:
        return [
            {**USUAL, "id": f"{n}".encode(), "url": f"http://a/{n}".encode(), "name": b"One"} for n in range(number)
        ]

    def read(self, reader: CatalogReader, rows: list[Row]) -> Any:
        reader.add(rows)
        return reader.snapshot("db").streams

    def test_unchanged_rows_give_the_same_object_whatever_else_is_in_the_table(self) -> None:
        reader = CatalogReader()
        bad: Row = {**USUAL, "id": b"bad", "url": b"ftp://a", "name": b""}
        by_hand: Row = {**USUAL, "id": b"careful", "url": b"http://u:p@a/", "name": b""}
        first = self.read(reader, [*self.rows(700), by_hand, *self.rows()[700:]])
        assert (
            self.read(reader, [*self.rows(700), by_hand, bad, *self.rows()[700:], {**bad, "active": None}]) is first
        )

    def test_so_do_rows_in_another_order(self) -> None:
        reader = CatalogReader()
        first = self.read(reader, self.rows())
        assert self.read(reader, self.rows()[::-1]) is first

    def test_a_changed_row_leaves_the_other_streams_as_they_were_made(self) -> None:
        reader = CatalogReader()
        first = dict(self.read(reader, self.rows()))
        rows = self.rows()
        rows[600]["url"] = b"http://b/"
        rows.append(rows.pop(300))
        second = self.read(reader, rows)
        assert second["600"].url == "http://b/"
        assert [i for i in second if second[i] is not first[i]] == ["600"]

    @pytest.mark.parametrize("number", [0, 1, 1199])
    def test_rows_that_are_gone_are_gone(self, number: int) -> None:
        reader = CatalogReader()
        first = self.read(reader, self.rows())
        assert len(self.read(reader, self.rows(number))) == number
        assert len(first) == 1200
        assert self.read(reader, self.rows()) == first

    def test_what_rows_no_longer_say_is_forgotten_but_by_the_readings_that_met_it(self) -> None:
        reader = CatalogReader()
        tables = [
            [{**row, "location": f"{reading}-{n}", "metadata": f'{{"a":"{reading}-{n}"}}'} for n, row in rows]
            for reading, rows in enumerate([list(enumerate(self.rows()))] * 4)
        ]
        read = [self.read(reader, rows) for rows in tables]
        assert [list(streams.values()) for streams in read] == [
            list(read_rows(rows, identity="db").streams.values()) for rows in tables
        ]
        assert self.read(reader, tables[-1]) is read[-1]

    def test_rows_with_one_id_are_the_same_one_again(self) -> None:
        reader = CatalogReader()
        first = self.read(reader, [*self.rows(), *self.rows(3)])
        assert self.read(reader, [*self.rows(3), *self.rows()]) is first
        other = {**self.rows(4)[3], "url": b"http://0/"}
        assert self.read(reader, [*self.rows(), other])["3"].url == "http://0/"
