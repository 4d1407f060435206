"""A source under observation, and the table it reads as its owner sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import asyncpg
import pytest

from fingerv7.adapters.postgres import PostgresSource, Reason, SourceSpec, SourceState
from fingerv7.core.catalog import Snapshot
from reference_worker.blocking import hung_up

DEADLINE_S = 30.0

TABLE = """
CREATE TABLE streams (id text, url text, name text, active boolean DEFAULT true, metadata jsonb DEFAULT '{}');
INSERT INTO streams SELECT i, 'http://radio.example/' || i, 'Radio ' || i FROM generate_series(1, 3) i;
"""


class Observed:
    """A running source: what it has said so far, and waiting for what it says next."""

    def __init__(self, spec: SourceSpec, secret: Mapping[str, bytes]) -> None:
        self.secret: Mapping[str, bytes] | Exception = secret
        self.snapshots: list[tuple[Snapshot, bool]] = []
        self.states: list[SourceState] = []
        self.task: asyncio.Task[None]
        self._news = asyncio.Condition()
        self._announcements: set[asyncio.Task[None]] = set()
        self.source = PostgresSource(spec, self._read_secret, self._snapshot, self._state, jitter=lambda: 0.0)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(holds)

    async def snapshot(self, holds: Callable[[Snapshot], bool] = lambda _: True) -> Snapshot:
        """The first snapshot from now on that holds; the newest so far counts."""
        await self.until(lambda: bool(self.snapshots) and holds(self.snapshots[-1][0]))
        return self.snapshots[-1][0]

    async def state(self, *reasons: Reason) -> SourceState:
        await self.until(lambda: bool(self.states) and self.states[-1].reason in reasons)
        return self.states[-1]

    async def _read_secret(self) -> Mapping[str, bytes]:
        if isinstance(self.secret, Exception):
            raise self.secret
        return self.secret

    def _snapshot(self, snapshot: Snapshot, counts: bool) -> None:
        self.snapshots.append((snapshot, counts))
        self._announce()

    def _state(self, state: SourceState) -> None:
        self.states.append(state)
        self._announce()

    def _announce(self) -> None:
        async def announce() -> None:
            async with self._news:
                self._news.notify_all()

        task = asyncio.create_task(announce())
        self._announcements.add(task)
        task.add_done_callback(self._announcements.discard)


Observe = Callable[..., Awaitable[Observed]]


@pytest.fixture
def secret(database: Any) -> dict[str, bytes]:
    """The Secret of the test's own database, as the superuser."""
    server = database.server
    return {
        "host": server.host.encode(),
        "port": str(server.port).encode(),
        "database": database.name.encode(),
        "user": server.user.encode(),
        "password": server.password.encode(),
        "ca.crt": server.ca_file.read_bytes(),
    }


@pytest.fixture
async def observe(secret: dict[str, bytes], heard: list[Observed]) -> AsyncIterator[Observe]:
    """Start a source; changed keys replace those of the Secret, None removes them; other words go to the spec."""

    async def start(keys: Mapping[str, bytes | None] | None = None, **settings: Any) -> Observed:
        changed = {**secret, **(keys or {})}
        spec = {
            "table": "streams",
            "poll_interval_s": 3600.0,
            "connect_timeout_s": 5.0,
            "statement_timeout_s": 10.0,
            "retry_min_s": 0.05,
            "retry_max_s": 0.2,
        }
        observed = Observed(SourceSpec(**spec | settings), {k: v for k, v in changed.items() if v is not None})
        heard.append(observed)
        observed.task = asyncio.create_task(observed.source.run())
        return observed

    async with hung_up():
        yield start
        for observed in heard:
            assert not observed.task.done() or observed.task.cancelled(), "a source never ends by itself"
            observed.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await observed.task


@pytest.fixture
async def owner(database: Any) -> AsyncIterator[asyncpg.Connection]:
    """A connection of whoever owns the table."""
    connection = await asyncpg.connect(database.dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def streams(owner: asyncpg.Connection) -> asyncpg.Connection:
    """The owner's connection, with a table of three streams."""
    await owner.execute(TABLE)
    return owner


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture, secret: dict[str, bytes]) -> Iterator[list[Observed]]:
    """Every source of the test. Whatever goes wrong, the password reaches neither a log nor a state."""
    caplog.set_level(logging.DEBUG)
    heard: list[Observed] = []
    yield heard
    said = caplog.text + "".join(str(state) for observed in heard for state in observed.states)
    for word in (secret["password"].decode(), "hunter2"):
        assert word not in said
