"""The HTTP server against clients that mean no good, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest
import pytest_asyncio

from fingerv7_sidecar.log import Log
from fingerv7_sidecar.server import Server, text_reply

GET = b"GET /ok HTTP/1.1\r\nhost: x\r\n\r\n"


async def ok(_request):
    return text_reply(200, "fine\n")


@pytest_asyncio.fixture
async def serving():
    """Starts a server; returns a function that opens a connection to it from an address of one's choice."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*, public, handler=ok):
            server = Server({"/ok": {"GET": handler}}, Log(level="error"), public=public)
            port = await server.start("127.0.0.1", 0)
            stack.push_async_callback(server.stop)

            async def connect(source="127.0.0.1"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
                stack.callback(writer.close)
                return reader, writer

            return connect

        yield start


async def ask(connection, request=GET):
    reader, writer = connection
    writer.write(request)
    return await asyncio.wait_for(reader.read(), 5)


async def test_who_comes_from_outside_gets_one_answer_a_connection(serving):
    connect = await serving(public=True)
    answer = await ask(await connect(), GET * 100)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in answer


async def test_who_is_in_the_pod_may_go_on(serving):
    connect = await serving(public=False)
    reader, writer = await connect()
    for _ in range(2):
        writer.write(GET)
        assert (await asyncio.wait_for(reader.readuntil(b"fine\n"), 5)).startswith(b"HTTP/1.1 200")


async def test_many_requests_at_once_let_others_have_their_turn(serving):
    turns, seen = 0, []

    async def renew():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def noted(_request):
        seen.append(turns)
        return text_reply(200, "fine\n")

    connect = await serving(public=False, handler=noted)
    reader, writer = await connect()
    renewing = asyncio.create_task(renew())
    writer.write(GET * 400)
    for _ in range(400):
        await asyncio.wait_for(reader.readuntil(b"fine\n"), 5)
    renewing.cancel()
    assert all(later > earlier for earlier, later in itertools.pairwise(seen))


async def test_idle_connections_of_one_address_lock_nobody_out(serving):
    connect = await serving(public=True)
    idle = [await connect("127.0.0.2") for _ in range(80)]
    await asyncio.sleep(0.1)
    assert (await ask(await connect())).startswith(b"HTTP/1.1 200")
    assert sum(reader.at_eof() for reader, _ in idle) == 72


async def test_who_says_nothing_is_soon_not_waited_for(serving, monkeypatch):
    monkeypatch.setattr("fingerv7_sidecar.server._PUBLIC_TIMEOUT_S", 0.2)
    connect = await serving(public=True)
    idle = [await connect() for _ in range(8)]
    with contextlib.suppress(ConnectionError):
        assert await ask(await connect()) == b""
    for reader, _ in idle:
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 2) == b""
    assert (await ask(await connect())).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("public", [True, False])
async def test_a_target_that_is_none_is_a_bad_request(serving, caplog, public):
    connect = await serving(public=public)
    answer = await ask(await connect(), b"GET //[ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"not a valid path" in answer
    assert not caplog.records
