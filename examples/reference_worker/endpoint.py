"""The worker's own HTTP: GET /healthz, and POST /config, the hook of sidecars with ACK=Http.

The hook's answer is the confirmation, so it comes when the config runs and not when it was read. The config itself is
read from the shared folder all the same, because a restarted worker finds it there without being told again.
"""

from __future__ import annotations

import asyncio
import http
import json
import logging
from collections.abc import Callable

from reference_worker.config import parse

_log = logging.getLogger(__name__)

_HOOK_S = 25.0
_REQUEST_S = 5.0
_LOOK_EVERY_S = 0.02
_BODY_LIMIT = 8 << 20


class Endpoint:
    """`adopted` tells the hash of the config that runs, `healthy` whether what runs counts."""

    def __init__(self, *, adopted: Callable[[], str | None], healthy: Callable[[], bool]) -> None:
        self._adopted = adopted
        self._healthy = healthy

    async def serve(self, host: str, port: int) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, host, port)
        _log.info("listens on %s:%d", *server.sockets[0].getsockname()[:2])
        return server

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S):
                method, path, body = await _read(reader)
            status, answer = await self._answer(method, path, body)
            payload = json.dumps(answer).encode()
            writer.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n".encode()
                + payload
            )
            await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass  # A client that went away or speaks something else.
        finally:
            writer.close()

    async def _answer(self, method: str, path: str, body: bytes) -> tuple[http.HTTPStatus, dict[str, object]]:
        match method, path:
            case "GET", "/healthz":
                healthy = self._healthy()
                status = http.HTTPStatus.OK if healthy else http.HTTPStatus.SERVICE_UNAVAILABLE
                return status, {"processing": healthy}
            case "POST", "/config":
                return await self._confirm(body)
            case _:
                return http.HTTPStatus.NOT_FOUND, {"error": "only GET /healthz and POST /config exist"}

    async def _confirm(self, body: bytes) -> tuple[http.HTTPStatus, dict[str, object]]:
        try:
            wanted = parse(body).hash
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return http.HTTPStatus.BAD_REQUEST, {"error": f"not a config: {type(error).__name__}: {error}"}
        try:
            async with asyncio.timeout(_HOOK_S):
                while self._adopted() != wanted:  # noqa: ASYNC110 - the answer is 20 ms late, and that is all
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            return http.HTTPStatus.GATEWAY_TIMEOUT, {"error": "the config does not run yet"}
        return http.HTTPStatus.OK, {"hash": wanted}


async def _read(reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    """Method, path and body of one request. Raises ValueError for what is not HTTP."""
    method, path, _ = (await reader.readuntil(b"\r\n")).decode("ascii").split()
    length = 0
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "content-length":
            length = int(value)
    if not 0 <= length <= _BODY_LIMIT:
        raise ValueError("the body is too long")
    return method, path.partition("?")[0], await reader.readexactly(length)
