"""TLS for a PostgreSQL server that was built without it (the one in the PyPI wheel).

Clients here verify certificates everywhere, so this stands before such a server: it answers PostgreSQL's
SSLRequest, speaks TLS, and passes the rest on to the server's unix socket. Whoever speaks without TLS is refused.
Channel binding (`channel_binding=require`) cannot pass through it, as through any proxy that ends TLS.

Run as a file with `python -I -S`, so it imports nothing but the standard library.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import struct
from contextlib import closing, suppress
from pathlib import Path

_SSL_REQUEST = 80_877_103
_GSS_REQUEST = 80_877_104
_CHUNK = 65_536
_REFUSAL = b"SFATAL\0C28000\0Mthis server only accepts connections with TLS; use sslmode=verify-full\0\0"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--address", nargs="+", default=["127.0.0.1"])
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--socket", required=True)
    options = parser.parse_args()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.certificate, options.key)
    asyncio.run(_serve(options.address, options.port, options.socket, context))


async def _serve(addresses: list[str], port: int, server_socket: str, context: ssl.SSLContext) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A peer that goes away in the middle is everyday life.
        with closing(writer), suppress(OSError, asyncio.IncompleteReadError):
            if await _negotiate(reader, writer):
                await writer.start_tls(context)
                await _relay(reader, writer, server_socket)

    server = await asyncio.start_server(accept, addresses, port)
    await server.serve_forever()


async def _negotiate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether the client wants TLS, which it asks for in eight bytes of plain text."""
    while True:
        _, code = struct.unpack("!ii", await reader.readexactly(8))
        if code == _GSS_REQUEST:
            writer.write(b"N")
            continue
        if code == _SSL_REQUEST:
            writer.write(b"S")
            await writer.drain()
            return True
        writer.write(b"E" + struct.pack("!i", len(_REFUSAL) + 4) + _REFUSAL)
        await writer.drain()
        return False


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server_socket: str) -> None:
    server_reader, server_writer = await asyncio.open_unix_connection(server_socket)
    with closing(server_writer):
        both = [
            asyncio.create_task(_copy(reader, server_writer)),
            asyncio.create_task(_copy(server_reader, writer)),
        ]
        # PostgreSQL's protocol knows no half-closed connection: one end gone is the end.
        _, rest = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()


if __name__ == "__main__":
    main()
