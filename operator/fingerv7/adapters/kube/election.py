"""One leader among the operator's replicas, by a Lease.

Nobody compares a time written by another machine with its own clock: a candidate takes over when *it has seen* the
Lease unchanged for the lease duration, and the leader counts its deadline from the moment it *sent* the last
renewal that was accepted. Because the deadline is shorter, and a watchdog thread ends the process at it even if
the event loop hangs, the leader is gone before anybody else starts. What a frozen process may still send is
refused by the leader epoch (design section 4), which is why a Lease that somebody deleted does no harm either.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import threading
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from fingerv7.adapters.kube.api import Json, KubeApi
from fingerv7.adapters.kube.errors import Conflict, KubeError, NotFound
from fingerv7.adapters.kube.resources import LEASES
from fingerv7.adapters.kube.watchdog import Watchdog, boot_time, exit_process

A = TypeVar("A")

_log = logging.getLogger(__name__)

LONGEST_LEASE_S: Final = 300.0
"""A holder's own, longer lease duration is respected up to here; beyond it is a typing error."""


class LeadershipLost(Exception):  # noqa: N818 - an event, not a defect
    """Raised by `hold` where `on_lost` did not end the process."""


def are_safe(lease_s: float, renew_deadline_s: float, retry_s: float) -> bool:
    """Whether an old leader is gone before anybody else may start, though their clocks run 5 % too fast or slow."""
    return 0 < retry_s < renew_deadline_s and renew_deadline_s * 1.05 <= lease_s * 0.95


