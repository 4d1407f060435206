"""A database that refuses over TLS and hangs up late costs nobody a socket."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import struct
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import asyncpg
import pytest
import trustme

from reference_worker.blocking import run_blocking
from reference_worker.journal import install

_FAILURE = b"SFATAL\0C57P03\0Mthe database system is starting up\0\0"


@pytest.fixture
def refusing_dsn(tmp_path: Path) -> Iterator[str]:
    """Of a server that is starting up, and leaves the connection to its client."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        await writer.start_tls(context)
        (size,) = struct.unpack("!i", await reader.readexactly(4))
        await reader.readexactly(size - 4)
        writer.write(b"E" + struct.pack("!i", len(_FAILURE) + 4) + _FAILURE)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.transport.abort()

    listening: Queue[tuple[int, Callable[[], object]]] = Queue()

    async def serve() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            listening.put((port, lambda: loop.call_soon_threadsafe(stopped.set)))
            await stopped.wait()

    with ThreadPoolExecutor(max_workers=1) as executor:
        serving = executor.submit(asyncio.run, serve())
        port, stop = listening.get(timeout=10)
        yield f"postgresql://u:p@127.0.0.1:{port}/journal?sslmode=verify-full&sslrootcert={tmp_path}/ca.crt"
        stop()
        serving.result()


def test_a_refused_connection_is_closed_when_the_refusal_is_told(refusing_dsn: str) -> None:
    gc.collect()  # of others
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(asyncpg.CannotConnectNowError):
            run_blocking(install(refusing_dsn))
        gc.collect()
    assert [str(each.message) for each in told] == []
