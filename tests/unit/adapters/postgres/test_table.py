from __future__ import annotations

import pytest

from fingerv7.adapters.postgres.errors import Reason, SourceError
from fingerv7.adapters.postgres.spec import SourceSpec
from fingerv7.adapters.postgres.table import Column, Table, row_decoder, select_statement


def table(**types: str) -> Table:
    return Table("public", "streams", {name: Column(name, "pg_catalog", kind, "X") for name, kind in types.items()})


def test_values_are_cut_in_the_database() -> None:
    sql = select_statement(SourceSpec("streams"), table(id="int4", url="text", active="bool"), "UTF8")
    assert sql == (
        'SELECT "id" AS "id", pg_catalog.substr(pg_catalog.textsend("url"::text), 1, 4097) AS "url", '
        '"active" AS "active" FROM "streams"'
    )


def test_a_database_without_encoding_is_not_asked_to_convert() -> None:
    sql = select_statement(SourceSpec("streams"), table(id="text", url="text", active="bool"), "SQL_ASCII")
    assert "substr(convert_to(\"url\"::text, 'SQL_ASCII'), 1, 4097)" in sql


def test_missing_columns_are_named_with_what_there_is() -> None:
    many = {f"c{i:02}": "text" for i in range(60)}
    with pytest.raises(SourceError, match=r"no columns active \(columns.active\), id \(columns.id\), url") as caught:
        select_statement(SourceSpec("streams"), table(**many), "UTF8")
    assert caught.value.reason == Reason.COLUMN_MISSING
    assert "c39 and 20 more" in caught.value.message


@pytest.mark.parametrize(
    ("encoding", "raw", "text"),
    [
        ("LATIN1", b"caf\xe9", "café"),
        ("WIN1252", b"\x80", "€"),
        ("KOI8R", b"\xd2", "р"),
        ("EUC_JP", b"\xc6\xfc", "日"),
        ("ISO_8859_5", b"\xe0", "р"),
        ("MULE_INTERNAL", b"plain", "plain"),
    ],
)
def test_other_encodings_become_text(encoding: str, raw: bytes, text: str) -> None:
    decode = row_decoder(encoding)
    assert decode is not None
    assert decode({"name": raw, "weight": 1, "url": None}) == {"name": text, "weight": 1, "url": None}


@pytest.mark.parametrize(
    ("encoding", "raw"), [("WIN1252", b"\x81"), ("EUC_JP", b"\xff"), ("MULE_INTERNAL", b"\x91\xe1")]
)
def test_what_an_encoding_does_not_define_is_left_for_the_quarantine(encoding: str, raw: bytes) -> None:
    decode = row_decoder(encoding)
    assert decode is not None
    assert decode({"name": raw}) == {"name": raw}


@pytest.mark.parametrize("encoding", ["UTF8", "SQL_ASCII"])
def test_elsewhere_bytes_are_read_as_utf8_later(encoding: str) -> None:
    assert row_decoder(encoding) is None
