"""An informer that watches the simulated API server."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from fingerv7.adapters.kube.errors import ApiUnreachable
from fingerv7.adapters.kube.informer import Informer, Key
from fingerv7.adapters.kube.resources import LEASES

A: Key = ("ns", "a")
B: Key = ("ns", "b")
DOWN = ApiUnreachable("connection refused")


def _parse(raw: dict[str, Any]) -> tuple[str, int, Any]:
    if raw["spec"] == "bad":
        raise ValueError("it is bad")
    return raw["metadata"]["uid"], int(raw["metadata"]["resourceVersion"]), raw["spec"]


class Watched:
    """The informer, and all that it told."""

    def __init__(self, api: Any, **options: Any) -> None:
        self.api = api
        self.changes: list[tuple[str, Any, Any]] = []
        self.refused: list[tuple[str, str]] = []
        self.informer: Informer[tuple[str, int, Any]] = Informer(
            api,
            LEASES,
            namespace="ns",
            parse=_parse,
            on_change=lambda key, old, new: self.changes.append((key[1], old and old[2], new and new[2])),
            on_unparsable=lambda key, why: self.refused.append((key[1], why)),
            clock=lambda: asyncio.get_running_loop().time(),
            **options,
        )

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.informer.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    async def synced(self) -> None:
        await self.informer.synced.wait()
        await settle()

    @property
    def specs(self) -> dict[str, Any]:
        return {name: value[2] for (_, name), value in self.informer.store.items()}


async def settle(seconds: float = 0.01) -> None:
    await asyncio.sleep(seconds)
