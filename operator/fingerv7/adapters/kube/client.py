"""The API server over HTTP, with an exact answer to "did my write happen?".

Reads are repeated a few times when a connection fails; a write is repeated only when the server refused it before
looking at it (429, or 401 with an expired token). Everything else about a failed write is for the caller to find
out, because only a later accepted write to the same object makes the lost one harmless (design section 4).
"""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
import orjson
from yarl import URL

from fingerv7.adapters.kube.api import Json, JsonList, KubeApi, Params
from fingerv7.adapters.kube.backoff import Backoff
from fingerv7.adapters.kube.connections import Attempt, Connections
from fingerv7.adapters.kube.credentials import Credentials
from fingerv7.adapters.kube.errors import (
    ApiError,
    ApiUnreachable,
    Gone,
    KubeError,
    OutcomeUnknown,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    WatchStalled,
    api_error,
)
from fingerv7.adapters.kube.stats import RequestStats

__all__ = ["KubeApi", "KubeClient"]

_A = TypeVar("_A")

_READ_ATTEMPTS: Final = 3
_THROTTLED_ATTEMPTS: Final = 8
_LARGE_BODY: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Request:
    verb: str
    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None
    content_type: str = "application/json"

    @property
    def write(self) -> bool:
        return self.method != "GET"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class KubeClient:
    """One API server. `concurrency` bounds the requests under way; watches are not counted.

    Give the leader election a client of its own, or its renewals queue behind a thousand other writes.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        request_timeout_s: float = 10.0,
        concurrency: int = 32,
        watch_stall_s: float = 75.0,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """`watch_stall_s` must exceed the minute after which the API server sends a bookmark on an idle watch."""
        self.credentials = credentials
        self.stats = RequestStats()
        self.request_timeout_s = request_timeout_s
        self.watch_stall_s = watch_stall_s
        self._slots = asyncio.Semaphore(concurrency)
        self._connections = Connections(credentials)
        self._base = credentials.server.rstrip("/")
        self._rng = rng

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._connections.close()

    # --- reads --------------------------------------------------------------------------------------------

    async def get(self, path: str, *, params: Params | None = None, timeout_s: float | None = None) -> Json:
        """One object; without the parameter `resourceVersion` a consistent read.

        `timeout_s` bounds all attempts together. Raises ApiError, or ApiUnreachable when no answer came.
        """
        return await self._request(_Request("GET", "GET", path, params or {}), timeout_s)

    async def list(self, path: str, *, params: Params | None = None, chunk: int = 500) -> tuple[JsonList, str]:
        """All objects of one snapshot and its resourceVersion, fetched `chunk` at a time.

        A snapshot that the server compacted half way (410) is started again once. Items of built-in kinds carry
        no `kind` and `apiVersion`. The client's timeout holds for each chunk.
        """
        try:
            return await self._list(path, params, chunk)
        except Gone:
            return await self._list(path, params, chunk)

    async def _list(self, path: str, params: Params | None, chunk: int) -> tuple[JsonList, str]:
        query = {**(params or {}), "limit": str(chunk)}
        items: JsonList = []
        while True:
            page = await self._request(_Request("LIST", "GET", path, query), None)
            items += page.get("items") or []
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion", ""))
            query = {**query, "continue": metadata["continue"]}

    # --- writes -------------------------------------------------------------------------------------------
    # Each returns the stored object. Each raises ApiError (nothing changed), ApiUnreachable (never sent, nothing
    # changed) or OutcomeUnknown; a write that is cancelled is of unknown outcome, too.

    async def create(self, path: str, body: Json) -> Json:
        return await self._request(_Request("CREATE", "POST", path, data=orjson.dumps(body)))

    async def replace(self, path: str, body: Json) -> Json:
        return await self._request(_Request("REPLACE", "PUT", path, data=orjson.dumps(body)))

    async def merge_patch(self, path: str, patch: Json) -> Json:
        """With `metadata.resourceVersion` in the patch a stale one is a `Conflict`."""
        content_type = "application/merge-patch+json"
        return await self._request(
            _Request("PATCH", "PATCH", path, data=orjson.dumps(patch), content_type=content_type)
        )

    async def delete(self, path: str, *, uid: str | None = None, resource_version: str | None = None) -> Json:
        """Delete only that uid and resourceVersion, where given; anything else is a `Conflict`."""
        required = {"uid": uid, "resourceVersion": resource_version}
        options: Json = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {key: value for key, value in required.items() if value is not None},
        }
        return await self._request(_Request("DELETE", "DELETE", path, data=orjson.dumps(options)))

    # --- watches ------------------------------------------------------------------------------------------

    async def watch(
        self, path: str, *, resource_version: str, params: Params | None = None, timeout_s: float
    ) -> AsyncGenerator[tuple[str, Json]]:
        """Events after `resource_version`, until the server ends the watch after `timeout_s`.

        The first item is a BOOKMARK of `resource_version` itself, made here once the server has accepted the
        watch: it says that contact exists. Raises the ApiError of an ERROR event (`Gone` for a version that is
        too old), ApiUnreachable when the connection breaks, WatchStalled after `watch_stall_s` of silence.
        Close the generator (`contextlib.aclosing`) to end it early.
        """
        query = {
            **(params or {}),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(max(1, round(timeout_s))),
        }
        request = _Request("WATCH", "GET", path, query)
        try:
            stack, response = await self._insist(request, self._open, None)
            async with stack:
                yield "BOOKMARK", {"metadata": {"resourceVersion": resource_version}}
                async for line in _lines(response.content, self.watch_stall_s):
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        status = event["object"]
                        raise api_error(int(status.get("code") or 500), status)
                    yield event["type"], event["object"]
        except TimeoutError as error:
            raise WatchStalled(f"no event and no bookmark of {path} for {self.watch_stall_s:g} s") from error
        except (aiohttp.ClientError, OSError, orjson.JSONDecodeError) as error:
            raise ApiUnreachable(f"the watch of {path} broke: {_said(error)}") from error

    # --- one request --------------------------------------------------------------------------------------

    async def _request(self, request: _Request, timeout_s: float | None = None) -> Json:
        async with self._slots:
            return await self._insist(request, self._answer, timeout_s)

    async def _insist(
        self,
        request: _Request,
        attempt: Callable[[_Request, str | None, float], Awaitable[_A]],
        timeout_s: float | None,
    ) -> _A:
        """Repeat what may be repeated, within one deadline for all attempts."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self.request_timeout_s if timeout_s is None else timeout_s)
        backoff = Backoff(first_s=0.1, cap_s=2.0, rng=self._rng)
        rejected: str | None = None
        tried = 0
        while True:
            tried += 1
            authorization = await self.credentials.token.authorization(rejected=rejected)
            try:
                return await attempt(request, authorization, deadline)
            except Unauthorized:
                if rejected is not None or authorization is None:
                    raise
                rejected, pause = authorization, 0.0
            except TooManyRequests as error:
                pause = max(error.retry_after_s or 0.0, backoff.next())
                if tried >= _THROTTLED_ATTEMPTS or loop.time() + pause >= deadline:
                    raise
            except (ApiUnreachable, Unavailable):
                pause = backoff.next()
                if request.write or tried >= _READ_ATTEMPTS or loop.time() + pause >= deadline:
                    raise
            await asyncio.sleep(pause)

    async def _answer(self, request: _Request, authorization: str | None, deadline: float) -> Json:
        with self._observed(request) as attempt:
            async with AsyncExitStack() as stack, asyncio.timeout_at(deadline):
                response = await self._send(stack, request, attempt, authorization)
                payload = await response.read()
            _check(request, response, payload)
            try:
                answer: Json = orjson.loads(payload)
            except orjson.JSONDecodeError as error:
                lost = OutcomeUnknown if request.write else ApiUnreachable
                raise lost(f"the answer to {request} is no JSON: {payload[:100]!r}") from error
            return answer

    async def _open(
        self, request: _Request, authorization: str | None, deadline: float
    ) -> tuple[AsyncExitStack, aiohttp.ClientResponse]:
        with self._observed(request) as attempt:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout_at(deadline):
                    response = await self._send(stack, request, attempt, authorization)
                    if response.status != 200:
                        _check(request, response, await response.read())
                return stack.pop_all(), response

    async def _send(
        self, stack: AsyncExitStack, request: _Request, attempt: Attempt, authorization: str | None
    ) -> aiohttp.ClientResponse:
        session = await stack.enter_async_context(self._connections.session())
        headers = {} if authorization is None else {"Authorization": authorization}
        data: bytes | io.BytesIO | None = request.data
        if request.data is not None:
            headers["Content-Type"] = request.content_type
            if len(request.data) > _LARGE_BODY:  # aiohttp sends such a body in pieces only from a file
                data = io.BytesIO(request.data)
        response = await stack.enter_async_context(
            session.request(
                request.method,
                URL(self._base + request.path, encoded=True),
                params=request.params,
                data=data,
                headers=headers,
                allow_redirects=False,
                server_hostname=self.credentials.server_hostname,
                trace_request_ctx=attempt,
                middlewares=(attempt,),
            )
        )
        attempt.outcome = str(response.status)
        return response

    @contextmanager
    def _observed(self, request: _Request) -> Iterator[Attempt]:
        """Count the attempt and say what a missing answer to it means."""
        loop = asyncio.get_running_loop()
        started, attempt = loop.time(), Attempt()
        try:
            yield attempt
        except (aiohttp.ClientError, OSError) as error:
            attempt.outcome = "timeout" if isinstance(error, TimeoutError) else "connection"
            lost: type[KubeError] = OutcomeUnknown if request.write and attempt.connected else ApiUnreachable
            after = f"after {loop.time() - started:.1f} s: {_said(error)}"
            raise lost(f"no answer to {request} from {self._base} {after}") from error
        finally:
            self.stats.count(request.verb, attempt.outcome, loop.time() - started)


def _check(request: _Request, response: aiohttp.ClientResponse, payload: bytes) -> None:
    if 200 <= response.status < 300:
        return
    try:
        body: Any = orjson.loads(payload)
    except orjson.JSONDecodeError:
        body = payload.decode(errors="replace")
    error: ApiError = api_error(response.status, body, retry_after=response.headers.get("Retry-After"))
    if request.write and isinstance(error, Unavailable):
        raise OutcomeUnknown(f"{request} was answered by {error}") from error
    raise error


async def _lines(content: aiohttp.StreamReader, stall_s: float) -> AsyncIterator[bytes]:
    """The lines of a watch, which may be megabytes long. Raises TimeoutError after `stall_s` without a byte."""
    begun: list[bytes] = []
    while True:
        async with asyncio.timeout(stall_s):
            chunk = await content.readany()
        if not chunk:
            if begun:
                raise aiohttp.ClientPayloadError("the stream ended within an event")
            return
        if b"\n" not in chunk:
            begun.append(chunk)
            continue
        *lines, rest = b"".join((*begun, chunk)).split(b"\n")
        begun = [rest] if rest else []
        for line in lines:
            if line:
                yield line


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
