"""Sessions of aiohttp, kept for as long as their connections are trusted.

When one connection fails or times out, its idle neighbours are probably dead as well (a load balancer or a node
on the way is gone), so the next request gets a session of its own with fresh connections. The old one closes when
its last request has ended; a watch on it that still lives is not disturbed.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from fingerv7.adapters.kube.credentials import Credentials

_READ_BUFFER: Final = 256 * 1024
# A peer that vanished is noticed on an idle watch within some 25 s, before the bookmarks' minute is over.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


@dataclass(slots=True, eq=False)
class _Session:
    session: aiohttp.ClientSession
    users: int = 0
    retired: bool = False


class Connections:
    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._current: _Session | None = None
        self._all: set[_Session] = set()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """The session for one request; one that leaves this block with a connection error retires it."""
        entry = self._current or self._open()
        entry.users += 1
        try:
            yield entry.session
        except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
            entry.retired = True
            if self._current is entry:
                self._current = None
            raise
        finally:
            entry.users -= 1
            if entry.retired and not entry.users:
                await self._close(entry)

    async def close(self) -> None:
        self._current = None
        for entry in list(self._all):
            await self._close(entry)

    async def _close(self, entry: _Session) -> None:
        self._all.discard(entry)
        await entry.session.close()

    def _open(self) -> _Session:
        connector = aiohttp.TCPConnector(
            # The client bounds its requests. Watches, which stay, must not take the place of any.
            limit=0,
            ssl=self._credentials.ssl_context,
            socket_factory=_socket,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            proxy=self._credentials.proxy,
            timeout=aiohttp.ClientTimeout(),  # the client's own deadlines say more than aiohttp's
            auto_decompress=True,
            # The API server is one hop away: compressing every list costs it more than the bytes do.
            headers={"User-Agent": "fingerv7-operator", "Accept": "application/json", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[_trace()],
            read_bufsize=_READ_BUFFER,
        )
        self._current = _Session(session)
        self._all.add(self._current)
        return self._current


class Attempt:
    """What one request got to: whether it had a connection, so that its bytes may have left.

    It is also aiohttp's middleware for that request, because aiohttp repeats a PUT or DELETE by itself when a
    kept connection breaks, and the answer to the second would hide that the first was committed.
    """

    def __init__(self) -> None:
        self.connected = False
        self.outcome = "cancelled"
        self._failure: Exception | None = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._failure is not None:
            raise self._failure
        try:
            return await handler(request)
        except Exception as error:
            self._failure = error
            raise


def _trace() -> aiohttp.TraceConfig:
    async def connected(_session: aiohttp.ClientSession, context: Any, _params: object) -> None:
        context.trace_request_ctx.connected = True

    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(connected)
    config.on_connection_reuseconn.append(connected)
    return config


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        if hasattr(socket, option):  # macOS names them otherwise
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock
