"""What operators and sidecars hold in their hands instead of a socket.

`SimKube` stands where `KubeClient` does, behind the same protocol and with the same words for what went wrong: a
refusal, a request that was never sent, an answer that never came. `SimRest` stands where the sidecar's `ApiClient`
does, below its own handling of Leases and of the FingerWorker.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from fingerv7.adapters.kube.backoff import Backoff
from fingerv7.adapters.kube.errors import (
    ApiUnreachable,
    Gone,
    OutcomeUnknown,
    TooManyRequests,
    Unavailable,
    WatchStalled,
    api_error,
)
from fingerv7_sidecar.http1 import HttpError, Response

from .network import Link, Watch
from .once import once
from .store import Json, RefusedError, parse_path

Params = Mapping[str, str]


class SimKube:
    """`KubeApi` over a link."""

    def __init__(self, link: Link, *, request_timeout_s: float, watch_stall_s: float) -> None:
        self._link = link
        self._store = link.server.store
        self._request_timeout_s = request_timeout_s
        self._watch_stall_s = watch_stall_s
        self._rng = link.server.rng.random

    async def get(self, path: str, *, params: Params | None = None, timeout_s: float | None = None) -> Json:
        plural, name, _ = parse_path(path)
        assert name
        if params and "resourceVersion" in params:
            at = self._link.deaf.get(name) or self._link.stalled_at or self._link.server.loop.now
            return await self._ask(lambda: self._store.get_as_of(plural, name, at), timeout_s)
        return await self._ask(lambda: self._read(plural, name), timeout_s)

    async def list(self, path: str, *, params: Params | None = None, chunk: int = 500) -> tuple[list[Json], str]:
        plural, _, _ = parse_path(path)
        label = (params or {}).get("labelSelector", "")
        return await self._ask(lambda: (self._store.list(plural, label), str(self._store.revision)), None)

    async def present_version(self, path: str, *, params: Params | None = None) -> int:
        return int(await self._ask(lambda: self._store.revision, None))

    async def create(self, path: str, body: Json, *, params: Params | None = None) -> Json:
        plural, _, _ = parse_path(path)
        return await self._write(plural, lambda who: self._store.create(plural, body, writer=who))

    async def replace(self, path: str, body: Json) -> Json:
        plural, name, _ = parse_path(path)
        assert name
        return await self._write(f"{plural}/{name}", lambda who: self._store.replace(plural, name, body, writer=who))

    async def merge_patch(self, path: str, patch: Json) -> Json:
        plural, name, sub = parse_path(path)
        assert name
        return await self._write(
            f"{plural}/{name}", lambda who: self._store.patch(plural, name, patch, sub, writer=who)
        )

    async def delete(self, path: str, *, uid: str | None = None, resource_version: str | None = None) -> Json:
        plural, name, _ = parse_path(path)
        assert name
        wanted = {"uid": uid, "resourceVersion": resource_version}
        return await self._write(f"{plural}/{name}", lambda who: self._store.delete(plural, name, wanted, writer=who))

    def watch(self, path: str, *, resource_version: str, params: Params | None = None, timeout_s: float) -> Any:
        plural, _, _ = parse_path(path)
        label = (params or {}).get("labelSelector", "")
        return _Events(self, plural, label, int(resource_version), timeout_s)

    # --- requests -----------------------------------------------------------------------------------------

    def _read(self, plural: str, name: str) -> Json:
        found = self._store.get(plural, name)
        if happens := self._link.server.on_read.get(f"{plural}/{name}"):
            happens(self._link)
        return found

    async def _ask(self, work: Callable[[], Any], timeout_s: float | None) -> Any:
        return await self._insist(work, write=False, timeout_s=timeout_s)

    async def _write(self, target: str, work: Callable[[str], Any]) -> Any:
        bound = functools.partial(work, self._link.process.name)
        return await self._insist(bound, write=True, timeout_s=None, target=target)

    async def _insist(
        self, work: Callable[[], Any], *, write: bool, timeout_s: float | None, target: str = ""
    ) -> Any:
        """As `transport.Transport` does: reads are repeated, writes only when nobody looked at them."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._request_timeout_s if timeout_s is None else timeout_s)
        backoff: Backoff | None = None
        tried = 0
        while True:
            tried += 1
            try:
                return await self._attempt(work, write, deadline, target)
            except TooManyRequests:
                again = tried < 8
                if not again:
                    raise
                error: Exception | None = None
            except (ApiUnreachable, Unavailable) as failed:
                if write or tried >= 3:
                    raise
                error = failed
            backoff = backoff or Backoff(first_s=0.1, cap_s=2.0, rng=self._rng)
            pause = backoff.next()
            if loop.time() + pause >= deadline:
                raise error or api_error(429, {"reason": "TooManyRequests"})
            await asyncio.sleep(pause)

    async def _attempt(self, work: Callable[[], Any], write: bool, deadline: float, target: str) -> Any:
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def answer(status: int, result: Any) -> None:
            if not future.done():
                future.set_result((status, result))

        timer = loop.call_at(deadline, answer, 0, "timeout")
        self._link.send(work, answer, write=write, target=target)
        try:
            status, result = await future
        finally:
            timer.cancel()
        if status == 200:
            return result
        if status == 0:
            raise (OutcomeUnknown if write else ApiUnreachable)(f"no answer: {result}")
        raised = as_error(status, result)
        if write and isinstance(raised, Unavailable):
            raise OutcomeUnknown(str(raised))
        raise raised


def as_error(status: int, result: Any) -> Exception:
    reason, name = (result.reason, result.name) if isinstance(result, RefusedError) else (result, "")
    return api_error(status, {"reason": reason, "message": str(result), "details": {"name": name} if name else None})


