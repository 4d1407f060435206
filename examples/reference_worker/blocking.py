"""Asking a database from plain code."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")


def run_blocking(query: Coroutine[Any, Any, _T]) -> _T:
    """The query's result; in a thread of its own, since the caller's may be running an event loop."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(asyncio.run, _hung_up(query)).result()


async def _hung_up(query: Coroutine[Any, Any, _T]) -> _T:
    async with hung_up():
        return await query


@contextlib.asynccontextmanager
async def hung_up() -> AsyncIterator[None]:
    """No connection that was opened inside outlives the block.

    asyncpg closes a connection that was refused over TLS in the background, and that takes until the server hangs
    up. An event loop that ends before leaves the socket open, and a ResourceWarning to whatever runs then.
    """
    loop = asyncio.get_running_loop()
    opened: list[asyncio.Transport] = []
    start_tls = loop.start_tls

    async def noted(*args: Any, **options: Any) -> asyncio.Transport | None:
        transport = await start_tls(*args, **options)
        if transport is not None:
            opened.append(transport)
        return transport

    loop.start_tls = noted  # type: ignore[method-assign]
    try:
        yield
    finally:
        del loop.start_tls
        for transport in opened:
            transport.abort()
        await asyncio.sleep(0)  # aborted in the loop's next turn
