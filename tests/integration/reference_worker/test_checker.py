"""The checker against journals written by hand: what was planted must be found, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from reference_worker.checker import check, check_async, gap_figures, journal_now, running_streams
from reference_worker.verdict import Verdict, Window

pytestmark = pytest.mark.integration

Database = asyncpg.Connection
Judge = Callable[..., Coroutine[Any, Any, Verdict]]

_SECOND = timedelta(seconds=1)


class Planted:
    """Writes a journal whose beginning is `begin`; all times are seconds after it."""

    def __init__(self, database: Database, begin: datetime) -> None:
        self.begin = begin
        self._database = database

    def at(self, seconds: float) -> datetime:
        return self.begin + seconds * _SECOND

    async def run(self, worker: str, *, last_beat: float | None = None) -> int:
        """A run that lives, unless `last_beat` says when it was heard last."""
        run: int = await self._database.fetchval(
            "INSERT INTO journal.runs (worker, last_beat) VALUES ($1, coalesce($2, clock_timestamp())) RETURNING run_id",
            worker,
            None if last_beat is None else self.at(last_beat),
        )
        return run

    async def interval(self, run: int, stream: str, start: float, stop: float | None = None) -> None:
        await self._database.execute(
            """
            INSERT INTO journal.intervals (run_id, worker, stream, token, started_at, stopped_at)
            SELECT $1, worker, $2, '1', $3, $4 FROM journal.runs WHERE run_id = $1
            """,
            run,
            stream,
            self.at(start),
            None if stop is None else self.at(stop),
        )


@pytest.fixture
async def planted(database: Database) -> Planted:
    return Planted(database, await database.fetchval("SELECT clock_timestamp() - interval '1 hour'"))


@pytest.fixture
def judge(journal_dsn: str) -> Judge:
    async def judge(**options: Any) -> Verdict:
        return await check_async(journal_dsn, **({"allowed_gap_s": 11.0} | options))

    return judge


async def test_an_empty_journal_is_good(judge: Judge) -> None:
    verdict = await judge()
    assert verdict.ok
    assert verdict.intervals == 0


async def test_a_clean_hand_over_is_good(judge: Judge, planted: Planted) -> None:
    await planted.interval(await planted.run("w1"), "a", 0, 10)
    await planted.interval(await planted.run("w2"), "a", 10.2)
    verdict = await judge(expected={"a"})
    assert verdict.ok
    assert verdict.longest_gap_s == pytest.approx(0.2)


async def test_two_workers_at_once_are_found(judge: Judge, planted: Planted) -> None:
    await planted.interval(await planted.run("w1"), "a", 0, 10)
    await planted.interval(await planted.run("w2"), "a", 9, 20)
    verdict = await judge()
    [overlap] = verdict.overlaps
    assert (overlap.stream, overlap.first_worker, overlap.second_worker) == ("a", "w1", "w2")
    assert (overlap.started, overlap.ended) == (planted.at(9), planted.at(10))
    assert not verdict.ok


async def test_an_overlap_of_a_millisecond_is_found(judge: Judge, planted: Planted) -> None:
    await planted.interval(await planted.run("w1"), "a", 0, 10)
    await planted.interval(await planted.run("w2"), "a", 9.999, 20)
    assert len((await judge()).overlaps) == 1


async def test_a_long_interval_overlaps_every_later_one_not_only_its_neighbour(
    judge: Judge, planted: Planted
) -> None:
    await planted.interval(await planted.run("w1"), "a", 0, 100)
    await planted.interval(await planted.run("w2"), "a", 10, 20)
    await planted.interval(await planted.run("w3"), "a", 30, 40)
    assert [each.second_worker for each in (await judge()).overlaps] == ["w2", "w3"]


async def test_a_live_run_overlaps_with_whoever_starts_now(judge: Judge, planted: Planted) -> None:
    await planted.interval(await planted.run("w1"), "a", 0)
    await planted.interval(await planted.run("w2"), "a", 10)
    assert len((await judge()).overlaps) == 1


async def test_a_killed_worker_owns_its_streams_until_its_last_beat_and_100_ms(
    judge: Judge, planted: Planted
) -> None:
    dead = await planted.run("w1", last_beat=10)
    next_worker = await planted.run("w2")
    await planted.interval(dead, "early", 0)
    await planted.interval(dead, "late", 0)
    await planted.interval(next_worker, "early", 10.05)
    await planted.interval(next_worker, "late", 10.15)
    assert [each.stream for each in (await judge()).overlaps] == ["early"]


async def test_the_same_stream_twice_in_one_run_is_found(judge: Judge, planted: Planted) -> None:
    run = await planted.run("w1")
    await planted.interval(run, "a", 0, 10)
    await planted.interval(run, "a", 5, 10)
    assert len((await judge()).overlaps) == 1


async def test_other_streams_at_the_same_time_are_no_overlap(judge: Judge, planted: Planted) -> None:
    await planted.interval(await planted.run("w1"), "a", 0, 10)
    await planted.interval(await planted.run("w2"), "b", 0, 10)
    assert not (await judge()).overlaps


async def test_a_start_row_of_a_worker_that_died_before_using_it_counts_for_nothing(
    judge: Judge, planted: Planted
) -> None:
    await planted.interval(await planted.run("w1", last_beat=5), "a", 6)
    await planted.interval(await planted.run("w2"), "a", 6)
    assert (await judge()).ok


async def test_a_gap_that_is_too_long_is_found(judge: Judge, planted: Planted) -> None:
    await planted.interval(await planted.run("w1", last_beat=9.9), "a", 0)
    await planted.interval(await planted.run("w2"), "a", 22)
    verdict = await judge()
    [gap] = verdict.gaps
    assert (gap.stream, gap.first_worker, gap.second_worker) == ("a", "w1", "w2")
    assert gap.seconds == pytest.approx(12)
    assert verdict.longest_gap_s == pytest.approx(12)
    assert not verdict.ok


async def test_a_gap_within_the_limit_is_fine(judge: Judge, planted: Planted) -> None:
    await planted.interval(await planted.run("w1", last_beat=9.9), "a", 0)
    await planted.interval(await planted.run("w2"), "a", 20.9)
    assert (await judge()).ok


async def test_a_short_interval_within_a_long_one_makes_no_gap(judge: Judge, planted: Planted) -> None:
    await planted.interval(await planted.run("w1"), "a", 0, 100)
    await planted.interval(await planted.run("w2"), "a", 10, 20)
    await planted.interval(await planted.run("w3"), "a", 100.5)
    assert not (await judge()).gaps


async def test_gaps_of_an_outage_are_judged_by_its_own_limit(judge: Judge, planted: Planted) -> None:
    await planted.interval(await planted.run("w1"), "a", 0, 10)
    await planted.interval(await planted.run("w2"), "a", 40, 50)
    await planted.interval(await planted.run("w3"), "a", 80)
    outage = Window(planted.at(5), planted.at(45), allowed_gap_s=60)
    assert [gap.second_worker for gap in (await judge(windows=[outage])).gaps] == ["w3"]


async def test_a_window_can_also_be_stricter(judge: Judge, planted: Planted) -> None:
    await planted.interval(await planted.run("w1"), "a", 0, 10)
    await planted.interval(await planted.run("w2"), "a", 12)
    strict = Window(planted.at(0), planted.at(20), allowed_gap_s=1)
    assert len((await judge(windows=[strict])).gaps) == 1


async def test_what_should_run_and_does_not_is_missing(judge: Judge, planted: Planted) -> None:
    alive, dead = await planted.run("w1"), await planted.run("w2", last_beat=100)
    await planted.interval(alive, "runs", 0)
    await planted.interval(alive, "stopped", 0, 50)
    await planted.interval(dead, "died", 0)
    verdict = await judge(expected={"runs", "stopped", "died", "never started"})
    assert verdict.missing == ["died", "never started", "stopped"]
    assert not verdict.ok


async def test_what_runs_and_should_not_is_extra(judge: Judge, planted: Planted) -> None:
    await planted.interval(await planted.run("w1"), "a", 0)
    verdict = await judge(expected=set())
    assert verdict.extra == ["a"]
    assert not verdict.ok


async def test_refusals_are_found(judge: Judge, planted: Planted, database: Database) -> None:
    await database.execute("INSERT INTO journal.refusals (stream, worker, token, seen) VALUES ('a', 'w1', '1', '2')")
    verdict = await judge()
    assert [(each.stream, each.worker, each.token, each.seen) for each in verdict.refusals] == [("a", "w1", "1", "2")]
    assert not verdict.ok
    assert (await judge(refusals_allowed=True)).ok


async def test_only_what_ended_after_since_is_judged(judge: Judge, planted: Planted) -> None:
    await planted.interval(await planted.run("w1"), "a", 0, 10)
    await planted.interval(await planted.run("w2"), "a", 9, 20)
    await planted.interval(await planted.run("w3"), "a", 60, 70)
    assert (await judge(since=planted.at(65))).ok
    partly = await judge(since=planted.at(15))
    assert (len(partly.overlaps), len(partly.gaps)) == (0, 1)


async def test_figures_are_percentiles_of_the_gaps_of_a_period(journal_dsn: str, planted: Planted) -> None:
    run = await planted.run("w1")
    for number in range(1, 102):
        await planted.interval(run, f"s{number:03}", 0, 10)
        await planted.interval(run, f"s{number:03}", 10 + number / 100)
    figures = gap_figures(journal_dsn)
    assert figures.count == 101
    assert (figures.p50_s, figures.p99_s, figures.max_s) == pytest.approx((0.51, 1.0, 1.01))
    assert gap_figures(journal_dsn, since=planted.at(10.5), until=planted.at(10.6)).count == 10
    assert gap_figures(journal_dsn, since=planted.at(20)).p99_s is None


async def test_who_runs_what_now(journal_dsn: str, planted: Planted) -> None:
    await planted.interval(await planted.run("w1"), "a", 0)
    await planted.interval(await planted.run("w2", last_beat=10), "b", 0)
    assert running_streams(journal_dsn) == {"a": "w1"}


async def test_a_hundred_thousand_intervals_are_judged_with_exactly_the_planted_faults(
    judge: Judge, planted: Planted, database: Database
) -> None:
    run = await planted.run("w1", last_beat=3000)
    await database.execute(
        """
        INSERT INTO journal.intervals (run_id, worker, stream, token, started_at, stopped_at)
        SELECT $1, 'w1', 's' || stream, '1',
               $2::timestamptz + make_interval(secs => 30 * turn),
               $2::timestamptz + make_interval(secs => 30 * turn + CASE WHEN stream % 500 = 7 AND turn = 50 THEN 31
                                                                       WHEN stream % 500 = 9 AND turn = 50 THEN 10
                                                                       ELSE 29.8 END)
        FROM generate_series(1, 1000) AS stream, generate_series(0, 99) AS turn
        """,
        run,
        planted.begin,
    )
    begin = time.monotonic()
    verdict = await judge()
    took_s = time.monotonic() - begin
    assert verdict.intervals == 100_000
    assert sorted(each.stream for each in verdict.overlaps) == ["s507", "s7"]
    assert sorted(each.stream for each in verdict.gaps) == ["s509", "s9"]
    # Not a measurement: an accidental quadratic join takes minutes.
    assert took_s < 30


async def test_the_command_prints_the_verdict_and_fails_with_it(
    journal_dsn: str, planted: Planted, database: Database
) -> None:
    def command(*more: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "reference_worker.checker", "--dsn", journal_dsn, *more]
        return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)

    await planted.interval(await planted.run("w1"), "a", 0, 10)
    await planted.interval(await planted.run("w2"), "a", 12, 20)
    good = command("--allowed-gap", "2500ms")
    assert (good.returncode, json.loads(good.stdout)["ok"]) == (0, True)
    bad = command("--allowed-gap", "1s")
    assert (bad.returncode, json.loads(bad.stdout)["gaps"]["count"]) == (1, 1)
    await database.execute("CREATE TABLE streams (id int, active bool)")
    await database.execute("INSERT INTO streams VALUES (1, true), (2, false)")
    missing = command("--streams-dsn", journal_dsn)
    assert (missing.returncode, json.loads(missing.stdout)["missing"]["examples"]) == (1, ["1"])


async def test_can_be_asked_from_inside_and_outside_an_event_loop(journal_dsn: str) -> None:
    assert check(journal_dsn, allowed_gap_s=1, since=journal_now(journal_dsn)).ok
