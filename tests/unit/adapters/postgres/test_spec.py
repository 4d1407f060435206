from __future__ import annotations

import pytest

from fingerv7.adapters.postgres.spec import SourceSpec


@pytest.mark.parametrize(
    ("table", "quoted"),
    [
        ("streams", '"streams"'),
        ("Radio.Streams", '"Radio"."Streams"'),
        ("_a$1", '"_a$1"'),
        ("x" * 63, f'"{"x" * 63}"'),
    ],
)
def test_tables_are_quoted(table: str, quoted: str) -> None:
    assert SourceSpec(table).quoted_table == quoted


@pytest.mark.parametrize("table", ["", "a.b.c", "a.", ".a", "1a", 'a"b', "a b", "a;drop", "a\x00", "x" * 64, "ä"])
def test_what_is_no_table_is_refused_with_what_would_be_one(table: str) -> None:
    with pytest.raises(ValueError, match=r"write name or schema\.name, an SQL identifier"):
        SourceSpec(table)


def test_columns_have_defaults_and_none_means_not_read() -> None:
    names = SourceSpec("t", columns={"url": "href", "status": None}).column_names()
    assert names == {
        "id": "id", "url": "href", "name": "name", "active": "active", "updated_at": "updated_at", "metadata": "metadata",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "required", "logical", "must"),
    [
        ({}, frozenset(), "id", True),
        ({}, frozenset(), "name", False),
        ({"name": "name"}, frozenset(), "name", False),
        ({"name": "name"}, frozenset({"name"}), "name", True),
        ({"name": "title"}, frozenset(), "name", True),
        ({"weight": "weight"}, frozenset(), "weight", True),
    ],
)
def test_what_was_chosen_has_to_exist(
    columns: dict[str, str | None], required: frozenset[str], logical: str, must: bool
) -> None:
    assert SourceSpec("t", columns=columns, required=required).must_exist(logical) is must


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": {"nme": "x"}},
        {"columns": {"name": 'x"y'}},
        {"notify_channel": "a b"},
        {"poll_interval_s": 0},
        {"connect_timeout_s": -1},
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"write|known are|greater than zero"):
        SourceSpec("t", **wrong)  # type: ignore[arg-type]
