"""The journal that a worker keeps and the sink that it writes to, as statements on one PostgreSQL connection.

"Never on two workers" is worth what the evidence is worth, so the evidence is written by the workers themselves and
timed by one clock, the database's. A start row is committed before a stream is processed, a stop row after it; how
long an interval lasts without a stop row is told by the beats (see journal.sql). The sink refuses a start whose token
is older than one it has seen for that stream, in the same statement that writes the row, so there is no moment
between the comparison and the effect.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

LAPSE_S: Final = 1.0
"""A run without a beat for that long is over; journal.sql says the same."""
BEAT_INTERVAL_S: Final = 0.1

FAILURES: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a statement raises when the database or the way to it fails (a TimeoutError is an OSError).

InternalClientError reads like a defect of the driver. It is what asyncpg says when a server that shuts down has said
goodbye on an idle connection, and a statement comes before the connection's end does.
"""

SCHEMA: Final = (Path(__file__).parent / "journal.sql").read_text(encoding="utf-8")

_INSTALL_LOCK: Final = 847_001


class RunLapsedError(Exception):
    """The run had no beat for a second, or was closed: what it claims to process does not count any more."""


@dataclass(frozen=True, slots=True)
class Run:
    """One life of a worker as the journal knows it."""

    run_id: int
    wait_s: float
    """How long the run before this one still lasts by definition: start nothing earlier, or it overlaps itself."""


async def install(dsn: str) -> None:
    """Create the journal's schema; harmless where it exists."""
    async with connected(dsn) as connection, connection.transaction():
        # CREATE IF NOT EXISTS of two sessions at once can fail with a unique violation.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _INSTALL_LOCK)
        await connection.execute(SCHEMA)


@contextlib.asynccontextmanager
async def connected(dsn: str, *, timeout_s: float = 10.0) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(dsn, timeout=timeout_s)
    try:
        yield connection
    finally:
        # terminate() where the server does not answer: nobody waits for a polite end.
        try:
            await connection.close(timeout=timeout_s)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            connection.terminate()


async def open_run(connection: asyncpg.Connection[Any], worker: str, *, after: int | None = None) -> Run:
    """Open a run and close the one `after` which it comes, if any."""
    row = await connection.fetchrow(
        """
        WITH before AS (
            UPDATE journal.runs SET closed = true WHERE run_id = $2 RETURNING last_beat
        ), opened AS (
            INSERT INTO journal.runs (worker) VALUES ($1) RETURNING run_id
        )
        SELECT run_id, extract(epoch FROM last_beat + interval '100 ms' - clock_timestamp())::float8 AS wait_s
        FROM opened LEFT JOIN before ON true
        """,
        worker,
        after,
    )
    assert row is not None  # noqa: S101 - an INSERT without conflict returns its row
    return Run(row["run_id"], max(0.0, row["wait_s"] or 0.0))


async def close_run(connection: asyncpg.Connection[Any], run: Run) -> None:
    await connection.execute("UPDATE journal.runs SET closed = true WHERE run_id = $1", run.run_id)


async def beat(connection: asyncpg.Connection[Any], run: Run) -> None:
    """Say that the run lives.

    Raises:
        RunLapsedError: the last beat is too long ago; this one changed nothing.
    """
    status = await connection.execute(
        """
        UPDATE journal.runs SET last_beat = clock_timestamp()
        WHERE run_id = $1 AND journal.alive(last_beat, closed)
        """,
        run.run_id,
    )
    if status != "UPDATE 1":
        raise RunLapsedError(f"run {run.run_id}")


async def start(
    connection: asyncpg.Connection[Any], run: Run, worker: str, tokens: Mapping[str, str]
) -> frozenset[str]:
    """Write a start row for each stream (id → token) whose token is not older than what the sink has seen.

    Returns the streams that were refused. Raises RunLapsedError, with nothing written, when the run is over.
    """
    streams = sorted(tokens)  # in one order everywhere, so that two workers cannot deadlock on the sink's rows
    rows = await connection.fetch(
        """
        WITH offered AS (
            SELECT o.stream, o.token FROM unnest($3::text[], $4::text[]) AS o (stream, token)
            WHERE EXISTS (SELECT FROM journal.runs WHERE run_id = $1 AND journal.alive(last_beat, closed))
        ), accepted AS (
            INSERT INTO journal.newest AS n (stream, token) SELECT stream, token FROM offered ORDER BY stream
            ON CONFLICT (stream) DO UPDATE SET token = excluded.token WHERE n.token <= excluded.token
            RETURNING n.stream
        ), started AS (
            INSERT INTO journal.intervals (run_id, worker, stream, token, started_at)
            SELECT $1, $2, o.stream, o.token, clock_timestamp() FROM offered AS o JOIN accepted USING (stream)
        ), refused AS (
            INSERT INTO journal.refusals (stream, worker, token, seen)
            SELECT o.stream, $2, o.token, coalesce(n.token, '')
            FROM offered AS o LEFT JOIN accepted AS a USING (stream) LEFT JOIN journal.newest AS n USING (stream)
            WHERE a.stream IS NULL
        )
        SELECT o.stream, a.stream IS NOT NULL AS accepted FROM offered AS o LEFT JOIN accepted AS a USING (stream)
        """,
        run.run_id,
        worker,
        streams,
        [tokens[stream] for stream in streams],
    )
    if len(rows) != len(streams):
        raise RunLapsedError(f"run {run.run_id}")
    return frozenset(row["stream"] for row in rows if not row["accepted"])


async def stop(connection: asyncpg.Connection[Any], run: Run, streams: Iterable[str]) -> None:
    """Write the stop rows of these streams.

    Raises:
        RunLapsedError: the run is over, and so are its intervals, since its last beat + 100 ms; nothing was written.
    """
    alive = await connection.fetchval(
        """
        WITH run AS (
            SELECT run_id FROM journal.runs WHERE run_id = $1 AND journal.alive(last_beat, closed)
        ), stopped AS (
            UPDATE journal.intervals AS i SET stopped_at = clock_timestamp()
            FROM run WHERE i.run_id = run.run_id AND i.stream = ANY ($2::text[]) AND i.stopped_at IS NULL
        )
        SELECT EXISTS (SELECT FROM run)
        """,
        run.run_id,
        list(streams),
    )
    if not alive:
        raise RunLapsedError(f"run {run.run_id}")
