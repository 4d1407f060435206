"""One request to the API server, repeated where that is safe, and what its silence means.

A read is repeated a few times when a connection fails; a write only when the server refused it before looking at
it (429, or 401 with an expired token). Everything else about a failed write is for the caller to find out.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import aiohttp
import orjson
from yarl import URL

from fingerv7.adapters.kube.api import Json
from fingerv7.adapters.kube.backoff import Backoff
from fingerv7.adapters.kube.connections import Attempt, Connections
from fingerv7.adapters.kube.credentials import Credentials
from fingerv7.adapters.kube.errors import (
    ApiUnreachable,
    CredentialsError,
    KubeError,
    OutcomeUnknown,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    api_error,
)
from fingerv7.adapters.kube.shallow import loads
from fingerv7.adapters.kube.stats import RequestStats

_A = TypeVar("_A")

_READ_ATTEMPTS: Final = 3
_THROTTLED_ATTEMPTS: Final = 8
_LARGE_BODY: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """`verb` is the API's word for it, which the statistics use."""

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


class Transport:
    """`answer` for what has an end, `stream` for watches."""

    def __init__(self, credentials: Credentials, *, rng: Callable[[], float]) -> None:
        self.stats = RequestStats()
        self._credentials = credentials
        self._connections = Connections(credentials)
        self._base = credentials.server.rstrip("/")
        self._rng = rng

    async def close(self) -> None:
        await self._connections.close()

    async def answer(self, request: Request, timeout_s: float) -> Json:
        """The JSON of a 2xx. Raises ApiError, ApiUnreachable or OutcomeUnknown."""
        return await self._insist(request, self._answer, timeout_s)

    async def stream(self, request: Request, timeout_s: float) -> tuple[AsyncExitStack, aiohttp.ClientResponse]:
        """An accepted watch, and what closes it. An error of aiohttp that leaves the stack renews connections."""
        return await self._insist(request, self._open, timeout_s)

    async def _insist(
        self, request: Request, attempt: Callable[[Request, str | None, float], Awaitable[_A]], timeout_s: float
    ) -> _A:
        """Repeat what may be repeated, within one deadline for all attempts."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        backoff = Backoff(first_s=0.1, cap_s=2.0, rng=self._rng)
        rejected: str | None = None
        tried = 0
        while True:
            tried += 1
            authorization = await self._authorization(request, rejected, deadline)
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

    async def _authorization(self, request: Request, rejected: str | None, deadline: float) -> str | None:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._credentials.token.authorization(rejected=rejected)
        except (CredentialsError, TimeoutError) as error:
            raise ApiUnreachable(f"{request} was not sent, for want of credentials: {_said(error)}") from error

    async def _answer(self, request: Request, authorization: str | None, deadline: float) -> Json:
        with self._observed(request) as attempt:
            async with AsyncExitStack() as stack, asyncio.timeout_at(deadline):
                response = await self._send(stack, request, attempt, authorization)
                payload = await response.read()
            _check(request, response, payload)
            try:
                answer: Json = loads(payload, orjson.loads)
            except ValueError as error:
                lost = OutcomeUnknown if request.write else ApiUnreachable
                raise lost(f"the answer to {request} is no JSON: {payload[:100]!r}") from error
            return answer

    async def _open(
        self, request: Request, authorization: str | None, deadline: float
    ) -> tuple[AsyncExitStack, aiohttp.ClientResponse]:
        with self._observed(request) as attempt:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout_at(deadline):
                    response = await self._send(stack, request, attempt, authorization)
                    if response.status != 200:
                        _check(request, response, await response.read())
                return stack.pop_all(), response

    async def _send(
        self, stack: AsyncExitStack, request: Request, attempt: Attempt, authorization: str | None
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
                server_hostname=self._credentials.server_hostname,
                trace_request_ctx=attempt,
                middlewares=(attempt,),
            )
        )
        attempt.outcome = str(response.status)
        return response

    @contextmanager
    def _observed(self, request: Request) -> Iterator[Attempt]:
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


def _check(request: Request, response: aiohttp.ClientResponse, payload: bytes) -> None:
    if 200 <= response.status < 300:
        return
    try:
        body: Any = orjson.loads(payload)
    except orjson.JSONDecodeError:
        body = payload.decode(errors="replace")
    error = api_error(response.status, body, retry_after=response.headers.get("Retry-After"))
    if request.write and isinstance(error, Unavailable):
        raise OutcomeUnknown(f"{request} was answered by {error}") from error
    raise error


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
