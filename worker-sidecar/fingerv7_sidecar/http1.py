"""HTTP/1.1 on asyncio streams, parsed by h11: the client side, for the API server and for the worker.

Small on purpose. A connection carries one request at a time; whoever wants a fresh one closes it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import h11

_CHUNK = 64 * 1024
_BODY_LIMIT = 16 << 20
_NEIGHBOUR_LIMIT = 8 << 10
"""What is longer than this is no status and no hash, and whoever asks may have 64 MiB in all."""


class HttpError(Exception):
    """No usable answer: not sendable, refused, broken off, too large, or not HTTP."""


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """A keep-alive connection that is opened when it is first needed."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        self._host, self._port, self._context = host, port, context
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._parser = h11.Connection(h11.CLIENT)

    async def request(
        self, method: str, target: str, headers: dict[str, str], body: bytes = b"", *, at_most: int | None = None
    ) -> Response:
        """Send one request and read its answer, or the first `at_most` bytes of it; the caller sets the deadline.

        Raises HttpError.
        """
        content = b""
        try:
            status, received = await self._exchange(method, target, headers, body)
            parts: list[bytes] = []
            async for part in self._body():
                parts.append(part)
                if at_most is not None and sum(map(len, parts)) >= at_most:
                    break
            content = b"".join(parts)[:at_most]
            self._recycle()
        except BaseException:
            self.close()
            raise
        return Response(status, received, content)

    async def stream(self, method: str, target: str, headers: dict[str, str]) -> tuple[int, AsyncIterator[bytes]]:
        """Send one request; its body is read as it arrives. The connection cannot be used again."""
        try:
            status, _ = await self._exchange(method, target, headers, b"")
        except BaseException:
            self.close()
            raise
        return status, self._body(limit=None)

    def close(self) -> None:
        if self._streams:
            # Not awaited: a peer that does not answer must not hold anybody up.
            self._streams[1].transport.abort()
            self._streams = None

    async def _exchange(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str]]:
        if self._streams and (self._streams[0].at_eof() or self._streams[1].is_closing()):
            self.close()
        if not self._streams:
            try:
                self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._context, limit=_CHUNK)
            except ssl.SSLCertVerificationError as error:
                raise HttpError(f"the certificate of {self._host} is not trusted: {error.verify_message}") from None
            except OSError as error:
                raise HttpError(f"cannot connect to {self._host}:{self._port}: {error.strerror or error}") from None
            except ValueError:
                raise HttpError(f"{self._host!r} is not the name of a host") from None
            self._parser = h11.Connection(h11.CLIENT)
        host = f"[{self._host}]" if ":" in self._host else self._host
        lines = [("host", f"{host}:{self._port}"), *headers.items()]
        if body or method in ("POST", "PUT"):
            lines.append(("content-length", str(len(body))))
        writer = self._streams[1]
        try:
            out = self._parser.send(h11.Request(method=method, target=target, headers=lines)) or b""
            if body:
                out += self._parser.send(h11.Data(data=body)) or b""
            out += self._parser.send(h11.EndOfMessage()) or b""
        except (ValueError, h11.LocalProtocolError):
            # Neither target nor headers are said: there may be keys in them.
            raise HttpError("the request cannot be sent as HTTP") from None
        writer.write(out)
        try:
            await writer.drain()
        except OSError as error:
            raise HttpError(f"the connection broke: {error}") from None
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                return event.status_code, {name.decode(): value.decode("latin-1") for name, value in event.headers}
            if not isinstance(event, h11.InformationalResponse):
                raise HttpError("the connection ended without an answer")

    async def _body(self, limit: int | None = _BODY_LIMIT) -> AsyncIterator[bytes]:
        size = 0
        while True:
            event = await self._event()
            if isinstance(event, h11.Data):
                size += len(event.data)
                if limit is not None and size > limit:
                    raise HttpError(f"the answer is larger than {limit} bytes")
                yield bytes(event.data)
            elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                return

    async def _event(self) -> h11.Event:
        while True:
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError as error:
                raise HttpError(f"not a valid HTTP answer: {error}") from None
            if isinstance(event, h11.Event):
                return event
            if event is h11.PAUSED or self._streams is None:
                raise HttpError("the connection was closed")
            try:
                data = await self._streams[0].read(_CHUNK)
            except (OSError, ssl.SSLError) as error:
                raise HttpError(f"the connection broke: {error}") from None
            self._parser.receive_data(data)

    def _recycle(self) -> None:
        if self._parser.our_state is h11.DONE and self._parser.their_state is h11.DONE:
            self._parser.start_next_cycle()
        else:
            self.close()


async def call(
    url: str, method: str, *, timeout_s: float, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Response:
    """One request to a neighbour in the pod, on a connection of its own, and the beginning of its answer.

    Raises HttpError and TimeoutError.
    """
    try:
        parts = urlsplit(url)
        connection = Connection(parts.hostname or "", parts.port or 80)
    except ValueError:
        raise HttpError("the address is not valid") from None
    lines = {"user-agent": "fingerv7-sidecar", "connection": "close", **(headers or {})}
    if body:
        lines["content-type"] = "application/json"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        async with asyncio.timeout(timeout_s):
            return await connection.request(method, target, lines, body, at_most=_NEIGHBOUR_LIMIT)
    finally:
        connection.close()
