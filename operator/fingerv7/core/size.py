"""How many bytes a stream takes where it is stored.

An API object holds about 1.5 MB, so bytes are a capacity like any other: rows are bounded by them and the planner
counts them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fingerv7.contract import format_token

Ints = NDArray[np.signedinteger[Any]]
Bools = NDArray[np.bool_]

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
    return (
        ENTRY_SIZE
        + _text_size(f"{id}{url}{name}")
        + demand_size(weight, location, capabilities)
        + metadata_size(metadata)
    )


def demand_size(weight: int, location: str, capabilities: Iterable[str]) -> int:
    """The part of `stream_size` that these three take."""
    size = 0
    if weight != 1:
        size += len(f',"weight":{weight}')
    if location:
        size += len(',"location":""') + _text_size(location)
    if capabilities := list(capabilities):
        size += len(',"capabilities":') + _json_size(capabilities)
    return size


def metadata_size(metadata: Mapping[str, str]) -> int:
    """The part of `stream_size` that the metadata take."""
    if not metadata:
        return 0
    text = "".join((*metadata.keys(), *metadata.values()))
    return len(',"metadata":{}') + len('"":"",') * len(metadata) - 1 + _text_size(text)


def text_sizes(joined: bytes) -> Ints:
    """How many bytes each of many texts takes within its quotes.

    UTF-8, every character printable; `joined`: the texts, each ended by a control character.
    """
    characters = np.frombuffer(joined, np.uint8)
    marked = characters < _SPACE
    for character in _LONGER:
        if character in joined:
            marked |= characters == ord(character)
    places = np.flatnonzero(marked)
    found = characters[places]
    at_end = np.flatnonzero(found < _SPACE)
    ends = places[at_end]
    sizes = ends.copy()
    sizes[1:] -= ends[:-1] + 1
    if len(ends) < len(places):
        longer = _LONGER_BY[found].cumsum()[at_end]
        sizes += longer
        sizes[1:] -= longer[:-1]
    return sizes


ENTRY_SIZE: Final = len(f'{{"id":"","url":"","name":"","token":"{format_token(0, 0)}"}},')
"""Bytes of an entry with nothing in it."""
_LONGER: Final = {b"&": 5, b"<": 5, b">": 5, b'"': 1, b"\\": 1}
"""Printable characters that are escaped, and by how many bytes that makes them longer."""
_LONGER_BY: Final = np.array([_LONGER.get(bytes([code]), 0) for code in range(256)])
_SPACE: Final = 0x20
"""What comes before it is a control character."""
_ESCAPED: Final = re.compile(r'["\\&<>\x00-\x1f\u2028\u2029]')
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)  # json.dumps would build one a call


def _text_size(text: str) -> int:
    if _ESCAPED.search(text):
        return _json_size(text) - len('""')
    return len(text if text.isascii() else text.encode("utf-8", "surrogatepass"))


def _json_size(value: object) -> int:
    text = _ENCODER.encode(value)
    return len(text.encode("utf-8", "surrogatepass")) + sum(
        text.count(character) * (6 - len(character.encode())) for character in "&<>\u2028\u2029"
    )
