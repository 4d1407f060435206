"""The real process against a real journal; the test plays the sidecar."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devenv.ports import ReservedPort
from devenv.postgres import Postgres
from fingerv7.contract import Fence
from reference_worker.checker import check, running_streams
from reference_worker.session import RunOverError, Session

pytestmark = pytest.mark.integration

_BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _eventually(
    condition: Callable[[], Any], what: str, *, within_s: float = 15.0, log: Callable[[], str] = str
) -> Any:
    deadline = time.monotonic() + within_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}\n{log()}"
        time.sleep(0.02)
    return result


class Desk:
    """A config folder and the worker beside it."""

    def __init__(self, folder: Path, dsn: str, name: str) -> None:
        self.folder = folder
        self.dsn = dsn
        self.name = name
        self._environment = {"CONFIG_DIR": str(folder), "JOURNAL_DSN": dsn, "WORKER_NAME": name}
        self._epoch = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.fence()

    def fence(self, *, for_s: float = 600.0) -> None:
        now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._replace("fence", str(Fence(now_s, for_s, _BOOT)))

    def assign(self, tokens: Mapping[str, str]) -> str:
        """Write a config; its hash."""
        self._epoch += 1
        streams = [{"id": i, "url": f"http://{i}", "name": i, "token": t, "metadata": {}} for i, t in tokens.items()]
        config_hash = hashlib.sha256(json.dumps([self._epoch, streams]).encode()).hexdigest()[:32]
        document = {"version": 1, "pool": "p", "worker": self.name, "epoch": self._epoch, "hash": config_hash}
        self._replace("assignment.json", json.dumps(document | {"streams": streams}))
        return config_hash

    def applied(self) -> str | None:
        try:
            return (self.folder / "applied").read_text()
        except FileNotFoundError:
            return None

    def runs(self) -> set[str]:
        return {stream for stream, worker in running_streams(self.dsn).items() if worker == self.name}

    def confirms(self, config_hash: str) -> None:
        _eventually(lambda: self.applied() == config_hash, f"{self.name} confirms {config_hash}\n{self.log()}")

    def start(self, **environment: str) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "reference_worker"],
                env={**os.environ, **self._environment, **environment},
                stderr=log,
            )

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(15)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        return (self.folder / "log").read_text() if (self.folder / "log").exists() else ""

    def _replace(self, name: str, text: str) -> None:
        temporary = self.folder / f".{name}.new"
        temporary.write_text(text)
        temporary.replace(self.folder / name)


@pytest.fixture
def desks(tmp_path: Path, journal_dsn: str) -> Iterator[Callable[[str], Desk]]:
    opened: list[Desk] = []

    def desk(name: str) -> Desk:
        folder = tmp_path / f"{name}-{len(opened)}"
        folder.mkdir()
        opened.append(Desk(folder, journal_dsn, name))
        return opened[-1]

    yield desk
    for each in opened:
        each.close()


@pytest.fixture
def desk(desks: Callable[[str], Desk]) -> Desk:
    return desks("w1")


def test_runs_what_the_config_says_and_then_confirms_it(desk: Desk) -> None:
    desk.start()
    desk.confirms(desk.assign({"a": "1", "b": "1"}))
    assert desk.runs() == {"a", "b"}
    desk.confirms(desk.assign({"b": "1", "c": "1"}))
    assert desk.runs() == {"b", "c"}
    assert check(desk.dsn, allowed_gap_s=1, expected={"b", "c"}).ok


def test_the_stop_row_is_there_before_the_confirmation(desk: Desk) -> None:
    desk.start(STOP_DELAY_MS="700")
    desk.confirms(desk.assign({"a": "1"}))
    confirmed = desk.assign({})
    # Asked in this order: were the confirmation first, some round would see it beside a running stream.
    while desk.applied() != confirmed:
        pass
    assert desk.runs() == set()


async def test_a_stream_that_stays_keeps_its_interval_and_a_new_token_opens_another(
    desk: Desk, database: asyncpg.Connection
) -> None:
    desk.start()
    desk.confirms(desk.assign({"stays": "1", "changes": "1"}))
    desk.confirms(desk.assign({"stays": "1", "changes": "2"}))
    rows = await database.fetch(
        "SELECT stream, token, stopped_at IS NULL AS open FROM journal.intervals ORDER BY stream, token"
    )
    assert [tuple(row) for row in rows] == [("changes", "1", False), ("changes", "2", True), ("stays", "1", True)]
    assert not check(desk.dsn, allowed_gap_s=1).overlaps


def test_a_thousand_streams_at_once(desk: Desk) -> None:
    desk.start()
    desk.confirms(desk.assign({f"s{n}": "1" for n in range(1000)}))
    desk.confirms(desk.assign({f"t{n}": "1" for n in range(1000)}))
    assert len(desk.runs()) == 1000


def test_a_refused_start_is_not_processed_and_is_confirmed_all_the_same(desks: Callable[[str], Desk]) -> None:
    newer, older = desks("newer"), desks("older")
    newer.start()
    newer.confirms(newer.assign({"a": "0002"}))
    older.start()
    older.confirms(older.assign({"a": "0001", "b": "0001"}))
    assert older.runs() == {"b"}
    verdict = check(older.dsn, allowed_gap_s=1)
    assert [(each.worker, each.token, each.seen) for each in verdict.refusals] == [("older", "0001", "0002")]
    assert not verdict.overlaps


def test_starts_nothing_without_a_fence_that_holds(desk: Desk) -> None:
    desk.fence(for_s=0)
    desk.assign({"a": "1"})
    desk.start()
    _eventually(lambda: "opened a run" in desk.log(), "the worker is up")
    assert desk.applied() is None
    desk.fence()
    _eventually(lambda: desk.runs() == {"a"}, "runs once the fence holds")


def test_stops_everything_when_the_fence_expires_and_resumes_when_it_holds_again(desk: Desk) -> None:
    desk.start()
    desk.confirms(desk.assign({"a": "1"}))
    desk.fence(for_s=0)
    _eventually(lambda: desk.runs() == set(), "stops")
    ignored = desk.assign({"b": "1"})
    empty = desk.assign({})
    # Stopping is always allowed, so the emptied config of a fenced sidecar is confirmed.
    desk.confirms(empty)
    desk.assign({"c": "1"})
    desk.fence()
    _eventually(lambda: desk.runs() == {"c"}, "resumes")
    assert desk.applied() != ignored


def test_a_config_that_disappears_stops_everything(desk: Desk) -> None:
    desk.start()
    desk.confirms(desk.assign({"a": "1"}))
    (desk.folder / "assignment.json").unlink()
    _eventually(lambda: desk.runs() == set(), "stops")


async def test_sigterm_leaves_stop_rows(desk: Desk, database: asyncpg.Connection) -> None:
    desk.start()
    desk.confirms(desk.assign({"a": "1"}))
    desk.signal(signal.SIGTERM)
    assert desk.wait() == 0
    assert await database.fetchval("SELECT stopped_at IS NOT NULL FROM journal.intervals")


async def test_sigkill_ends_the_interval_100_ms_after_the_last_beat(desk: Desk, database: asyncpg.Connection) -> None:
    desk.start()
    desk.confirms(desk.assign({"a": "1"}))
    desk.signal(signal.SIGKILL)
    desk.wait()
    _eventually(lambda: desk.runs() == set(), "the run lapses")
    row = await database.fetchrow(
        "SELECT stopped_at, ended_at - last_beat = interval '100 ms' AS exact FROM journal.spans "
        "JOIN journal.runs USING (run_id) JOIN journal.intervals USING (interval_id)"
    )
    assert tuple(row) == (None, True)


def test_a_restarted_worker_goes_on_with_its_config(desk: Desk) -> None:
    desk.start()
    config_hash = desk.assign({"a": "1"})
    desk.confirms(config_hash)
    desk.signal(signal.SIGKILL)
    desk.wait()
    (desk.folder / "applied").unlink()
    desk.start()
    desk.confirms(config_hash)
    assert check(desk.dsn, allowed_gap_s=10, expected={"a"}).ok


def test_a_frozen_worker_does_not_lengthen_its_interval_when_it_thaws(desks: Callable[[str], Desk]) -> None:
    frozen, successor = desks("frozen"), desks("successor")
    frozen.start()
    successor.start()
    frozen.confirms(frozen.assign({"a": "0001", "b": "0001"}))
    frozen.signal(signal.SIGSTOP)
    _eventually(lambda: frozen.runs() == set(), "its run lapses")
    successor.confirms(successor.assign({"a": "0002"}))
    frozen.signal(signal.SIGCONT)
    # It still believes in its config, and its fence holds: the sink is what keeps it from the stream.
    _eventually(lambda: frozen.runs() == {"b"}, "a new run without the stream that somebody else has")
    verdict = check(frozen.dsn, allowed_gap_s=60, expected={"a", "b"})
    assert not verdict.overlaps
    assert [(each.stream, each.worker) for each in verdict.refusals] == [("a", "frozen")]


def test_an_outage_of_the_journal_ends_the_run_and_the_next_one_starts_by_itself(
    postgres: Postgres, desk: Desk
) -> None:
    desk.start()
    desk.confirms(desk.assign({"a": "1"}))
    postgres.stop()
    try:
        config_hash = desk.assign({"b": "1"})
        notice = "nothing is processed until the journal answers"
        _eventually(lambda: notice in desk.log(), "the worker notices", log=desk.log)
        assert desk.applied() != config_hash
    finally:
        postgres.start()
    desk.confirms(config_hash)
    verdict = check(desk.dsn, allowed_gap_s=60, expected={"b"})
    assert verdict.ok, verdict


async def test_a_run_is_over_whatever_the_driver_calls_a_connection_that_is_going(
    journal_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(journal_dsn, "w1")
    await session.open()

    async def execute(*_: object, **__: object) -> str:
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    with monkeypatch.context() as going:
        going.setattr(asyncpg.Connection, "execute", execute)
        async with asyncio.timeout(15):
            while session.alive:  # noqa: ASYNC110 - it is not an event but a look at the clock
                await asyncio.sleep(0.02)
        with pytest.raises(RunOverError):
            await session.open()
    await session.open()
    assert session.alive
    await session.close()


def test_a_second_worker_in_the_same_folder_waits_for_the_first(desk: Desk) -> None:
    desk.start()
    desk.confirms(desk.assign({"a": "1"}))
    second = Desk(desk.folder, desk.dsn, "w2")
    try:
        second.start()
        _eventually(lambda: "waiting" in desk.log(), "the second says that it waits")
        assert second.runs() == set()
        desk.signal(signal.SIGTERM)
        _eventually(lambda: second.runs() == {"a"}, "the second takes over")
    finally:
        second.close()
    assert not check(desk.dsn, allowed_gap_s=60).overlaps


def test_never_confirming_is_a_knob(desk: Desk) -> None:
    desk.start(CONFIRM="never")
    desk.assign({"a": "1"})
    _eventually(lambda: desk.runs() == {"a"}, "runs")
    _eventually(lambda: "runs epoch" in desk.log(), "adopted")
    assert desk.applied() is None


def _call(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.fixture
def port() -> Iterator[int]:
    reserved = ReservedPort()
    yield reserved.number
    reserved.release()


def test_the_http_hook_answers_with_the_hash_once_the_config_runs(desk: Desk, port: int) -> None:
    desk.start(CONFIRM="http", HEALTH_LISTEN=f"127.0.0.1:{port}", START_DELAY_MS="300")
    _eventually(lambda: "opened a run" in desk.log(), "the worker is up")
    config_hash = desk.assign({"a": "1"})
    config = (desk.folder / "assignment.json").read_bytes()
    assert _call(port, "POST", "/config", config) == (200, {"hash": config_hash})
    assert desk.runs() == {"a"}
    assert desk.applied() is None
    assert _call(port, "POST", "/config", b"{}")[0] == 400
    assert _call(port, "GET", "/healthz") == (200, {"processing": True})
    assert _call(port, "GET", "/other")[0] == 404


def test_posts_statistics_to_the_sidecar(desk: Desk) -> None:
    reports: list[dict[str, Any]] = []

    class Sidecar(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/report"
            reports.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Sidecar) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (desk.folder / "sidecar.port").write_text(str(server.server_port))
        desk.start()
        desk.confirms(desk.assign({"a": "1", "b": "1"}))
        report = _eventually(
            lambda: next((each for each in reports if each["processedCount"] >= 4), None), "two reports with streams"
        )
        server.shutdown()
    assert report["currentStreams"] == 2
    assert report["errorCount"] == 0
    assert report["lastActivity"].endswith("Z")
    assert report["lastDbWrite"].endswith("Z")
    assert set(report) == {
        "currentStreams", "processedCount", "errorCount", "cpuPercent", "memoryPercent", "lastActivity", "lastDbWrite"
    }  # fmt: skip


def test_a_missing_setting_is_named(desk: Desk) -> None:
    desk.start(JOURNAL_DSN="")
    assert desk.wait() == 2
    assert "JOURNAL_DSN must be set" in desk.log()
