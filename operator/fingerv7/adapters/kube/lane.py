"""A lane of one's own to the API server: whoever has a thousand requests keeps only itself waiting.

The client serves its requests in the order in which they came, a few dozen at a time. Users that share it fairly each
get a lane with fewer places than that, so that a large pool's writes, or a namespace whose admission webhook hangs,
leave room for everybody else's. Reads have places of their own, because a takeover waits for one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from fingerv7.adapters.kube.api import Json, JsonList, KubeApi, Params


class Lane:
    """A `KubeApi` with at most so many `reads` and `writes` under way; watches are not counted."""

    def __init__(self, api: KubeApi, *, reads: int, writes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._reads, self._writes = asyncio.Semaphore(reads), asyncio.Semaphore(writes)
        self._moved_at = clock()

    @property
    def is_full(self) -> bool:
        """Whether a request would have to wait for others to end."""
        return self._reads.locked() or self._writes.locked()

    def idle_s(self) -> float:
        """How long ago a request was last begun or ended."""
        return self._clock() - self._moved_at

    @contextlib.asynccontextmanager
    async def _place(self, places: asyncio.Semaphore) -> AsyncIterator[None]:
        async with places:
            self._moved_at = self._clock()
            try:
                yield
            finally:
                self._moved_at = self._clock()

    async def get(self, path: str, *, params: Params | None = None, timeout_s: float | None = None) -> Json:
        async with self._place(self._reads):
            return await self._api.get(path, params=params, timeout_s=timeout_s)

    async def list(self, path: str, *, params: Params | None = None, chunk: int = 500) -> tuple[JsonList, str]:
        async with self._place(self._reads):
            return await self._api.list(path, params=params, chunk=chunk)

    async def present_version(self, path: str, *, params: Params | None = None) -> int:
        async with self._place(self._reads):
            return await self._api.present_version(path, params=params)

    async def create(self, path: str, body: Json, *, params: Params | None = None) -> Json:
        async with self._place(self._writes):
            return await self._api.create(path, body, params=params)

    async def replace(self, path: str, body: Json) -> Json:
        async with self._place(self._writes):
            return await self._api.replace(path, body)

    async def merge_patch(self, path: str, patch: Json) -> Json:
        async with self._place(self._writes):
            return await self._api.merge_patch(path, patch)

    async def delete(self, path: str, *, uid: str | None = None, resource_version: str | None = None) -> Json:
        async with self._place(self._writes):
            return await self._api.delete(path, uid=uid, resource_version=resource_version)

    def watch(
        self, path: str, *, resource_version: str, params: Params | None = None, timeout_s: float
    ) -> AsyncGenerator[tuple[str, Json]]:
        return self._api.watch(path, resource_version=resource_version, params=params, timeout_s=timeout_s)
