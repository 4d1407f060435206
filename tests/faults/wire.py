"""A cable between a client and a server that can be cut, frozen, made deaf or slow, whatever is spoken over it.

Bytes pass as they are, so TLS stays between the two ends. What is held back while the cable is silent arrives
afterwards, as with packets that are sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from enum import Enum
from typing import Self
from urllib.parse import urlsplit

from .background import Background

_CHUNK = 65_536


class State(Enum):
    OPEN = "open"
    SILENT = "silent"
    """A blackhole: nothing passes, nobody is told. New connections are accepted (by a queue) and never answered."""
    DEAF = "deaf"
    """Requests arrive, answers do not."""
    DOWN = "down"
    """Connections are reset, new ones as well."""
    RESETTING = "resetting"
    """Connections are reset as soon as the server says something."""


class Wire(Background):
    """Listens on `port`; change `state` and `delay_s` (of each chunk, each way) from anywhere at any time."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._target = (host, port)
        self._state = State.OPEN
        self._changed = asyncio.Event()
        self._transports: set[asyncio.WriteTransport] = set()
        self.delay_s = 0.0
        self.port = 0
        self.connections = 0
        """Made so far."""

    @classmethod
    def to(cls, url: str) -> Self:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        return cls(parts.hostname, parts.port)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def state(self) -> State:
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._within(self._change(state))

    def reset(self) -> None:
        """Break every connection there is; new ones are as before."""
        self._within(self._break())

    async def _begin(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        await self._break()

    async def _change(self, state: State) -> None:
        self._state = state
        self._changed.set()
        self._changed = asyncio.Event()
        if state in (State.DOWN, State.RESETTING):
            await self._break()

    async def _break(self) -> None:
        for transport in list(self._transports):
            _reset(transport)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._state is State.DOWN:
            _reset(writer.transport)
            return
        self._transports.add(writer.transport)
        onward: asyncio.StreamWriter | None = None
        try:
            await self._passable(upstream=True)
            answers, onward = await asyncio.open_connection(*self._target)
            self._transports.add(onward.transport)
            pumps = {
                asyncio.create_task(self._pump(reader, onward, upstream=True)),
                asyncio.create_task(self._pump(answers, writer, upstream=False)),
            }
            _, rest = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in rest:
                pump.cancel()
        except OSError:
            pass  # The other end is away.
        finally:
            for each in filter(None, (writer, onward)):
                self._transports.discard(each.transport)
                each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upstream: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await asyncio.sleep(self.delay_s)
                await self._passable(upstream=upstream)
                if self._state is State.RESETTING and not upstream:
                    _reset(writer.transport)
                    return
                writer.write(chunk)
                await writer.drain()
            await self._passable(upstream=upstream)

    async def _passable(self, *, upstream: bool) -> None:
        while self._state is State.SILENT or (self._state is State.DEAF and not upstream):
            await self._changed.wait()


def _reset(transport: asyncio.WriteTransport) -> None:
    """With RST instead of FIN, as by a firewall or a process that died."""
    if (sock := transport.get_extra_info("socket")) is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
