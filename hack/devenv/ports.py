"""Ports that nobody else gets between choosing and using them, or while a server is stopped.

"Bind port 0, close, start the server" loses the port to whoever comes first. Here the socket stays bound without
listening: Linux lets another socket with SO_REUSEADDR (Go, PostgreSQL and asyncio set it) listen beside it, gives
the port to nobody who asks for any port, and refuses connections while no server listens.
"""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


class ReservedPort:
    """A port held until `release`."""

    def __init__(self, address: str = LOOPBACK) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((address, 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        self._socket.close()
