"""A proxy before the API server that notes every request, whoever in a process makes it.

An operator's own statistics would not count what kopf asks for.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from pathlib import Path
from typing import Self

import aiohttp
import trustme
import yaml
from aiohttp import web

from devenv.kubeconfig import render

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class ListeningProxy:
    """Speaks TLS with a certificate of its own, in a thread of its own. `requests`: method, path and query."""

    def __init__(self, server: str, ca_file: Path) -> None:
        self._server = server.rstrip("/")
        self._trust = ssl.create_default_context(cafile=str(ca_file))
        self._authority = trustme.CA()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def kubeconfig(self, like: Path, folder: Path) -> Path:
        """The same account's, through this proxy."""
        user = yaml.safe_load(like.read_text())["users"][0]
        path = folder / "proxied.kubeconfig"
        path.write_text(
            render(
                name="proxied",
                server=f"https://127.0.0.1:{self.port}",
                ca_pem=self._authority.cert_pem.bytes(),
                user=user["name"],
                token=user["user"]["token"],
            )
        )
        return path

    async def _start(self) -> None:
        # Requests are passed on as they came, one by one; a watch lasts for minutes.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._trust, limit=0),
            timeout=aiohttp.ClientTimeout(),
            auto_decompress=False,
        )
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        await self._session.close()
        await self._runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.query)))
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        async with self._session.request(
            request.method, self._server + request.raw_path, headers=headers, data=await request.read() or None
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response
