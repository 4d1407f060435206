"""A server that follows a script: answers, refusals and silences."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from fingerv7.adapters.kube.client import KubeClient
from fingerv7.adapters.kube.credentials import Credentials, RereadToken

PATH = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/a"
OBJECT = {"metadata": {"name": "a", "resourceVersion": "7"}}


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: Any
    connection: int


@dataclass
class Answer:
    status: int = 200
    body: Any = field(default_factory=lambda: OBJECT)
    headers: dict[str, str] = field(default_factory=dict)


CUT, HANG = object(), object()


class Server:
    """Gives the scripted answers in order and the last one for ever."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.requests: list[Request] = []
        self.connections = 0
        self.arrived = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines) if k}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, target, _ = first.split()
                self.requests.append(Request(method, target, headers, orjson.loads(body) if body else None, number))
                self.arrived.set()
                step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if step is CUT:
                    return
                if step is HANG:
                    await asyncio.Event().wait()
                await self.answer(writer, step)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, writer: asyncio.StreamWriter, step: Any) -> None:
        if isinstance(step, Answer):
            body = step.body if isinstance(step.body, bytes) else orjson.dumps(step.body)
            head = [f"HTTP/1.1 {step.status} X", f"Content-Length: {len(body)}"]
            head += [f"{key}: {value}" for key, value in step.headers.items()]
            writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in step:
            if piece is CUT:
                raise ConnectionResetError
            if piece is HANG:
                await writer.drain()
                await asyncio.Event().wait()
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        await writer.drain()


@asynccontextmanager
async def running(*script: Any, **options: Any) -> AsyncIterator[tuple[Server, KubeClient]]:
    server = Server(*script)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    token = options.pop("token", RereadToken(lambda _: "Bearer t-1"))
    credentials = Credentials(f"http://127.0.0.1:{port}", ssl.create_default_context(), token)
    before = asyncio.all_tasks()
    async with KubeClient(credentials, **{"request_timeout_s": 5.0, "rng": lambda: 0.0, **options}) as client:
        try:
            yield server, client
        finally:
            listening.close()
            for task in asyncio.all_tasks() - before:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
