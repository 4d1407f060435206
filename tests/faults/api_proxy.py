"""A proxy before the API server that can fail one request and not the next, because it reads them.

For one client: an operator or a sidecar that is given its address and its authority's certificate.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import trustme
import yaml
from aiohttp import web

from devenv.kubeconfig import render
from devenv.ports import LOOPBACK

from .background import Background

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
_LOOK_EVERY_S = 0.02


@dataclass(slots=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any]
    """Of JSON; empty for none."""
    status: int = 0
    """What the API server answered; 0 as long as it did not."""
    at_s: float = field(default_factory=time.monotonic)

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") in ("true", "True", "1")

    @property
    def is_write(self) -> bool:
        return self.method not in ("GET", "HEAD")

    @property
    def kind(self) -> str:
        """The plural of what it is about."""
        parts = self.path.split("/")
        return parts[parts.index("namespaces") + 2] if "namespaces" in parts[:-2] else ""

    @property
    def assignment(self) -> dict[str, Any]:
        """That a write puts into a FingerWorker's status."""
        found = (self.body.get("status") or {}).get("assignment") if self.kind == "fingerworkers" else None
        return found or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to one request, in this order. Without any of it, nothing does."""

    answer: int = 0
    """This status comes from the proxy; the API server never hears of the request."""
    retry_after_s: int = 0
    before: Callable[[], object] | None = None
    """Called, in a thread, before the request is passed on."""
    lose_request: bool = False
    """The connection breaks instead of passing it on."""
    after: Callable[[], object] | None = None
    """Called when the API server has answered."""
    lose_reply: bool = False
    """The connection breaks instead of passing the answer on."""


Judge = Callable[[Request], Fault | None]


class ApiProxy(Background):
    """Speaks TLS with a certificate of its own. `judge` and `stalls` are called in the proxy's thread."""

    def __init__(self, server: str, ca_file: Path, *, host: str = LOOPBACK) -> None:
        super().__init__()
        self._host = host
        self._server = server.rstrip("/")
        self._trust = ssl.create_default_context(cafile=str(ca_file))
        self._authority = trustme.CA()
        self.port = 0
        self.requests: list[Request] = []
        self.judge: Judge = lambda _: None
        self.stalls: Callable[[Request], bool] = lambda _: False
        """Whether a watch's events are held back at this moment, bookmarks and its end as well."""

    @property
    def url(self) -> str:
        return f"https://{self._host}:{self.port}"

    def kubeconfig(self, like: Path, path: Path) -> Path:
        """The same account's, through this proxy."""
        user = yaml.safe_load(like.read_text())["users"][0]
        authority = self._authority.cert_pem.bytes()
        path.write_text(
            render(name="proxied", server=self.url, ca_pem=authority, user=user["name"], token=user["user"]["token"])
        )
        return path

    def sidecar_environment(self, ca_file: Path) -> dict[str, str]:
        """For a sidecar that is to come this way; its CA is written to `ca_file`."""
        self._authority.cert_pem.write_to_path(ca_file)
        return {"KUBERNETES_API_URL": self.url, "KUBERNETES_CA_FILE": str(ca_file)}

    async def _begin(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._trust, limit=0),
            timeout=aiohttp.ClientTimeout(),
            auto_decompress=False,
        )
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(self._host).configure_cert(context)
        await web.TCPSite(self._runner, self._host, 0, ssl_context=context).start()
        self.port = self._runner.addresses[0][1]

    async def _end(self) -> None:
        await self._session.close()
        await self._runner.cleanup()

    async def _serve(self, incoming: web.Request) -> web.StreamResponse:
        content = await incoming.read()
        request = Request(incoming.method, incoming.path, dict(incoming.query), _parsed(content))
        self.requests.append(request)
        fault = self.judge(request) or Fault()
        if fault.answer:
            return _refusal(fault)
        if fault.before:
            await asyncio.to_thread(fault.before)
        if fault.lose_request:
            return _hang_up(incoming)
        try:
            return await self._pass_on(incoming, content, request, fault)
        except (aiohttp.ClientError, OSError):
            return _hang_up(incoming)

    async def _pass_on(
        self, incoming: web.Request, content: bytes, request: Request, fault: Fault
    ) -> web.StreamResponse:
        headers = {k: v for k, v in incoming.headers.items() if k.lower() not in _HOP_BY_HOP}
        async with self._session.request(
            incoming.method, self._server + incoming.raw_path, headers=headers, data=content or None
        ) as answer:
            request.status = answer.status
            if fault.after or fault.lose_reply:
                await answer.read()
                if fault.after:
                    await asyncio.to_thread(fault.after)
                if fault.lose_reply:
                    return _hang_up(incoming)
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(incoming)
            if answer.closed or fault.after:
                await response.write(await answer.read())
            else:
                async for chunk in answer.content.iter_any():
                    await self._unstalled(request)
                    await response.write(chunk)
                await self._unstalled(request)
            await response.write_eof()
            return response

    async def _unstalled(self, request: Request) -> None:
        while request.is_watch and self.stalls(request):  # noqa: ASYNC110 - tests change their minds from other threads
            await asyncio.sleep(_LOOK_EVERY_S)


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _refusal(fault: Fault) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": fault.answer}
    reason = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}.get(fault.answer, "Unknown")
    headers = {"Retry-After": str(fault.retry_after_s)} if fault.retry_after_s else {}
    return web.json_response({**status, "reason": reason, "message": "a fault"}, status=fault.answer, headers=headers)


def _hang_up(incoming: web.Request) -> web.Response:
    if incoming.transport is not None:
        incoming.transport.abort()
    return web.Response()
