"""JSON whose nesting is bounded, for StreamPools.

A pod template may hold anything, and the API server takes it up to 10,000 levels deep. orjson and Python's own parser
give up far earlier, the latter with a RecursionError, so that such an object could not even be deleted. How early
depends on the version (from 3.12 on `sys.setrecursionlimit` does not count for C code), so the depth is bounded in
the text. What is cut is refused afterwards by `StreamPool.parse`, whose bound is the lower one; nobody writes it
back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

MAX_DEPTH: Final = 300
"""More than any pool that is accepted, with its managed fields."""
CUT: Final = '"(too deep)"'

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def loads(text: str | bytes, parse: Callable[[str | bytes], Any] = json.loads) -> Any:
    """As `parse`, but that objects and lists below `MAX_DEPTH` are not there where it gives up, be it json's or
    orjson's loads. Raises ValueError for no JSON.
    """
    try:
        return parse(text)
    except (ValueError, RecursionError):
        return json.loads(_cut(text if isinstance(text, str) else text.decode()))


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
