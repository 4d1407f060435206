"""How many bytes a stream takes where it is stored.

An API object holds about 1.5 MB, so bytes are a capacity like any other: rows are bounded by them and the planner
counts them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from fingerv7.contract import format_token

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def stream_size(
    id: str,  # noqa: A002 - the field's name
    url: str,
    name: str = "",
    *,
    weight: int = 1,
    location: str = "",
    capabilities: Iterable[str] = (),
    metadata: Mapping[str, str] = _NOTHING,
) -> int:
    """Bytes of the entry in `status.assignment.streams`, its comma included, as the API server stores it.

    Compact JSON in UTF-8, but Go's encoder writes `&`, `<`, `>` and two line separators as six bytes each, and
    URLs are full of ampersands.
    """
    text = f"{id}{url}{name}{location}"
    if metadata:
        text = "".join((text, *metadata.keys(), *metadata.values()))
    size = _ENTRY_SIZE
    if _ESCAPED.search(text):
        size += _json_size(text) - len('""')
    else:
        size += len(text if text.isascii() else text.encode("utf-8", "surrogatepass"))
    if weight != 1:
        size += len(f',"weight":{weight}')
    if location:
        size += len(',"location":""')
    if capabilities := list(capabilities):
        size += len(',"capabilities":') + _json_size(capabilities)
    if metadata:
        size += len(',"metadata":{}') + len('"":"",') * len(metadata) - 1
    return size


_ENTRY_SIZE: Final = len(f'{{"id":"","url":"","name":"","token":"{format_token(0, 0)}"}},')
_ESCAPED: Final = re.compile(r'["\\&<>\x00-\x1f\u2028\u2029]')
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)  # json.dumps would build one a call


def _json_size(value: object) -> int:
    text = _ENCODER.encode(value)
    return len(text.encode("utf-8", "surrogatepass")) + sum(
        text.count(character) * (6 - len(character.encode())) for character in "&<>\u2028\u2029"
    )
