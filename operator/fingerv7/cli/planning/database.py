"""Streams from PostgreSQL, read as the operator reads them: the same connection, query and judgement of rows.

Read-only, in one snapshot, and without the advisory lock by which operators notice each other.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from fingerv7.adapters.postgres.connection import open_connection
from fingerv7.adapters.postgres.errors import SourceError
from fingerv7.adapters.postgres.secret import Target, read_target
from fingerv7.adapters.postgres.spec import SourceSpec
from fingerv7.cli.errors import CliError
from fingerv7.core.catalog import Snapshot

SCHEMES: Final = ("postgresql://", "postgres://")

_STATEMENT_TIMEOUT_S: Final = 60.0
# The adapter speaks to people who configure a pool; whoever calls us has a DSN and options instead.
_WORDS: Final = (
    ("the Secret's uri names", "the DSN names"),
    ("put the certificate itself under the key ca.crt", "name a file that can be read"),
    ("the Secret's uri", "the DSN"),
    ("in the Secret's uri", "in the DSN"),
    ("the Secret's ca.crt", "the file in sslrootcert"),
    ("the Secret's key ca.crt", "the file in sslrootcert"),
    ("the Secret has a ca.crt", "the DSN has sslrootcert"),
    ("remove ca.crt", "remove sslrootcert"),
    ("in the Secret", "in the DSN"),
    ("the Secret's", "the DSN's"),
    ("spec.source.postgres.table", "--table"),
    ("spec.source.postgres.columns", "--columns"),
    (" (connectTimeout)", ""),
    (", or raise statementTimeout", ""),
)


def read_database(dsn: str, *, table: str, columns: Mapping[str, str | None], chosen: frozenset[str]) -> Snapshot:
    """`chosen` are the logical columns that somebody named. Raises CliError; no message has a password in it."""
    try:
        spec = SourceSpec(
            table=table,
            columns=columns,
            required=chosen,
            statement_timeout_s=_STATEMENT_TIMEOUT_S,
            application_name="fingerv7-plan",
        )
    except ValueError as error:
        raise CliError(f"{error} (--table and --columns)") from None
    try:
        return asyncio.run(_read(_target(dsn), spec))
    except SourceError as error:
        message = error.message
        for theirs, ours in _WORDS:
            message = message.replace(theirs, ours)
        raise CliError(message) from None


async def _read(target: Target, spec: SourceSpec) -> Snapshot:
    connection = await open_connection(target, spec)
    connection.exclusive = True  # as if the lock were held already: a look takes none
    try:
        return await connection.read()
    finally:
        await connection.close()


def _target(dsn: str) -> Target:
    secret = {"uri": dsn.encode(errors="surrogateescape")}
    try:
        root = parse_qs(urlsplit(dsn).query).get("sslrootcert", [""])[0]
    except ValueError:
        root = ""  # what is wrong with the DSN is told better below
    if root not in ("", "system"):
        try:
            secret["ca.crt"] = Path(root).expanduser().read_bytes()
        except OSError as error:
            raise CliError(f"the file in sslrootcert, {root}, cannot be read: {error.strerror or error}") from error
    target = read_target(secret)
    # So that a password need not stand on a command line, where everybody on the machine can read it.
    password = os.environ.get("PGPASSWORD", "")
    return target if target.password or not password else replace(target, password=password)
