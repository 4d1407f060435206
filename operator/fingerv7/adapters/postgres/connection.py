"""One connection to the database: opened as the Secret says, read within bounds, closed without waiting.

The same connection polls, listens and holds the advisory lock, so a pool costs the database one session. Every call
has a deadline on this side too, because a server that hangs enforces no `statement_timeout`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import asyncpg

from fingerv7.adapters.postgres.errors import Reason, SourceError
from fingerv7.adapters.postgres.failures import connect_failure, read_failure, tls_refused
from fingerv7.adapters.postgres.secret import Target
from fingerv7.adapters.postgres.spec import SourceSpec
from fingerv7.adapters.postgres.table import find_table, row_decoder, select_statement
from fingerv7.core.catalog import CatalogReader, Snapshot

if TYPE_CHECKING:
    import ssl

    from asyncpg import Connection, Record

_CHUNK_ROWS: Final = 1000
"""Rows judged between two turns of the event loop: a few milliseconds."""
_MAX_ROWS: Final = 1_000_000
"""More is no list of streams but a wrong table, and would not fit into the operator's memory."""
_GRACE_S: Final = 1.0
"""How much later than the server this side gives up, so that the server's own words are heard first."""
_CLOSE_S: Final = 1.0
_ALTERED: Final = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
"""What a query is told whose table was found a moment ago."""

_DATABASE: Final = """
SELECT d.oid::bigint AS oid, convert_to(d.datname::text, 'SQL_ASCII') AS name
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""
_SYSTEM: Final = "SELECT system_identifier FROM pg_catalog.pg_control_system()"
_LOCK: Final = "SELECT pg_catalog.pg_try_advisory_lock($1::bigint)"


class SourceConnection:
    """An open connection, as `open_connection` makes it."""

    def __init__(self, connection: Connection[Record], target: Target, spec: SourceSpec, *, encrypted: bool) -> None:
        self.encrypted = encrypted
        self.exclusive = False
        """Whether this connection holds the table's advisory lock, so that no other pool reads it as well."""
        self.listening = False
        self._connection = connection
        self._target = target
        self._spec = spec
        self._database = ""

    @property
    def lost(self) -> bool:
        return self._connection.is_closed()

    async def prepare(self, wake: Callable[[], None]) -> None:
        """Find out which database this is, and call `wake` for notifications and when the connection breaks.

        Raises SourceError.
        """
        self._connection.add_termination_listener(lambda _: wake())
        try:
            async with asyncio.timeout(self._spec.connect_timeout_s):
                self._database = await self._identify()
                await self._listen(wake)
        except Exception as error:
            raise read_failure(error, self._target, self._spec) from None

    async def read(self, reader: CatalogReader | None = None) -> Snapshot:
        """One complete reading, from one snapshot of the database. Raises SourceError.

        `reader`: who read the table before, so that what has not changed since is not made anew.
        """
        try:
            # Each statement has its own deadline; this one is for a server that always answers just in time.
            async with asyncio.timeout(3 * self._spec.statement_timeout_s + _GRACE_S):
                return await self._read_as_it_is(reader or CatalogReader())
        except Exception as error:
            raise read_failure(error, self._target, self._spec) from None

    async def close(self) -> None:
        """Say goodbye if the server still listens, and go in any case."""
        try:
            with contextlib.suppress(Exception):
                await self._connection.close(timeout=_CLOSE_S)
        finally:
            if not self._connection.is_closed():
                self._connection.terminate()

    def terminate(self) -> None:
        """Go at once, with whatever was under way."""
        self._connection.terminate()

    async def _read_as_it_is(self, reader: CatalogReader) -> Snapshot:
        try:
            return await self._read(reader)
        except _ALTERED:
            return await self._read(reader)  # looking again finds the table as it is now, or says what it lacks

    async def _read(self, reader: CatalogReader) -> Snapshot:
        encoding = self._connection.get_settings().server_encoding
        decode, count = row_decoder(encoding), 0
        reader.begin()
        # No `async with`: after a failure the connection is dropped, and a ROLLBACK would only wait once more.
        transaction = self._connection.transaction(isolation="repeatable_read", readonly=True)
        await transaction.start()
        table = await find_table(self._connection, self._spec)
        try:
            cursor = await self._connection.cursor(select_statement(self._spec, table, encoding))
        except _ALTERED:
            await transaction.rollback()
            raise
        while rows := await cursor.fetch(_CHUNK_ROWS):
            count += len(rows)
            if count > _MAX_ROWS:
                raise SourceError(
                    Reason.INVALID_DATA,
                    f"{self._spec.table} has more than {_MAX_ROWS} rows; name a view that selects the streams",
                )
            if decode:
                reader.add(map(decode, cast("list[Mapping[str, Any]]", rows)))  # a Record is one in all but name
            else:
                reader.add_values(list(rows[0].keys()), rows)
        await transaction.commit()
        if not self.exclusive:
            key = _lock_key(self._database, table.schema, table.name)
            self.exclusive = bool(await self._connection.fetchval(_LOCK, key))
        return reader.snapshot(f"{self._database}/{table.schema}.{table.name}")

    async def _identify(self) -> str:
        """`<system identifier>/<database>:<oid>`: it survives a fail-over, and no other database has it."""
        found = await self._connection.fetchrow(_DATABASE)
        try:
            system = str(await self._connection.fetchval(_SYSTEM))
        except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedFunctionError):
            system = "unknown"  # some hosted databases forbid it; name and oid still tell most databases apart
        return f"{system}/{found['name'].decode('utf-8', 'replace')}:{found['oid']}" if found else system

    async def _listen(self, wake: Callable[[], None]) -> None:
        channel = self._spec.notify_channel
        if channel is None:
            return

        def notified(*_: Any) -> None:
            wake()

        try:
            await self._connection.add_listener(channel, notified)
            self.listening = True
        except asyncpg.ReadOnlySQLTransactionError:
            pass  # a standby has no notifications: polling has to do, and the state says so


