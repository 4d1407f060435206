"""Clients of the real API server, and a line to it that can be cut at a chosen moment."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from devenv.cluster import Cluster
from fingerv7.adapters.kube.client import KubeClient
from fingerv7.adapters.kube.credentials import Credentials, load_credentials


class Proxy:
    """Forwards TCP connections to the API server, byte by byte, as `mode` says.

    pass: as it is. refuse: connections are closed and no new one is served. lose answers: the request arrives and
    its answer is dropped together with the connection. hold requests: what the client sends waits here, and is
    delivered by `deliver` even when the client has long hung up.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self.mode = "pass"
        self.answers_lost = 0
        self.answers = 0
        self._answered = asyncio.Event()
        self._held: dict[asyncio.StreamWriter, bytes] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def refuse(self) -> None:
        self.mode = "refuse"
        for writer in list(self._writers):
            writer.close()

    async def deliver(self) -> None:
        """Let the held requests arrive now, and wait until the server has answered."""
        self.mode = "pass"
        for server, request in self._held.items():
            server.write(request)
        expected = self.answers + len(self._held)
        async with asyncio.timeout(10):
            while self.answers < expected:
                await self._answered.wait()
                self._answered.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if self.mode == "refuse":
                return
            there, back = await asyncio.open_connection(*self._target)
            self._writers.add(back)
            try:
                await asyncio.gather(self._requests(reader, back), self._answers(there, writer))
            finally:
                back.close()
                self._writers.discard(back)
        except OSError:
            pass
        except asyncio.CancelledError:
            pass  # the test is over; asyncio would report it as an error of the server's callback
        finally:
            writer.close()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _requests(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.mode == "hold requests" or server in self._held:
                    # The first piece is the request; what follows is the client hanging up, which a server
                    # that hears of it takes as a reason to stop.
                    self._held.setdefault(server, data)
                    continue
                server.write(data)
                await server.drain()
        if server not in self._held:
            server.close()

    async def _answers(self, server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await server.read(65536):
                self.answers += 1
                self._answered.set()
                if self.mode == "lose answers":
                    self.answers_lost += 1
                    break
                writer.write(data)
                await writer.drain()
        writer.close()


@dataclass
class Line:
    """A client that reaches the API server through a proxy."""

    proxy: Proxy
    client: KubeClient


@pytest.fixture
def credentials(cluster: Cluster) -> Credentials:
    return load_credentials(kubeconfig=Path(cluster.kubeconfig))


@pytest.fixture
async def api(credentials: Credentials) -> AsyncIterator[KubeClient]:
    """Straight to the API server, as the administrator."""
    async with KubeClient(credentials) as client:
        yield client


@pytest.fixture
async def open_line(credentials: Credentials) -> AsyncIterator[Callable[..., Awaitable[Line]]]:
    """Makes lines to the API server that can be cut."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(**options: Any) -> Line:
            host, _, port = credentials.server.removeprefix("https://").rpartition(":")
            proxy = Proxy(host, int(port))
            await proxy.start()
            stack.push_async_callback(proxy.stop)
            there = replace(credentials, server=f"https://{host}:{proxy.port}")
            client = await stack.enter_async_context(KubeClient(there, **options))
            return Line(proxy, client)

        yield make


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Waits for a condition, and says which one never came true."""

    async def wait(condition: Callable[[], object], what: str, *, within_s: float = 30.0) -> None:
        deadline = asyncio.get_running_loop().time() + within_s
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, f"not within {within_s} s: {what}"
            await asyncio.sleep(0.02)

    return wait


@pytest.fixture
def running() -> Callable[..., contextlib.AbstractAsyncContextManager[asyncio.Task[Any]]]:
    """Runs something in the background for the length of a block."""

    @contextlib.asynccontextmanager
    async def run(work: Any) -> AsyncIterator[asyncio.Task[Any]]:
        task = asyncio.create_task(work)
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])

    return run
