"""The HTTP servers: probes, metrics, and what the worker or a preStop hook asks of the sidecar.

Nothing is taken on trust: headers, bodies, times and connections are bounded, and a JSON error says what is accepted.
Renewals run on the same event loop, so nobody may keep it busy: one that serves who comes from outside of the pod
answers one request a connection, soon, and lets no address take the places of all others.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import h11

from fingerv7_sidecar.log import Log

_BODY_LIMIT = 64 * 1024
_REQUEST_TIMEOUT_S = 10.0
_IDLE_TIMEOUT_S = 75.0
_PUBLIC_TIMEOUT_S = 3.0
_MOST_CONNECTIONS = 64
_MOST_OF_A_PEER = 8
"""Of the public server's connections, those that have not said yet what they want."""


class Request(NamedTuple):
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Awaitable[Reply]]


def json_reply(status: int, value: object) -> Reply:
    return Reply(status, json.dumps(value, ensure_ascii=False).encode() + b"\n")


def text_reply(status: int, text: str) -> Reply:
    return Reply(status, text.encode(), "text/plain; charset=utf-8")


def error_reply(status: int, message: str) -> Reply:
    return json_reply(status, {"error": message})


class Server:
    """Serves `routes`: path → method → handler. `public`: to whoever reaches the pod."""

    def __init__(self, routes: dict[str, dict[str, Handler]], log: Log, *, public: bool = False) -> None:
        self._routes = routes
        self._log = log
        self._public = public
        self._timeout_s = _PUBLIC_TIMEOUT_S if public else _REQUEST_TIMEOUT_S
        self._silent: Counter[str] = Counter()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises OSError when the address is taken."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=_BODY_LIMIT)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Answers under way get a moment: whoever waits for a drain should hear that it is done."""
        if self._server:
            self._server.close()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=0.2)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= _MOST_CONNECTIONS:
            writer.transport.abort()
            return
        # Whoever does not take its answer is not waited for any longer than for its request.
        writer.transport.set_write_buffer_limits(0)
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError, h11.ProtocolError):
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = h11.Connection(h11.SERVER)
        first = True
        while True:
            try:
                async with asyncio.timeout(self._timeout_s if first else _IDLE_TIMEOUT_S):
                    request = await self._request(parser, reader, writer)
            except h11.RemoteProtocolError as error:
                if parser.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    await self._send(parser, writer, error_reply(error.error_status_hint, f"not valid HTTP: {error}"))
                return
            if request is None:
                return
            reply = await self._answer(request) if isinstance(request, Request) else request
            await self._send(parser, writer, reply, head=isinstance(request, Request) and request.method == "HEAD")
            if parser.our_state is not h11.DONE or parser.their_state is not h11.DONE:
                return
            parser.start_next_cycle()
            first = False
            # Reading what has arrived already does not wait, and would let nobody else have a turn.
            await asyncio.sleep(0)

    async def _request(
        self, parser: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Request | Reply | None:
        if not self._public:
            return await self._receive(parser, reader)
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        if self._silent[peer] >= _MOST_OF_A_PEER:
            return None
        self._silent[peer] += 1
        try:
            return await self._receive(parser, reader)
        finally:
            self._silent[peer] -= 1
            if not self._silent[peer]:
                del self._silent[peer]

    async def _receive(self, parser: h11.Connection, reader: asyncio.StreamReader) -> Request | Reply | None:
        head: h11.Request | None = None
        body = b""
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(await reader.read(16 * 1024))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _BODY_LIMIT:
                    return error_reply(413, f"the body is too large; at most {_BODY_LIMIT} bytes are accepted")
            elif isinstance(event, h11.EndOfMessage) and head:
                try:
                    parts = urlsplit(head.target.decode("latin-1"))
                    query = parse_qs(parts.query)
                except ValueError:
                    return error_reply(400, "the target is not a valid path")
                return Request(
                    head.method.decode("latin-1"),
                    parts.path,
                    {key: values[-1] for key, values in query.items()},
                    {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers},
                    body,
                )
            else:
                return None

    async def _answer(self, request: Request) -> Reply:
        methods = self._routes.get(request.path)
        if methods is None:
            return error_reply(404, f"nothing is here; there are {', '.join(sorted(self._routes))}")
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = ", ".join(sorted(methods))
            return error_reply(405, f"{request.path} accepts {allowed}")._replace(headers=(("allow", allowed),))
        try:
            return await handler(request)
        except Exception as error:
            self._log.write(
                time.time(), "error", "request-failed", {"path": request.path, "error": type(error).__name__}
            )
            return error_reply(500, "the sidecar failed to answer; its log says more")

    async def _send(
        self, parser: h11.Connection, writer: asyncio.StreamWriter, reply: Reply, *, head: bool = False
    ) -> None:
        headers = [
            ("content-type", reply.content_type),
            ("content-length", str(len(reply.body))),
            ("cache-control", "no-store"),
            *([("connection", "close")] if self._public else []),
            *reply.headers,
        ]
        if reply.status == 304:
            headers = list(reply.headers)
        out = parser.send(h11.Response(status_code=reply.status, headers=headers)) or b""
        if reply.body and not head:
            out += parser.send(h11.Data(data=reply.body)) or b""
        out += parser.send(h11.EndOfMessage()) or b""
        writer.write(out)
        async with asyncio.timeout(self._timeout_s):
            await writer.drain()