class _Events:
    """What `KubeClient.watch` yields; a class, so that nothing of it runs when its process is killed."""

    def __init__(self, api: SimKube, plural: str, label: str, revision: int, timeout_s: float) -> None:
        self._api = api
        self._revision = revision
        self._timeout_s = timeout_s
        self._queue: deque[tuple[str, Json]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._watch = Watch(api._link, plural, label=label, take=self._take)
        self._opened = False
        self._stalled = False
        self._heard = 0.0
        self._ends_at = 0.0
        self._timer: Any = None

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> tuple[str, Json]:
        loop = asyncio.get_running_loop()
        if not self._opened:
            self._opened = True
            await self._api._insist(self._start, write=False, timeout_s=None)
            self._heard = loop.time()
            self._ends_at = self._heard + self._timeout_s
            self._look()
            return "BOOKMARK", {"metadata": {"resourceVersion": str(self._revision)}}
        while not self._queue:
            if self._stalled:
                raise WatchStalled("no event and no bookmark")
            if loop.time() >= self._ends_at:
                raise StopAsyncIteration
            self._waiter = loop.create_future()
            await self._waiter
        kind, found = self._queue.popleft()
        if kind == "BREAK":
            raise ApiUnreachable("the watch broke")
        return kind, found

    async def aclose(self) -> None:
        self._watch.close()
        if self._timer:
            self._timer.cancel()

    def _start(self) -> None:
        if not self._watch.open:  # an attempt whose answer was lost is open already
            self._watch.start(self._revision, self._timeout_s)

    def _take(self, kind: str, found: Json) -> None:
        self._queue.append((kind, found))
        self._heard = self._watch.link.process.clock.boot()
        self._wake()

    def _look(self) -> None:
        """Whether it has been silent for too long, or should end."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._heard >= self._api._watch_stall_s:
            self._stalled = True
        if self._stalled or now >= self._ends_at:
            self._wake()
            return
        self._timer = loop.call_at(min(self._heard + self._api._watch_stall_s, self._ends_at), self._look)

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


# --- the sidecar's side -----------------------------------------------------------------------------------


class SimRest:
    """`ApiClient` over a link."""

    def __init__(self, link: Link, *, may_create: bool) -> None:
        self._link = link
        self._store = link.server.store
        self._may_create = may_create

    def connection(self) -> SimConnection:
        return SimConnection(self._link)

    def headers(self) -> dict[str, str]:
        return {}

    async def request(
        self, connection: object, method: str, target: str, body: Mapping[str, Any] | None = None
    ) -> Response:
        plural, name, _ = parse_path(target)
        store, who = self._store, self._link.process.name
        if method == "GET":
            assert name
            get = name

            def work() -> Json:
                return store.get(plural, get)
        else:
            # Through JSON, as on the wire: what is stored shares nothing with what was sent.
            sent = orjson.loads(orjson.dumps(body))
            if method == "POST":

                def work() -> Json:
                    if not self._may_create:
                        raise RefusedError(403, "Forbidden", f"cannot create {plural}")
                    return store.create(plural, sent, writer=who)
            else:
                assert name
                put = name

                def work() -> Json:
                    return store.replace(plural, put, sent, writer=who)

        future = asyncio.get_running_loop().create_future()

        def answer(status: int, result: Any) -> None:
            if not future.done():
                future.set_result((status, result))

        self._link.send(work, answer, write=method != "GET")
        status, result = await future
        if status == 200:
            return Response(200, {}, _bytes(result))
        if status == 0:
            raise HttpError("the connection broke")
        return Response(status, {}, _status(status, result))


class SimConnection:
    """Only watches need one."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._parts: _Parts | None = None

    async def stream(self, method: str, target: str, headers: dict[str, str]) -> tuple[int, AsyncIterator[bytes]]:
        query = parse_qs(urlsplit(target).query)
        plural, _, _ = parse_path(target.partition("?")[0])
        name = query["fieldSelector"][0].removeprefix("metadata.name=")
        version = query.get("resourceVersion", [""])[0]
        self._parts = parts = _Parts(self._link, plural, name)
        future = asyncio.get_running_loop().create_future()

        def answer(status: int, result: Any) -> None:
            if not future.done():
                future.set_result((status, result))

        self._link.send(lambda: parts.watch.start(int(version) if version else None), answer, write=False)
        status, _ = await future
        if status == 0:
            raise HttpError("the connection broke")
        return status, parts

    def close(self) -> None:
        if self._parts:
            self._parts.watch.close()


class _Parts:
    def __init__(self, link: Link, plural: str, name: str) -> None:
        self.watch = Watch(link, plural, name=name, take=self._take)
        self._queue: deque[bytes | None] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def __aiter__(self) -> _Parts:
        return self

    async def __anext__(self) -> bytes:
        while not self._queue:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        part = self._queue.popleft()
        if part is None:
            raise HttpError("the connection broke")
        return part

    def _take(self, kind: str, found: Json) -> None:
        if kind == "BREAK":
            self._queue.append(None)
        elif kind == "BOOKMARK":
            self._queue.append(b'{"type":"BOOKMARK","object":{"metadata":{}}}\n')
        else:
            self._queue.append(b'{"type":"' + kind.encode() + b'","object":' + _bytes(found) + b"}\n")
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


_bytes = once(orjson.dumps)


def _status(status: int, result: Any) -> bytes:
    reason, name = (result.reason, result.name) if isinstance(result, RefusedError) else (str(result), "")
    body = {"kind": "Status", "code": status, "reason": reason, "message": str(result), "details": {"name": name}}
    return orjson.dumps(body)


__all__ = ["Gone", "SimKube", "SimRest"]
