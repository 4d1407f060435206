"""kopf's part: StreamPools as they change, in every replica.

Level-triggered on purpose: one low-level event handler that says "this is how it looks now". Change handlers,
timers and daemons would add annotations and finalizers of kopf's own (see docs/decisions/0001).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiohttp
import kopf

from fingerv7.adapters.kube.credentials import Credentials
from fingerv7.contract import GROUP, VERSION
from fingerv7.runtime import shallow
from fingerv7.runtime.feed import PoolFeed


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing: without change handlers, a copy of each object's last state serves nobody."""

    def build(self, *, body: Any, extra_fields: Any = None, ignored_fields: Any = None) -> Any:  # noqa: ARG002
        return {}

    def fetch(self, *, body: Any) -> Any:  # noqa: ARG002
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        pass


class _Endless:
    """Back-off between retries of kopf's own requests: up to 30 s, without end: else a 503 would end the process."""

    def __iter__(self) -> Iterator[float]:
        delay = 0.5
        while True:
            yield delay
            delay = min(delay * 2, 30.0)


def settings() -> kopf.OperatorSettings:
    """Kopf without what we do not use (see kopf's documentation of each)."""
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.posting.enabled = False
    chosen.networking.error_backoffs = _Endless()
    chosen.networking.request_timeout = 30
    chosen.watching.chunk_size = 500
    # A bookmark comes once a minute: a watch that is silent for longer hears nothing any more.
    chosen.watching.inactivity_timeout = 70.0
    # Kopf takes a finalizer off that none of its handlers needs: neither ours nor that of another operator of kopf's.
    chosen.persistence.finalizer = "fingerv7.io/never-set"
    chosen.persistence.diffbase_storage = _NoDiffBase()
    return chosen


def registry(feed: PoolFeed, credentials: Credentials) -> kopf.OperatorRegistry:
    """The handlers, which tell `feed`."""
    shallow.protect_kopf()
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return await connection_info(credentials)

    @kopf.on.event(GROUP, VERSION, "streampools", registry=handlers)
    async def streampool(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        await feed.observe(type, body)

    return handlers


async def connection_info(credentials: Credentials) -> kopf.AiohttpSession:
    """A session of kopf's own with the same credentials; kopf asks again when the token was refused."""
    authorization = await credentials.token.authorization()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=credentials.ssl_context, limit=0),
        headers={"Authorization": authorization} if authorization else {},
        proxy=credentials.proxy,
        response_class=shallow.Response,
    )
    return kopf.AiohttpSession(
        server=credentials.server, aiohttp_session=session, default_namespace=credentials.namespace
    )
