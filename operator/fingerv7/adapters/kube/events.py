"""Events on change, not on repetition, and never in the way.

What the operator has to say about an object is said once; while it stays true it is only counted, and the count
is written now and then. Recording never waits for the API server and never fails: an Event is a courtesy, and the
loop that records it moves streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fingerv7.adapters.kube.api import Json, KubeApi
from fingerv7.adapters.kube.backoff import Backoff
from fingerv7.adapters.kube.errors import ApiUnreachable, Conflict, NotFound, OutcomeUnknown
from fingerv7.adapters.kube.resources import EVENTS

_log = logging.getLogger(__name__)

_REMEMBERED: Final = 4096
_MESSAGE_LIMIT: Final = 1024  # the API's own limit for newer Events; kubectl shows older ones in one column
_ATTEMPTS: Final = 3


@dataclass(slots=True, eq=False)
class _Told:
    """One thing said about one object, and how often since `told_at`."""

    namespace: str
    involved: Mapping[str, str]
    type: str
    reason: str
    message: str
    told_at: float
    written_at: float
    count: int = 1
    name: str = ""
    """Of the Event, once it is written."""
    first: str = ""
    waiting: bool = False


class EventRecorder:
    """Writes core/v1 Events from a background task, which the first `record` starts and `close` ends."""

    def __init__(
        self,
        api: KubeApi,
        *,
        component: str = "fingerv7-operator",
        instance: str | None = None,
        repeat_after_s: float = 3600.0,
        recount_after_s: float = 300.0,
        queue_size: int = 1000,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
    ) -> None:
        """`now` is only written for people to read."""
        self._api = api
        self._component = component
        self._instance = instance or socket.gethostname()
        self._repeat_after_s = repeat_after_s
        self._recount_after_s = recount_after_s
        self._now = now
        self._rng = rng or random.Random()
        self._queue: asyncio.Queue[_Told] = asyncio.Queue(queue_size)
        self._told: OrderedDict[tuple[str, ...], _Told] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0
        """How often nothing was written: the queue was full, or the API server refused or did not answer."""

    async def record(
        self,
        namespace: str,
        involved: Mapping[str, str],
        *,
        type: str,  # noqa: A002 - the API's word: Normal or Warning
        reason: str,
        message: str,
    ) -> None:
        """Say something about `involved` (kind, apiVersion, name, uid). Returns at once and never raises.

        The same words about the same object are not repeated within an hour. Redact URLs with `redact_url` before.
        """
        who = involved.get("uid") or involved.get("name", "")
        what = (namespace, involved.get("kind", ""), who, reason, message)
        now = asyncio.get_running_loop().time()
        told = self._told.get(what)
        if told is None or now - told.told_at >= self._repeat_after_s:
            told = _Told(namespace, dict(involved), type, reason, _shortened(message), now, now)
            self._told[what] = told
            if len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
        else:
            told.count += 1
            if told.waiting or now - told.written_at < self._recount_after_s:
                return
        try:
            self._queue.put_nowait(told)
        except asyncio.QueueFull:
            self.dropped += 1
            self._told.pop(what, None)  # it may be said again
            return
        told.waiting = True
        self._told.move_to_end(what)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="event-recorder")

    async def close(self, *, drain_s: float = 2.0) -> None:
        """Write what is waiting, for at most `drain_s`, and stop."""
        task, self._task = self._task, None
        if task is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                await self._queue.join()
        task.cancel()
        await asyncio.wait([task])

    async def _run(self) -> None:
        while True:
            told = await self._queue.get()
            told.waiting = False
            told.written_at = asyncio.get_running_loop().time()
            try:
                await self._write(told)
            except Exception as error:
                self.dropped += 1
                _log.debug("the Event %s about %s was not written: %s", told.reason, told.involved, error)
            finally:
                self._queue.task_done()

    async def _write(self, told: _Told) -> None:
        when = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if told.name:
            patch: Json = {"count": told.count, "lastTimestamp": when}
            try:
                await self._insist(lambda: self._api.merge_patch(EVENTS.path(told.namespace, told.name), patch))
            except NotFound:
                told.name = ""  # Events live for an hour
            else:
                return
        event = self._event(told, when)
        with contextlib.suppress(Conflict):  # written by an attempt whose answer was lost
            await self._insist(lambda: self._api.create(EVENTS.path(told.namespace), event))
        told.name = event["metadata"]["name"]

    async def _insist(self, write: Callable[[], Awaitable[object]]) -> None:
        """Repeating is safe: a second creation has the same name, a second patch the same content."""
        backoff = Backoff(first_s=0.5, rng=self._rng.random)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await write()
            except (ApiUnreachable, OutcomeUnknown):
                if attempt == _ATTEMPTS:
                    raise
            else:
                return
            await asyncio.sleep(backoff.next())

    def _event(self, told: _Told, when: str) -> Json:
        told.first = told.first or when
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {
                "name": f"{told.involved.get('name', '')[:200]}.{self._rng.getrandbits(64):016x}",
                "namespace": told.namespace,
            },
            "involvedObject": {**told.involved, "namespace": told.namespace},
            "type": told.type,
            "reason": told.reason,
            "message": told.message,
            "count": told.count,
            "firstTimestamp": told.first,
            "lastTimestamp": when,
            "source": {"component": self._component, "host": self._instance},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }


def _shortened(message: str) -> str:
    return message if len(message) <= _MESSAGE_LIMIT else message[: _MESSAGE_LIMIT - 1] + "…"
