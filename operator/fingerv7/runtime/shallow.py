"""What kopf reads of StreamPools, with its nesting bounded.

A RecursionError of the parser ends kopf's process: whoever may edit one pool could stop all of them.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf._cogs.clients.api as kopf_api
import orjson

from fingerv7.adapters.kube import shallow

_loads = functools.partial(shallow.loads, parse=orjson.loads)


class Response(aiohttp.ClientResponse):
    """Of a list, which kopf takes from `json()`."""

    async def json(self, **_: Any) -> Any:
        if "json" not in self.content_type:
            return await super().json()  # which says what it is instead
        return _loads((await self.read()).decode(errors="replace"))


def protect_kopf() -> None:
    """From now on, in this process, also for watches: kopf parses their lines itself and offers no other way."""
    vars(kopf_api)["json"] = SimpleNamespace(loads=_loads)
