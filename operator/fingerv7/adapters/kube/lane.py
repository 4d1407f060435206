"""A lane of one's own to the API server: whoever has a thousand requests keeps only itself waiting.

The client serves its requests in the order in which they came, a few dozen at a time. Users that share it fairly each
get a lane with fewer places than that, so that a large pool's writes, or a namespace whose admission webhook hangs,
leave room for everybody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from fingerv7.adapters.kube.api import Json, JsonList, KubeApi, Params


class Lane:
    """A `KubeApi` with at most `places` requests under way; watches are not counted."""

    def __init__(self, api: KubeApi, places: int) -> None:
        self._api = api
        self._places = asyncio.Semaphore(places)

    async def get(self, path: str, *, params: Params | None = None, timeout_s: float | None = None) -> Json:
        async with self._places:
            return await self._api.get(path, params=params, timeout_s=timeout_s)

    async def list(self, path: str, *, params: Params | None = None, chunk: int = 500) -> tuple[JsonList, str]:
        async with self._places:
            return await self._api.list(path, params=params, chunk=chunk)

    async def present_version(self, path: str, *, params: Params | None = None) -> int:
        async with self._places:
            return await self._api.present_version(path, params=params)

    async def create(self, path: str, body: Json) -> Json:
        async with self._places:
            return await self._api.create(path, body)

    async def replace(self, path: str, body: Json) -> Json:
        async with self._places:
            return await self._api.replace(path, body)

    async def merge_patch(self, path: str, patch: Json) -> Json:
        async with self._places:
            return await self._api.merge_patch(path, patch)

    async def delete(self, path: str, *, uid: str | None = None, resource_version: str | None = None) -> Json:
        async with self._places:
            return await self._api.delete(path, uid=uid, resource_version=resource_version)

    def watch(
        self, path: str, *, resource_version: str, params: Params | None = None, timeout_s: float
    ) -> AsyncGenerator[tuple[str, Json]]:
        return self._api.watch(path, resource_version=resource_version, params=params, timeout_s=timeout_s)
