"""Keeps the worker's run in the journal alive, and tells as soon as it is over.

Beats have a connection of their own, so that a thousand start rows do not delay them. Whatever goes wrong with the
database ends the run: after a lost answer nobody knows what was written, while "this run ended with its last beat"
is always true. The next run starts with nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, TypeVar

import asyncpg

from reference_worker import journal
from reference_worker.journal import BEAT_INTERVAL_S, FAILURES, LAPSE_S, Run, RunLapsedError

_CONNECT_TIMEOUT_S = 3.0
_ROWS_TIMEOUT_S = 2.0
"""Less than any sensible time to stop a worker: a hanging database must not hide an expired fence for longer."""

_T = TypeVar("_T")


class RunOverError(Exception):
    """The run is over, or could not be opened; `__cause__` says why."""


class Session:
    def __init__(self, dsn: str, worker: str) -> None:
        self._dsn = dsn
        self._worker = worker
        self._run: Run | None = None
        self._last_run_id: int | None = None
        self._rows: asyncpg.Connection[Any] | None = None
        self._heart: asyncpg.Connection[Any] | None = None
        self._beats: asyncio.Task[None] | None = None
        self._last_beat_s = 0.0

    @property
    def alive(self) -> bool:
        """Whether what is processed now counts. False at the latest when the journal would say so, too."""
        return (
            self._run is not None
            and self._beats is not None
            and not self._beats.done()
            and time.monotonic() - self._last_beat_s < LAPSE_S
        )

    async def open(self) -> None:
        """Open a new run. Raises RunOverError where the database cannot be reached."""
        await self._give_up()
        async with self._watching():
            self._rows = await asyncpg.connect(self._dsn, timeout=_CONNECT_TIMEOUT_S, command_timeout=_ROWS_TIMEOUT_S)
            self._heart = await asyncpg.connect(self._dsn, timeout=_CONNECT_TIMEOUT_S, command_timeout=LAPSE_S)
            # A beat that only a crash of the database can lose is as good, and does not wait for the disk.
            await self._heart.execute("SET synchronous_commit = off")
            self._last_beat_s = time.monotonic()
            run = await journal.open_run(self._rows, self._worker, after=self._last_run_id)
            self._run, self._last_run_id = run, run.run_id
            self._beats = asyncio.create_task(self._beat_forever(self._heart, run), name="beats")
            await asyncio.sleep(run.wait_s)

    async def start(self, tokens: Mapping[str, str]) -> frozenset[str]:
        """Commit start rows (id → token); the refused ids. Raises RunOverError."""
        run, rows = self._open()
        return await self._guarded(journal.start(rows, run, self._worker, tokens))

    async def stop(self, streams: Iterable[str]) -> None:
        """Commit stop rows. Raises RunOverError."""
        run, rows = self._open()
        await self._guarded(journal.stop(rows, run, streams))

    async def close(self) -> None:
        """End the run; without an answer from the database it ends by its last beat."""
        if self._run is not None and self._rows is not None:
            with contextlib.suppress(*FAILURES):
                await journal.close_run(self._rows, self._run)
        await self._give_up()

    def _open(self) -> tuple[Run, asyncpg.Connection[Any]]:
        if self._run is None or self._rows is None:
            raise RunOverError
        return self._run, self._rows

    async def _guarded(self, statement: Awaitable[_T]) -> _T:
        async with self._watching():
            return await statement

    @contextlib.asynccontextmanager
    async def _watching(self) -> Any:
        try:
            yield
        except (*FAILURES, RunLapsedError) as error:
            await self._give_up()
            raise RunOverError(f"{type(error).__name__}: {error}") from error

    async def _give_up(self) -> None:
        self._run = None
        if self._beats is not None:
            self._beats.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beats
            self._beats = None
        for connection in (self._rows, self._heart):
            if connection is not None:
                connection.terminate()
        self._rows = self._heart = None

    async def _beat_forever(self, connection: asyncpg.Connection[Any], run: Run) -> None:
        """Ends with the first beat that fails; `alive` notices."""
        due_s = time.monotonic()
        with contextlib.suppress(*FAILURES, RunLapsedError):
            try:
                while True:
                    # Measured from before the beat was sent: the journal's own count starts later.
                    sent_s = time.monotonic()
                    await journal.beat(connection, run)
                    self._last_beat_s = sent_s
                    due_s = max(due_s + BEAT_INTERVAL_S, time.monotonic())
                    await asyncio.sleep(due_s - time.monotonic())
            finally:
                connection.terminate()
