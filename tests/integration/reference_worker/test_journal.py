from __future__ import annotations

import asyncio

import asyncpg
import pytest

from reference_worker import journal
from reference_worker.journal import RunLapsedError

pytestmark = pytest.mark.integration

Database = asyncpg.Connection


async def _intervals(database: Database) -> list[tuple[str, str, bool]]:
    rows = await database.fetch(
        "SELECT stream, token, stopped_at IS NULL AS open FROM journal.intervals ORDER BY 1, 2"
    )
    return [tuple(row) for row in rows]


async def _age(database: Database, run: journal.Run, seconds: float) -> None:
    await database.execute(
        "UPDATE journal.runs SET last_beat = last_beat - make_interval(secs => $2) WHERE run_id = $1",
        run.run_id,
        seconds,
    )


async def test_installing_twice_at_once_is_harmless(journal_dsn: str) -> None:
    await asyncio.gather(*(journal.install(journal_dsn) for _ in range(4)))


async def test_a_start_and_a_stop_make_an_interval(database: Database) -> None:
    run = await journal.open_run(database, "w1")
    assert await journal.start(database, run, "w1", {"a": "1", "b": "1"}) == frozenset()
    await journal.stop(database, run, ["a"])
    assert await _intervals(database) == [("a", "1", False), ("b", "1", True)]


async def test_an_older_token_is_refused_and_counted(database: Database) -> None:
    first, second = await journal.open_run(database, "w1"), await journal.open_run(database, "w2")
    await journal.start(database, second, "w2", {"a": "0002"})
    assert await journal.start(database, first, "w1", {"a": "0001", "b": "0001"}) == {"a"}
    assert await _intervals(database) == [("a", "0002", True), ("b", "0001", True)]
    refusals = await database.fetch("SELECT stream, worker, token, seen FROM journal.refusals")
    assert [tuple(row) for row in refusals] == [("a", "w1", "0001", "0002")]


async def test_the_same_token_is_accepted_again_because_a_restarted_worker_has_no_other(database: Database) -> None:
    first = await journal.open_run(database, "w1")
    await journal.start(database, first, "w1", {"a": "1"})
    second = await journal.open_run(database, "w1", after=first.run_id)
    assert await journal.start(database, second, "w1", {"a": "1"}) == frozenset()


async def test_tokens_order_as_bytes_whatever_the_language_of_the_database(database: Database) -> None:
    run = await journal.open_run(database, "w1")
    await journal.start(database, run, "w1", {"a": "B"})
    # A linguistic collation would put "a" before "B".
    assert await journal.start(database, run, "w1", {"a": "a"}) == frozenset()


async def test_of_many_workers_at_once_none_is_accepted_after_a_newer_token(
    journal_dsn: str, database: Database
) -> None:
    streams = [f"s{n:03}" for n in range(200)]

    async def worker(number: int) -> None:
        async with journal.connected(journal_dsn) as connection:
            run = await journal.open_run(connection, f"w{number}")
            await journal.start(connection, run, f"w{number}", dict.fromkeys(streams, f"{number:04}"))

    await asyncio.gather(*(worker(number) for number in range(8)))
    newest = await database.fetch("SELECT DISTINCT token FROM journal.newest")
    assert [row["token"] for row in newest] == ["0007"]
    accepted, refused = await database.fetchrow(
        "SELECT (SELECT count(*) FROM journal.intervals), (SELECT count(*) FROM journal.refusals)"
    )
    assert accepted + refused == 8 * 200


async def test_a_run_that_was_silent_for_a_second_is_over_for_good(database: Database) -> None:
    run = await journal.open_run(database, "w1")
    await journal.start(database, run, "w1", {"a": "1"})
    await _age(database, run, 1.5)
    before = await database.fetchval("SELECT last_beat FROM journal.runs")
    with pytest.raises(RunLapsedError):
        await journal.beat(database, run)
    with pytest.raises(RunLapsedError):
        await journal.start(database, run, "w1", {"b": "1"})
    with pytest.raises(RunLapsedError):
        await journal.stop(database, run, ["a"])
    assert await database.fetchval("SELECT last_beat FROM journal.runs") == before
    assert await _intervals(database) == [("a", "1", True)]
    assert await database.fetchval("SELECT ended_at - $1 = interval '100 ms' FROM journal.spans", before)


async def test_a_closed_run_takes_no_late_beat(database: Database) -> None:
    run = await journal.open_run(database, "w1")
    await journal.close_run(database, run)
    with pytest.raises(RunLapsedError):
        await journal.beat(database, run)


async def test_a_beat_keeps_the_run_alive(database: Database) -> None:
    run = await journal.open_run(database, "w1")
    await _age(database, run, 0.5)
    await journal.beat(database, run)
    assert await database.fetchval("SELECT clock_timestamp() - last_beat < interval '400 ms' FROM journal.runs")


async def test_the_next_run_is_told_to_wait_until_the_one_before_has_ended_by_definition(database: Database) -> None:
    first = await journal.open_run(database, "w1")
    second = await journal.open_run(database, "w1", after=first.run_id)
    assert 0 < second.wait_s <= 0.1
    await _age(database, second, 5)
    assert (await journal.open_run(database, "w1", after=second.run_id)).wait_s == 0
