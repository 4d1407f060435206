"""StreamPools as kopf sees them, kept for the term to come.

Kopf watches in every replica from its start. A standby only remembers what it is told; when it takes office its pools
are there at once, without a list.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from fingerv7.adapters.kube.api import KubeApi
from fingerv7.adapters.kube.errors import KubeError, NotFound
from fingerv7.adapters.kube.resources import STREAMPOOLS
from fingerv7.runtime.fleet import PoolKey
from fingerv7.runtime.pools import Pools

log = logging.getLogger(__name__)

Body = Mapping[str, Any]

RETRY_S = 5.0


class PoolFeed:
    """The newest state of each StreamPool, passed on to the pools of a term while there is one."""

    def __init__(self) -> None:
        self._known: dict[PoolKey, Body] = {}
        self._pools: Pools | None = None
        self._reading: asyncio.Task[None] | None = None

    async def observe(self, event_type: str | None, body: Body) -> None:
        """A StreamPool as kopf saw it: None (listed), ADDED, MODIFIED or DELETED."""
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        known = self._known.get(key)
        if event_type != "DELETED":
            self._known[key] = body
        elif known and known["metadata"]["uid"] == body["metadata"]["uid"]:
            del self._known[key]
        if self._pools is not None:
            await self._pools.observe(event_type, body)

    async def open(self, pools: Pools, api: KubeApi) -> None:
        """A term begins: hand over what is known, each read once more.

        Kopf says nothing of objects that were deleted while its watch was broken for so long that it listed again.
        """
        self._pools = pools
        keys = sorted(self._known)
        answered = await asyncio.gather(*(self._hand_over(key, pools, api) for key in keys))
        unread = [key for key, was in zip(keys, answered, strict=True) if not was]
        if unread:
            self._reading = asyncio.create_task(self._read_later(unread, pools, api))

    async def _hand_over(self, key: PoolKey, pools: Pools, api: KubeApi) -> bool:
        """Whether it could be read; where not, the pool goes on with what is known."""
        read: Body = {}
        try:
            read = await api.get(STREAMPOOLS.path(*key))
        except NotFound:
            self._known.pop(key, None)
            return True
        except KubeError as error:
            log.warning("cannot read StreamPool %s/%s, going on with what is known: %s", *key, error)
        known = self._known.get(key)
        if known is not None:  # else it was deleted
            await pools.observe(None, read if _version(read) >= _version(known) else known)
        return bool(read)

    async def _read_later(self, keys: list[PoolKey], pools: Pools, api: KubeApi) -> None:
        while keys:
            await asyncio.sleep(RETRY_S)
            for key in keys.copy():
                was = self._known.get(key)
                if await self._hand_over(key, pools, api):
                    keys.remove(key)
                if was is not None and key not in self._known:
                    await pools.observe("DELETED", was)

    def close(self) -> None:
        """The term is over."""
        self._pools = None
        if self._reading is not None:
            self._reading.cancel()


def _version(body: Body) -> int:
    return int(body["metadata"]["resourceVersion"]) if body else 0
