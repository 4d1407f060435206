"""JSON whose nesting is bounded, for what kopf reads.

A pod template may hold anything, and the API server takes it up to 10,000 levels deep. Python's own parser gives up
far earlier with a RecursionError, which in kopf ends the process: whoever may edit one pool could stop all of them.
How early depends on the version (from 3.12 on `sys.setrecursionlimit` does not count for C code), so the depth is
bounded in the text. What is cut is refused afterwards by `StreamPool.parse`, whose bound is the lower one.
"""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import kopf._cogs.clients.api as kopf_api
import orjson

MAX_DEPTH: Final = 300
"""More than any pool that is accepted, with its managed fields."""
CUT: Final = '"(too deep)"'

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def loads(text: str) -> Any:
    """As json.loads, but that objects and lists below `MAX_DEPTH` are not there. Raises ValueError for no JSON."""
    try:
        return orjson.loads(text)  # which ends at its thousandth level, without recursion
    except orjson.JSONDecodeError:
        return json.loads(_cut(text))


def _cut(text: str) -> str:
    parts: list[str] = []
    depth = taken = 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{" | "[":
                depth += 1
                if depth == MAX_DEPTH + 1:
                    parts += [text[taken : token.start()], CUT]
            case "}" | "]":
                if depth == MAX_DEPTH + 1:
                    taken = token.end()
                depth -= 1
    return "".join([*parts, text[taken:]])


class Response(aiohttp.ClientResponse):
    """Of a list, which kopf takes from `json()`."""

    async def json(self, **_: Any) -> Any:
        if "json" not in self.content_type:
            return await super().json()  # which says what it is instead
        return loads((await self.read()).decode(errors="replace"))


def protect_kopf() -> None:
    """From now on, in this process, also for watches: kopf parses their lines itself and offers no other way."""
    vars(kopf_api)["json"] = SimpleNamespace(loads=loads)