def process_identity() -> str:
    """Unique to this process: a restarted container is a new candidate, never its own predecessor."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class Election:
    """`epoch = await acquire()`, then `hold()` in a task until all writing has stopped, then `release()`.

    Give it a `KubeApi` of its own (`KubeClient(credentials, concurrency=2)`): a renewal must not queue behind the
    fleet's writes. `on_lost` is called with the reason, by `hold` or from the watchdog's thread, and is expected
    not to return.
    """

    def __init__(
        self,
        api: KubeApi,
        *,
        namespace: str,
        name: str,
        identity: str | None = None,
        lease_s: float = 15.0,
        renew_deadline_s: float = 10.0,
        retry_s: float = 2.0,
        on_lost: Callable[[str], object] = exit_process,
        clock: Callable[[], float] = boot_time,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: Callable[[], float] = random.random,
        watchdog: bool = True,
    ) -> None:
        """`now` is only written for people to read. Raises ValueError for times that allow two leaders."""
        if not are_safe(lease_s, renew_deadline_s, retry_s):
            raise ValueError(
                f"retry ({retry_s:g} s) must be below the renew deadline ({renew_deadline_s:g} s), and that * 1.05 "
                f"at most the lease ({lease_s:g} s) * 0.95, or the old leader could still write when the next starts"
            )
        self.identity = identity or process_identity()
        self._api = api
        self._namespace = namespace
        self._name = name
        self._lease_s = lease_s
        self._renew_deadline_s = renew_deadline_s
        self._retry_s = retry_s
        self._call_s = (renew_deadline_s - retry_s) / 3
        """Three hanging calls fit into one deadline."""
        self._on_lost = on_lost
        self._clock = clock
        self._now = now
        self._rng = rng
        late = f"not renewed within {renew_deadline_s:g} s, and the event loop did not notice"
        self._watchdog = Watchdog(lambda: self._end(late), clock=clock) if watchdog else None
        self._ended = threading.Lock()
        self._deadline: float | None = None
        self._lease: Json | None = None
        self._sent = False
        """Whether a write was ever sent, so that the Lease may be ours even if no answer said so."""
        self._seen: tuple[object, ...] | None = None
        self._seen_at = 0.0
        self._last_words = ""
        self._tried_at = clock()

    def idle_s(self) -> float:
        """How long ago the Lease was last read or written, or tried to be."""
        return self._clock() - self._tried_at

    @property
    def may_write(self) -> bool:
        """Whether this process leads; false as soon as the renew deadline has passed. Ask before each write."""
        return self._deadline is not None and self._clock() < self._deadline

    # --- becoming the leader ------------------------------------------------------------------------------

    async def acquire(self) -> int:
        """Wait for leadership; the resourceVersion of the write that won it. The watchdog runs from here on."""
        while True:
            pause = self._retry_s * (0.3 + 0.2 * self._rng())
            try:
                lease = await self._read()
                left = self._others_time_left(lease)
                if left <= 0:
                    return await self._write(lease)
                pause = min(pause, left)
            except Conflict:
                pause /= 10  # somebody was faster; look again
            except (KubeError, TimeoutError) as error:
                self._say(f"cannot stand for election: {_reason(error)}")
            await asyncio.sleep(pause)

    def _others_time_left(self, lease: Json | None) -> float:
        """How long the Lease has to be seen unchanged before it is ours to take; 0 when it is free."""
        now = self._clock()
        if lease is None:
            # Deleted under a leader that we have seen, who may still be within its deadline.
            return 0.0 if self._seen is None else self._seen_at + self._lease_s - now
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self.identity):
            return 0.0
        seen = (holder, spec.get("renewTime"), lease["metadata"]["resourceVersion"])
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        self._say(f"standing by: {holder} leads")
        declared = float(spec.get("leaseDurationSeconds") or 0)
        return self._seen_at + max(self._lease_s, min(declared, LONGEST_LEASE_S)) - now

    # --- staying the leader -------------------------------------------------------------------------------

    async def hold(self) -> None:
        """Renew until cancelled; when that fails for the renew deadline, or somebody else leads, `on_lost`."""
        while True:
            await asyncio.sleep(self._retry_s)
            while not await self._renewed():
                if not self.may_write:
                    self._lost(f"not renewed within {self._renew_deadline_s:g} s: {self._last_words}")
                await asyncio.sleep(self._retry_s * (0.1 + 0.1 * self._rng()))

    async def _renewed(self) -> bool:
        try:
            await self._write(self._lease)
        except (Conflict, NotFound):
            return await self._reclaimed()
        except (KubeError, TimeoutError) as error:
            self._say(f"cannot renew the leader Lease: {_reason(error)}")
            return False
        return True

    async def _reclaimed(self) -> bool:
        """The Lease is not as we left it: edited or deleted by a stranger, or renewed by a write of ours."""
        try:
            lease = await self._read()
        except (KubeError, TimeoutError) as error:
            self._say(f"cannot read the leader Lease: {_reason(error)}")
            return False
        holder = ((lease or {}).get("spec") or {}).get("holderIdentity") or ""
        if lease is not None and holder != self.identity:
            self._lost(f"{holder or 'nobody'} holds the leader Lease now")
        self._lease = lease  # written again in a moment; should somebody come between, that is a conflict
        return False

    # --- leaving ------------------------------------------------------------------------------------------

    async def release(self) -> None:
        """Let the next leader start at once. Call it when no write of this process is under way any more.

        Also after an `acquire` that was cancelled, whose write may have won. Never raises: a Lease that cannot be
        released is taken over after its duration.
        """
        self._deadline = None
        try:
            while self._sent:
                lease = await self._read()
                if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self.identity:
                    break
                spec = {**lease["spec"], "holderIdentity": "", "renewTime": self._written_now()}
                with contextlib.suppress(Conflict):  # a renewal whose answer was lost came in between
                    await self._within(self._api.replace(self._path(self._name), {**lease, "spec": spec}))
                    break
        except (KubeError, TimeoutError) as error:
            _log.warning("the leader Lease was not released: %s", _reason(error))
        finally:
            if self._watchdog is not None:
                self._watchdog.stop()

    # --- the Lease ----------------------------------------------------------------------------------------

    async def _read(self) -> Json | None:
        try:
            return await self._within(self._api.get(self._path(self._name)))
        except NotFound:
            return None

    async def _write(self, lease: Json | None) -> int:
        """Make the Lease ours on top of exactly that state of it, and count the deadline from before sending."""
        old = (lease or {}).get("spec") or {}
        now = self._written_now()
        mine = old.get("holderIdentity") == self.identity
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": round(self._lease_s),
            "acquireTime": old.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (not mine and lease is not None),
        }
        sent, self._sent = self._clock(), True
        if lease is None:
            body = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": {"name": self._name}}
            stored = await self._within(self._api.create(self._path(None), {**body, "spec": spec}))
        else:
            stored = await self._within(self._api.replace(self._path(self._name), {**lease, "spec": spec}))
        self._lease, self._last_words = stored, ""
        self._deadline = sent + self._renew_deadline_s
        if self._watchdog is not None:
            self._watchdog.watch(self._deadline)
        return int(stored["metadata"]["resourceVersion"])

    def _path(self, name: str | None) -> str:
        return LEASES.path(self._namespace, name)

    async def _within(self, call: Awaitable[A]) -> A:
        self._tried_at = self._clock()
        async with asyncio.timeout(self._call_s):
            return await call

    def _written_now(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    # --- the end ------------------------------------------------------------------------------------------

    def _lost(self, why: str) -> None:
        self._deadline = None
        self._end(why)
        raise LeadershipLost(why)

    def _end(self, why: str) -> None:
        """Once, by whoever notices first: `hold` or the watchdog's thread."""
        if self._ended.acquire(blocking=False):
            self._on_lost(f"leadership lost: {why}")

    def _say(self, words: str) -> None:
        if words != self._last_words:
            self._last_words = words
            _log.warning("%s", words)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
