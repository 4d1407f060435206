"""A local copy of one kind of object that is never older than what this process wrote itself.

List in chunks, watch with bookmarks from there, start again when the server has forgotten our place. Beyond that
the operator needs two things that general informers do not give (design sections 4 and 5): the response of an own
accepted write replaces the stored object at once, and a broken watch is visible, so that silence of the watch is
never mistaken for silence of the workers.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Final, Generic, TypeVar

from fingerv7.adapters.kube.api import Json, KubeApi
from fingerv7.adapters.kube.backoff import Backoff
from fingerv7.adapters.kube.errors import ApiError, Gone, KubeError, WatchStalled
from fingerv7.adapters.kube.resources import Resource
from fingerv7.adapters.kube.store import Key, ObjectStore

__all__ = ["Informer", "Key"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

_WATCH_S: Final = 300.0
_STEADY_S: Final = 5.0
_HASTE_AFTER_S: Final = 1.0
_HASTY_WATCH_S: Final = 3.0
"""The server sends a bookmark two seconds before the end."""
_LONGEST_PAUSE_S: Final = 60.0
"""However long a throttling server asks to be left alone."""
_BLIND_S: Final = 1.0
"""How long at most until a watch is tried again: T counts from what it shows. Only lists are too dear for that."""


class Informer(Generic[T]):
    """Objects of one kind by `Key`, kept up to date by `run()`. Everything happens in one event loop.

    `on_change(key, old, new)` is called after the store has changed: old None when added, new None when deleted.
    It must be quick and only note that something changed.
    """

    def __init__(
        self,
        api: KubeApi,
        resource: Resource,
        *,
        namespace: str | None,
        parse: Callable[[Json], T],
        on_change: Callable[[Key, T | None, T | None], None],
        label_selector: str = "",
        on_unparsable: Callable[[Key, str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
        gap_after_s: float = 3.0,
        chunk: int = 500,
    ) -> None:
        self._api = api
        self.name = resource.plural if namespace is None else f"{resource.plural} in {namespace}"
        """For people."""
        self._path = resource.path(namespace)
        self._params = {"labelSelector": label_selector} if label_selector else {}
        self._clock = clock
        self._rng = rng
        self._gap_after_s = gap_after_s
        self._chunk = chunk
        self._objects: ObjectStore[T] = ObjectStore(
            resource.plural, parse=parse, on_change=on_change, on_unparsable=on_unparsable
        )
        self._listed = False
        self._broken_since: float | None = None
        self._gap_counted = False
        self._active_at = clock()
        self._expected = 0
        self._following: asyncio.Task[None] | None = None

        self.store: Mapping[Key, T] = self._objects.values
        """The objects, read only, always the newest that is known."""
        self.unparsed: Mapping[Key, str] = self._objects.unparsed
        """Objects whose newest state `parse` refused, and why. The store keeps the last state that was readable."""
        self.synced = asyncio.Event()
        """Set once the first list is in the store."""
        self.tried = asyncio.Event()
        """Set once the first list is in the store or was given up."""
        self.gap = 0
        """How often contact was lost for longer than `gap_after_s`, counted while it is still lost."""
        self.last_contact: float | None = None
        """`clock` at the last list, event or bookmark."""
        self.last_error = ""
        """Why there is no contact at present; empty while there is."""

    @property
    def version(self) -> int:
        """The resourceVersion that the watch has reached: everything up to it is in the store."""
        return self._objects.version

    def resource_version(self, key: Key) -> int | None:
        """Of the stored object."""
        return self._objects.resource_version(key)

    def put(self, raw: Json) -> T:
        """Store the response of an own accepted write or of a direct read; answer the newest known state.

        Raises what `parse` raises. An older resourceVersion never replaces a newer one, and an object that the
        watch has reported as deleted since is not brought back.
        """
        return self._objects.put(raw)

    def forget(self, key: Key, uid: str) -> None:
        """The object of that uid is gone: its deletion was accepted, or a direct GET answered 404."""
        self._objects.forget(key, uid)

    async def expect_present(self) -> int:
        """Ask once which version a consistent read has now, and see to it that the watch soon gets there.

        Once `version` has reached the answer, the store shows all that was true by then, and no list was needed. On
        a kind that is written to that takes a moment. On one that is not, a bookmark may take a minute to come, so
        after `_HASTE_AFTER_S` the watch is opened anew for a few seconds: before it ends, the server sends one.
        Raises KubeError.
        """
        self._expected = await self._api.present_version(self._path, params=self._params)
        asyncio.get_running_loop().call_later(_HASTE_AFTER_S, self._hasten)
        return self._expected

    def idle_s(self) -> float:
        """How long ago `run` last heard something or tried to: a task that hangs or has died grows old here."""
        return self._clock() - self._active_at

    async def run(self) -> None:
        """List and watch until cancelled; every failure is retried, and named in `last_error`."""
        backoff = Backoff(rng=self._rng)
        while True:
            begun, listed = self._clock(), self._listed
            pause = 0.0
            try:
                self._active_at = begun
                if not self._listed:
                    await self._relist()
                await self._follow_for_a_while()
                self._lost_contact(self._clock())  # ended on time: nothing was missed until now
            except KubeError as error:
                self._failed(error)
                if isinstance(error, Gone) and listed:
                    continue  # an outage ends like this; the list that follows has waited long enough
                pause = (error.retry_after_s or 0.0) if isinstance(error, ApiError) else 0.0
            except Exception as error:
                # An answer that makes no sense must not end the operator's view of the world unnoticed.
                _log.exception("%s: unexpected answer; listing again", self.name)
                self._listed = False
                self._failed(error)
            if self._clock() - begun >= _STEADY_S:
                backoff.reset()
            self._active_at = self._clock()
            delay = backoff.next()
            if self._listed:
                delay = min(delay, _BLIND_S)
            await asyncio.sleep(max(min(pause, _LONGEST_PAUSE_S), delay))

    async def _relist(self) -> None:
        self._objects.begin_list()
        items, version = await self._api.list(self._path, params=self._params, chunk=self._chunk)
        self._contact()
        await self._objects.replace(items, int(version))
        self._listed = True
        self.synced.set()
        self.tried.set()

    async def _follow_for_a_while(self) -> None:
        """Until the watch ends, or is to be opened anew because it is late."""
        self._following = asyncio.create_task(self._follow())
        try:
            await self._following
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
        finally:
            self._following = None

    def _hasten(self) -> None:
        if self.version >= self._expected:
            return
        if self._following is not None:
            _log.info("%s: version %d is late; opening the watch anew", self.name, self._expected)
            self._following.cancel()
        asyncio.get_running_loop().call_later(_HASTY_WATCH_S + _HASTE_AFTER_S, self._hasten)

    async def _follow(self) -> None:
        is_late = self.version < self._expected
        watch = self._api.watch(
            self._path,
            resource_version=str(self.version),
            params=self._params,
            timeout_s=_HASTY_WATCH_S if is_late else _WATCH_S * (1 + self._rng()),
        )
        async with aclosing(watch) as events:
            async for kind, raw in events:
                self._contact()
                self._objects.take(kind, raw)

    # --- contact ------------------------------------------------------------------------------------------

    def _failed(self, error: Exception) -> None:
        # A stalled watch may follow a version that a restored etcd has not reached yet, hence lists as well.
        if isinstance(error, Gone | WatchStalled):
            self._listed = False
        # Silence before a stall may have been an outage. A connection that breaks was good until then: counting from
        # its last event would make every cut of an idle one a gap, and postpone takeovers for ever.
        heard = self.last_contact if isinstance(error, WatchStalled) else None
        self._lost_contact(self._clock() if heard is None else heard)
        self.tried.set()
        if self.last_error != str(error):
            self.last_error = str(error)
            _log.warning("%s: %s; trying again", self.name, error)

    def _contact(self) -> None:
        self._judge_gap()
        self._broken_since = None
        self.last_contact = self._active_at = self._clock()
        self.last_error = ""

    def _lost_contact(self, since: float) -> None:
        if self._broken_since is None:
            self._broken_since, self._gap_counted = since, False
        self._judge_gap()

    def _judge_gap(self) -> None:
        if self._broken_since is None or self._gap_counted:
            return
        if self._clock() - self._broken_since > self._gap_after_s:
            self._gap_counted = True
            self.gap += 1
