"""Reads the journal and says whether the promise was kept: no stream on two workers, none on nobody for too long.

Everything is computed by the database that timed it. `check` is the whole verdict, `gap_figures` are percentiles for
benchmarks; `python -m reference_worker.checker --help` does the same in a terminal.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Collection, Sequence
from datetime import datetime

from reference_worker import queries
from reference_worker.blocking import run_blocking
from reference_worker.journal import connected
from reference_worker.verdict import Gap, GapFigures, Overlap, Refusal, Verdict, Window
from reference_worker.verdict import allowed_gap_s as limit


def check(
    dsn: str,
    *,
    allowed_gap_s: float,
    since: datetime | None = None,
    expected: Collection[str] | None = None,
    windows: Sequence[Window] = (),
    refusals_allowed: bool = False,
) -> Verdict:
    """Judge what ended after `since` (all by default); `expected` are the ids that should be running now.

    Blocks; may be called from a running event loop too.
    """
    return run_blocking(
        check_async(
            dsn,
            allowed_gap_s=allowed_gap_s,
            since=since,
            expected=expected,
            windows=windows,
            refusals_allowed=refusals_allowed,
        )
    )


async def check_async(
    dsn: str,
    *,
    allowed_gap_s: float,
    since: datetime | None = None,
    expected: Collection[str] | None = None,
    windows: Sequence[Window] = (),
    refusals_allowed: bool = False,
) -> Verdict:
    """Like `check`."""
    shortest_s = min([allowed_gap_s, *(window.allowed_gap_s for window in windows)])
    # One snapshot, so that the parts of the verdict belong to the same moment.
    async with connected(dsn) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        # Sort in memory, and do not compile a query that takes a fraction of a second.
        await connection.execute("SET LOCAL work_mem = '64MB'; SET LOCAL jit = off")
        running = {row["stream"] for row in await connection.fetch(queries.RUNNING)}
        overlaps = [Overlap(**row) for row in await connection.fetch(queries.OVERLAPS, since)]
        gaps = [
            Gap(allowed_s=allowed_s, **row)
            for row in await connection.fetch(queries.GAPS, since, shortest_s)
            if row["seconds"] > (allowed_s := limit(row["started"], row["ended"], windows, otherwise_s=allowed_gap_s))
        ]
        longest = await connection.fetchval(queries.LONGEST_GAP, since)
        refusals = [Refusal(**row) for row in await connection.fetch(queries.REFUSALS, since)]
        intervals = await connection.fetchval("SELECT count(*) FROM journal.intervals")
    wanted = running if expected is None else set(expected)
    return Verdict(
        overlaps=overlaps,
        gaps=gaps,
        missing=sorted(wanted - running),
        extra=sorted(running - wanted),
        refusals=refusals,
        longest_gap_s=longest,
        intervals=intervals,
        refusals_allowed=refusals_allowed,
    )


def gap_figures(dsn: str, *, since: datetime | None = None, until: datetime | None = None) -> GapFigures:
    """Percentiles of the gaps that ended between two moments of the database's clock."""

    async def query() -> GapFigures:
        async with connected(dsn) as connection:
            row = await connection.fetchrow(queries.FIGURES, since, until)
        assert row is not None  # noqa: S101 - an aggregate always returns a row
        return GapFigures(row["count"], row["p50"], row["p99"], row["max"])

    return run_blocking(query())


def running_streams(dsn: str) -> dict[str, str]:
    """Who processes what now: stream id → worker."""

    async def query() -> dict[str, str]:
        async with connected(dsn) as connection:
            return {row["stream"]: row["worker"] for row in await connection.fetch(queries.RUNNING)}

    return run_blocking(query())


def journal_now(dsn: str) -> datetime:
    """The database's clock, to be used as `since` and in windows."""

    async def query() -> datetime:
        async with connected(dsn) as connection:
            now: datetime = await connection.fetchval("SELECT clock_timestamp()")
            return now

    return run_blocking(query())


def main() -> int:
    """Exit code 0 when the promise was kept, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m reference_worker.checker", description=__doc__)
    parser.add_argument("--dsn", required=True, help="database with the journal")
    parser.add_argument("--allowed-gap", type=_seconds, default=11.0, help="such as 11s or 500ms (default: 11s)")
    parser.add_argument("--since", type=datetime.fromisoformat, help="judge only what ended after this ISO time")
    parser.add_argument("--streams-dsn", help="database with the streams table; without it nothing is 'missing'")
    parser.add_argument("--table", default="streams", help="its name (default: streams)")
    parser.add_argument("--refusals-allowed", action="store_true", help="report refusals without failing")
    options = parser.parse_args()
    expected = run_blocking(_active_streams(options.streams_dsn, options.table)) if options.streams_dsn else None
    verdict = check(
        options.dsn,
        allowed_gap_s=options.allowed_gap,
        since=options.since,
        expected=expected,
        refusals_allowed=options.refusals_allowed,
    )
    print(json.dumps(verdict.as_dict(), indent=2, ensure_ascii=False))
    return 0 if verdict.ok else 1


async def _active_streams(dsn: str, table: str) -> set[str]:
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
    async with connected(dsn) as connection:
        rows = await connection.fetch(f"SELECT id::text AS id FROM {quoted} WHERE active")  # noqa: S608 - quoted above
    return {row["id"] for row in rows}


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s)?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 11s or 500ms")
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


if __name__ == "__main__":
    sys.exit(main())
