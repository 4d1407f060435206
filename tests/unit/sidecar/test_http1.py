"""The client: whatever goes wrong is one error, which its callers expect, and a neighbour cannot fill the memory."""

from __future__ import annotations

import asyncio

import pytest

from fingerv7_sidecar.http1 import HttpError, call


@pytest.mark.parametrize(
    "host", ["a" * 64, "a..b", "a b", "\u00e4" * 70, "[::1", "localhost:99999", "localhost:x", ""]
)
async def test_a_host_that_is_none_is_an_http_error(host):
    with pytest.raises(HttpError):
        await call(f"http://{host}/", "GET", timeout_s=5)


@pytest.mark.parametrize("path", ["a b", "\u00e4", "a\x00b", "a\x7fb"])
async def test_what_cannot_be_sent_is_an_http_error_that_tells_no_key(path):
    async def handle(_reader, writer):
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{path}"
    with pytest.raises(HttpError) as raised:
        await call(url, "GET", timeout_s=5, headers={"x-api-key": "not-for-everybody"})
    assert "not-for" not in str(raised.value)
    server.close()


async def test_of_an_endless_answer_only_the_beginning_is_read():
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 4096)
                await writer.drain()
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    answer = await call(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "GET", timeout_s=10)
    assert answer.status == 200
    assert answer.body == b"x" * 8192
    server.close()