async def open_connection(target: Target, spec: SourceSpec) -> SourceConnection:
    """Connect within `connect_timeout_s`. Raises SourceError."""
    try:
        context = target.tls()
        async with asyncio.timeout(spec.connect_timeout_s):
            try:
                connection = await _connect(target, spec, context)
            except ConnectionError as error:
                if target.sslmode != "prefer" or not tls_refused(error):
                    raise
                context = None
                connection = await _connect(target, spec, context)
    except Exception as error:
        raise connect_failure(error, target, spec) from None
    return SourceConnection(connection, target, spec, encrypted=context is not None)


async def _connect(target: Target, spec: SourceSpec, context: ssl.SSLContext | None) -> Connection[Record]:
    settings = {
        "application_name": spec.application_name,
        "statement_timeout": str(max(1, round(spec.statement_timeout_s * 1000))),
        "default_transaction_read_only": "on",
        # So that a vanished operator gives its lock back in about a minute instead of two hours.
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
    }
    if target.options:
        settings["options"] = target.options
    connection: Connection[Record] = await asyncpg.connect(
        host=list(target.hosts),
        port=list(target.ports),
        database=target.database,
        user=target.user,
        password=target.password,
        ssl=context or False,
        direct_tls=False,
        timeout=spec.connect_timeout_s,
        command_timeout=spec.statement_timeout_s + _GRACE_S,
        # The table may change between two polls, and poolers mix up prepared statements.
        statement_cache_size=0,
        server_settings=settings,
        target_session_attrs=cast("Any", target.target_session_attrs),  # the enum is private, its text is accepted
    )
    return connection


def _lock_key(database: str, schema: str, table: str) -> int:
    digest = hashlib.blake2b(f"fingerv7/{database}/{schema}.{table}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
