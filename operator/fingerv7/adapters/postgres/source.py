"""Keeps reading one streams table for as long as the pool exists, whatever happens to the database.

A poll every interval is the truth; notifications only make it come earlier. A failure never yields a snapshot, so
whoever listens keeps what was read last; it yields a state that says what is wrong, and another attempt after an
exponentially growing wait. The Secret is read for every connection, and a connection whose Secret has changed is
replaced at the next poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fingerv7.adapters.postgres.connection import SourceConnection, open_connection
from fingerv7.adapters.postgres.errors import Reason, SourceError
from fingerv7.adapters.postgres.secret import Target, read_target
from fingerv7.adapters.postgres.spec import SourceSpec
from fingerv7.core.catalog import CatalogReader, Snapshot

_MERGE_S: Final = 0.2
"""Notifications that come within this time of the last reading are answered by one further reading."""

_log = logging.getLogger("fingerv7.postgres")

Secret = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class SourceState:
    """Whether the table can be read, for the conditions `SourceReachable` and `SourceShared`."""

    reachable: bool
    reason: Reason
    message: str
    """What is wrong and what would be accepted; nothing secret in it, and the same until something changes."""
    shared: bool = False
    """Another pool reads the same table."""
    last_success: datetime | None = None
    """When the table was last read."""


class PostgresSource:
    """Reads the table until `run` is cancelled; the callbacks are called from its task.

    `on_snapshot(snapshot, counts)` gets each complete reading; `counts` is true for at most one an interval, so that
    neither a burst of notifications nor a flapping connection confirms a change. `on_state` follows each attempt.
    `read_secret` may raise SecretError.
    """

    def __init__(
        self,
        spec: SourceSpec,
        read_secret: Callable[[], Awaitable[Secret]],
        on_snapshot: Callable[[Snapshot, bool], None],
        on_state: Callable[[SourceState], None],
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._spec = spec
        self._read_secret = read_secret
        self._on_snapshot = on_snapshot
        self._on_state = on_state
        self._jitter = jitter
        self._reader = CatalogReader()
        self._due_s = 0.0
        """When the next reading that counts is due, on the event loop's clock."""
        self._failures = 0
        self._state = SourceState(reachable=False, reason=Reason.UNREACHABLE, message="not tried yet")

    async def run(self) -> None:
        while True:
            try:
                await self._connect_and_read()
                continue  # the Secret has changed
            except SourceError as error:
                self._failed(error)
            except Exception as error:
                # A defect of ours or of the driver must not end the source. Not with logging's own traceback: that
                # prints the exception's text, which may quote a row.
                place = "".join(traceback.format_tb(error.__traceback__))
                _log.error("reading %s failed with %s:\n%s", self._spec.table, type(error).__name__, place)
                self._failed(SourceError(Reason.QUERY_FAILED, f"unexpected {type(error).__name__}; see the log"))
            await asyncio.sleep(self._retry_delay_s())

    async def _connect_and_read(self) -> None:
        """Return when the connection should be replaced. Raises SourceError."""
        secret = await self._secret()
        target = read_target(secret)
        connection = await open_connection(target, self._spec)
        wake = asyncio.Event()
        try:
            await connection.prepare(wake.set)
            await self._keep_reading(connection, target, secret, wake)
        except BaseException:
            connection.terminate()
            raise
        else:
            await connection.close()

    async def _keep_reading(
        self, connection: SourceConnection, target: Target, secret: Secret, wake: asyncio.Event
    ) -> None:
        """`wake` is set by a notification, and when the connection is lost."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            counts = started >= self._due_s
            wake.clear()
            snapshot = await connection.read(self._reader)
            if counts:
                self._due_s = loop.time() + self._spec.poll_interval_s
            self._succeeded(connection, target, snapshot, counts=counts)
            spent = loop.time() - started
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._due_s - loop.time())):
                    await wake.wait()
            if not connection.lost:
                # Large tables take long to read: notifications leave the database two thirds of its time.
                earliest = started + spent + max(_MERGE_S, 2 * spent)
                await asyncio.sleep(min(earliest, self._due_s) - loop.time())
            if loop.time() >= self._due_s and await self._secret_changed(secret):
                return
            if connection.lost:
                raise SourceError(
                    Reason.UNREACHABLE,
                    f"the connection to {target.address} was closed; the server or a proxy ended it",
                )

    def _retry_delay_s(self) -> float:
        longest = min(self._spec.retry_max_s, self._spec.retry_min_s * 2.0 ** min(self._failures - 1, 16))
        return longest * (0.5 + 0.5 * self._jitter())

    # --- the Secret ---------------------------------------------------------------------------------------

    async def _secret(self) -> Secret:
        try:
            async with asyncio.timeout(self._spec.connect_timeout_s):
                return await self._read_secret()
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(
                Reason.UNREACHABLE,
                f"the Secret could not be read from the Kubernetes API ({type(error).__name__}); it is tried again",
            ) from None

    async def _secret_changed(self, secret: Secret) -> bool:
        """A Secret that cannot be read just now is no reason to give up a connection that works."""
        try:
            return dict(await self._secret()) != dict(secret)
        except SourceError as error:
            _log.debug("the Secret of %s cannot be read while connected: %s", self._spec.table, error.message)
            return False

    # --- outcomes -----------------------------------------------------------------------------------------

    def _succeeded(self, connection: SourceConnection, target: Target, snapshot: Snapshot, *, counts: bool) -> None:
        self._failures = 0
        self._publish(
            SourceState(
                reachable=True,
                reason=Reason.REACHABLE,
                message=self._describe(connection, target),
                shared=not connection.exclusive,
                last_success=datetime.now(UTC),
            )
        )
        self._on_snapshot(snapshot, counts)

    def _failed(self, error: SourceError) -> None:
        self._failures += 1
        self._publish(
            SourceState(
                reachable=False,
                reason=error.reason,
                message=error.message,
                shared=self._state.shared,
                last_success=self._state.last_success,
            )
        )

    def _publish(self, state: SourceState) -> None:
        if (state.reason, state.message) != (self._state.reason, self._state.message):
            level = logging.INFO if state.reachable else logging.WARNING
            _log.log(level, "source %s: %s: %s", self._spec.table, state.reason, state.message)
        self._state = state
        self._on_state(state)

    def _describe(self, connection: SourceConnection, target: Target) -> str:
        how = [f"{self._spec.table} is read every {self._spec.poll_interval_s:g} s"]
        if connection.listening:
            how.append(f"and at every notification on {self._spec.notify_channel}")
        elif self._spec.notify_channel:
            how.append("without notifications, because the server is a standby")
        if not connection.encrypted and not target.chosen and not target.hosts[0].startswith("/"):
            how.append("over an unencrypted connection (set sslmode or ca.crt in the Secret to decide that)")
        return " ".join(how)
