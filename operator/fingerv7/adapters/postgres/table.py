"""The one query that reads the table, built from the columns that the table has.

Values never leave the database whole: every text comes as the bytes that are stored, cut where it could not fit
anyway. Bytes, because a database in SQL_ASCII (or a damaged one) holds what is not UTF-8, and asking for text would
make the server refuse the whole result for one row; as bytes, that row is quarantined and the others are served.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fingerv7.adapters.postgres.errors import Reason, SourceError
from fingerv7.adapters.postgres.spec import SourceSpec, quote_identifier
from fingerv7.core.catalog import FETCH_LIMIT

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_READABLE: Final = ("r", "p", "v", "m", "f")
"""Tables, partitioned tables, views, materialised views, foreign tables."""
_INTEGERS: Final = ("int2", "int4", "int8")
_AS_THEY_ARE: Final = {"id": _INTEGERS, "weight": _INTEGERS, "active": ("bool", *_INTEGERS)}
"""Small types that are read as what they are; everything else is read as text."""
_SHOWN: Final = 40

_FIND: Final = """
SELECT c.oid::bigint AS oid, c.relkind::text AS kind, convert_to(n.nspname::text, 'SQL_ASCII') AS schema
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass($1)
"""
_DESCRIBE: Final = """
SELECT convert_to(a.attname::text, 'SQL_ASCII') AS name, convert_to(n.nspname::text, 'SQL_ASCII') AS type_schema,
       convert_to(t.typname::text, 'SQL_ASCII') AS type, t.typcategory::text AS category
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type d ON d.oid = a.atttypid
JOIN pg_catalog.pg_type t ON t.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

Decode = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table and its type, domains resolved."""

    name: str
    type_schema: str
    type: str
    category: str
    """`pg_type.typcategory`."""


@dataclass(frozen=True, slots=True)
class Table:
    """The table as it is now."""

    schema: str
    name: str
    columns: Mapping[str, Column]


async def find_table(connection: Connection[Record], spec: SourceSpec) -> Table:
    """Look the table up. Raises SourceError where there is none that can be read."""
    found = await connection.fetchrow(_FIND, spec.quoted_table)
    if found is None or found["kind"] not in _READABLE:
        what = "does not exist" if found is None else "is neither a table nor a view"
        raise SourceError(
            Reason.TABLE_MISSING,
            f"{spec.table} {what} in this database; correct spec.source.postgres.table (upper and lower case matter, "
            "and a schema outside the search_path is written as schema.table)",
        )
    rows = await connection.fetch(_DESCRIBE, found["oid"])
    columns = (
        Column(_shown(row["name"]), _shown(row["type_schema"]), _shown(row["type"]), row["category"]) for row in rows
    )
    return Table(_shown(found["schema"]), spec.table.rpartition(".")[2], {column.name: column for column in columns})


def select_statement(spec: SourceSpec, table: Table, server_encoding: str) -> str:
    """A SELECT whose columns have the logical names. Raises SourceError for a missing column."""
    names = spec.column_names()
    missing = {logical: name for logical, name in names.items() if name not in table.columns}
    wanted = {logical: name for logical, name in missing.items() if spec.must_exist(logical)}
    if wanted:
        raise SourceError(Reason.COLUMN_MISSING, _missing(spec, wanted, table.columns))
    selected = ", ".join(
        f"{_expression(logical, table.columns[name], server_encoding)} AS {quote_identifier(logical)}"
        for logical, name in names.items()
        if logical not in missing and logical != "updated_at"  # nothing depends on it yet
    )
    return f"SELECT {selected} FROM {spec.quoted_table}"  # noqa: S608 - identifiers, validated and quoted


def row_decoder(server_encoding: str) -> Decode | None:
    """How rows of a database that is neither UTF-8 nor SQL_ASCII become text; None where nothing is to be done.

    What its own encoding does not define stays bytes, and is quarantined for that later.
    """
    if server_encoding in ("UTF8", "SQL_ASCII"):
        return None
    codec = _codec(server_encoding)

    def decode(row: Mapping[str, Any]) -> Mapping[str, Any]:
        return {logical: _decoded(value, codec) for logical, value in row.items()}

    return decode


# --- expressions ------------------------------------------------------------------------------------------


def _expression(logical: str, column: Column, server_encoding: str) -> str:
    name = quote_identifier(column.name)
    if column.type_schema == "pg_catalog" and column.type in _AS_THEY_ARE.get(logical, ()):
        return name
    if column.type == "hstore":
        # Its functions are in the schema that the extension was installed into.
        text = f"{quote_identifier(column.type_schema)}.hstore_to_json({name})::text"
    elif column.category == "A" and logical == "capabilities":
        text = f"pg_catalog.array_to_string({name}, ',')"
    else:
        text = f"{name}::text"
    # Both give the stored bytes: textsend without looking at them where nothing is to be converted, which lets even
    # a damaged UTF-8 database be read; convert_to to SQL_ASCII everywhere else.
    raw = f"pg_catalog.textsend({text})" if server_encoding == "UTF8" else f"convert_to({text}, 'SQL_ASCII')"
    return f"pg_catalog.substr({raw}, 1, {FETCH_LIMIT + 1})"


def _missing(spec: SourceSpec, wanted: Mapping[str, str], present: Iterable[str]) -> str:
    names = sorted(present)
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    named = ", ".join(f"{name} (columns.{_camel(logical)})" for logical, name in sorted(wanted.items()))
    what = "column" if len(wanted) == 1 else "columns"
    return f"{spec.table} has no {what} {named}; it has {shown or 'none'}. Correct spec.source.postgres.columns"


def _camel(logical: str) -> str:
    return "updatedAt" if logical == "updated_at" else logical


def _codec(server_encoding: str) -> str:
    """Python's name of a PostgreSQL encoding; ASCII where it has none, so that only plain rows pass."""
    name = server_encoding.lower()
    name = {"koi8r": "koi8_r", "koi8u": "koi8_u", "euc_cn": "gb2312"}.get(name, name)
    if name.startswith("win"):
        name = "cp" + name[3:]
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "ascii"


def _decoded(value: object, codec: str) -> object:
    if isinstance(value, bytes):
        try:
            return value.decode(codec)
        except UnicodeDecodeError:
            return value
    return value


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace")
