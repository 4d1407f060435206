"""One row becomes one stream, or says why it cannot.

What passes here also passes the FingerWorker's schema: a single row that did not would make the API server refuse
the whole assignment it ends up in. Messages say what is accepted and never repeat a value but the size of one,
because a URL may hold a password.

Reasons: NoId, InvalidId, EmptyUrl, InvalidUrl, ControlCharacters, InvalidText, TooLarge, InvalidMetadata,
InvalidWeight, InvalidCapabilities, InvalidLocation, InvalidActive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from fingerv7.contract import CAPABILITY_PATTERN, MAX_STREAMS
from fingerv7.core.model import Stream
from fingerv7.core.size import stream_size

STREAM_LIMIT: Final = 1024
"""Bytes that one stream may take in an assignment, serialised."""
FETCH_LIMIT: Final = 4096
"""Characters or bytes of a text column worth fetching: more cannot fit, however it is spaced."""
ID_LIMIT: Final = 253
METADATA_LIMIT: Final = 16
LOCATION_LIMIT: Final = 63
CAPABILITIES_LIMIT: Final = 16
WEIGHT_LIMIT: Final = MAX_STREAMS

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
ABSENT: Final = object()
"""The status of a row that has no such column."""
_TRUE: Final = frozenset({"t", "true", "y", "yes", "on", "1"})
_FALSE: Final = frozenset({"f", "false", "n", "no", "off", "0", ""})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_HOST: Final = r"(?:[^/?#\s\\@:\[\]]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?:[/?#]|\Z)"
_URL: Final = re.compile(rf"(?i:https?)://{_HOST}")
_URL_WITH_USER: Final = re.compile(rf"(?i:https?)://[^/?#\s\\]*@{_HOST}")
_CAPABILITY: Final = re.compile(CAPABILITY_PATTERN)
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
"""Built once, and numbers stay as they are written: 1.10 is not 1.1 to whoever wrote it."""
_WHOLE_NUMBER: Final = re.compile(r"\+?([0-9]{1,9})(?:\.0*)?")


class BadRowError(Exception):
    """The row has to be quarantined."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message


def is_active(row: Mapping[str, Any]) -> bool:
    """NULL means inactive; where a status column is read too, it has to say `active`. Raises BadRowError."""
    return says_active(row.get("active"), row.get("status", ABSENT))


def says_active(active: object, status: object) -> bool:
    """As `is_active`, of the two columns."""
    if active is None:
        return False
    if active is not True and not _truth(active):
        return False
    if status is ABSENT:
        return True
    if isinstance(status, bytes):
        return status[:FETCH_LIMIT].strip().lower() == b"active"
    return isinstance(status, str) and status[:FETCH_LIMIT].strip().lower() == "active"


def read_stream(row: Mapping[str, Any]) -> Stream:
    """The stream of an active row. Raises BadRowError."""
    stream_id = _read_id(row.get("id"))
    url = _read_text(row.get("url"), "url")
    match = _URL.match(url) or _URL_WITH_USER.match(url)
    if not match or int(match["port"] or 0) > 65535:
        if not url or url.isspace():
            raise BadRowError("EmptyUrl", "the URL is empty; write http:// or https:// with a host")
        raise BadRowError("InvalidUrl", "the URL does not start with http:// or https:// and a host")
    name = _read_text(row.get("name"), "name")
    location = read_location(row.get("location"))
    weight = read_weight(row.get("weight"))
    capabilities = read_capabilities(row.get("capabilities"))
    metadata = read_metadata(row.get("metadata"))
    size = stream_size(
        stream_id, url, name, weight=weight, location=location, capabilities=capabilities, metadata=metadata
    )
    if size > STREAM_LIMIT:
        raise BadRowError(
            "TooLarge", f"the row takes {size} bytes in an assignment; at most {STREAM_LIMIT} are accepted"
        )
    return Stream(stream_id, url, name, weight, location, capabilities, metadata, size)


def printable_id(value: object) -> str:
    """What can be shown of an id, at most 64 characters."""
    if isinstance(value, bytes):
        value = value[:256].decode("utf-8", "replace")
    elif not isinstance(value, (str, int, UUID)) or (isinstance(value, int) and value.bit_length() >= ID_LIMIT):
        return ""
    text = str(value)
    shown = text if len(text) <= 64 else text[:63] + "…"
    return "".join(character if character.isprintable() else "\ufffd" for character in shown)


# --- columns ----------------------------------------------------------------------------------------------


def _truth(value: object) -> bool:
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, bytes):
        value = value[:16].decode("ascii", "replace")
    if isinstance(value, str):
        word = value[:16].strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    raise BadRowError("InvalidActive", "active is neither true nor false; use a boolean column, or 0/1, or yes/no")


def _read_id(value: object) -> str:
    if value is None:
        raise BadRowError("NoId", "the row has no id; every active row needs one")
    if isinstance(value, (str, bytes)):
        stream_id = _read_text(value, "id")
        if not stream_id or stream_id.isspace():
            raise BadRowError("NoId", "the id is empty; every active row needs one")
    elif isinstance(value, UUID) or (
        isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < ID_LIMIT
    ):
        return str(value)
    else:
        kind = type(value).__name__
        raise BadRowError("InvalidId", f"the id is of type {kind}; text, whole numbers and UUIDs are accepted")
    if len(stream_id) > ID_LIMIT:
        raise BadRowError("InvalidId", f"the id is longer than {ID_LIMIT} characters")
    return stream_id


def _read_text(value: object, column: str) -> str:
    return "" if value is None else _checked_text(value, column)


def _decoded(value: object, column: str) -> str:
    if not isinstance(value, (str, bytes)):
        raise BadRowError("InvalidText", f"{column} is of type {type(value).__name__}; text is accepted")
    if len(value) > FETCH_LIMIT:
        # Before anything looks at it, so that a million characters cost nothing.
        raise BadRowError("TooLarge", f"{column} is so long that the row exceeds {STREAM_LIMIT} bytes")
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadRowError("InvalidText", f"{column} is not valid UTF-8 at byte {error.start + 1}") from None


def _checked_text(value: object, column: str) -> str:
    text = _decoded(value, column)
    if not text.isprintable():  # one pass in C; most rows end here
        if _CONTROL.search(text):
            raise BadRowError("ControlCharacters", f"{column} contains a NUL or another control character")
        if _SURROGATE.search(text):
            raise BadRowError("InvalidText", f"{column} is not valid Unicode: it contains half of a surrogate pair")
    return text


def read_location(value: object) -> str:
    """Raises BadRowError, as all of these do."""
    location = _read_text(value, "location").strip()
    if len(location) > LOCATION_LIMIT:
        raise BadRowError("InvalidLocation", f"the location is longer than {LOCATION_LIMIT} characters")
    return location


def read_weight(value: object) -> int:
    if value is None:
        return 1
    weight = 0
    if isinstance(value, (str, bytes)):
        text = _checked_text(value, "weight").strip()
        match = _WHOLE_NUMBER.fullmatch(text)
        weight = int(match[1]) if match else 0
    elif isinstance(value, int) and not isinstance(value, bool):
        weight = value
    elif isinstance(value, float) and value.is_integer():
        weight = int(value)
    if not 1 <= weight <= WEIGHT_LIMIT:
        raise BadRowError("InvalidWeight", f"the weight is not a whole number from 1 to {WEIGHT_LIMIT}")
    return weight


def read_capabilities(value: object) -> frozenset[str]:
    if not value:
        return frozenset()
    if isinstance(value, (str, bytes)):
        words: list[str] = _checked_text(value, "capabilities").split(",")
    elif isinstance(value, (list, tuple, set, frozenset)):
        words = [_checked_text(word, "capabilities") for word in value if word is not None]
    else:
        words = ["?"]
    capabilities = frozenset(word for word in (word.strip() for word in words) if word)
    if len(capabilities) > CAPABILITIES_LIMIT or not all(map(_CAPABILITY.fullmatch, capabilities)):
        raise BadRowError(
            "InvalidCapabilities",
            f"capabilities are not an array or a comma-separated list of at most {CAPABILITIES_LIMIT} words "
            "of letters, digits, _, . and -, each at most 63 characters",
        )
    return capabilities


def read_metadata(value: object) -> Mapping[str, str]:
    return _parse_metadata(value) if isinstance(value, (str, bytes)) else _check_metadata(value, clean=False)


@lru_cache(maxsize=2048)
def _parse_metadata(value: str | bytes) -> Mapping[str, str]:
    """Cached, because many streams say the same of themselves: their country, language and codec."""
    text = _decoded(value, "metadata")
    # Where the whole text is clean, nothing in it needs another look.
    return _check_metadata(_parse_json(text), clean=text.isprintable() and "\\" not in text)


def _check_metadata(value: object, *, clean: bool) -> Mapping[str, str]:
    if value is None:
        return _NOTHING
    if not isinstance(value, Mapping):
        raise BadRowError("InvalidMetadata", f"metadata is not a JSON object; {_METADATA}")
    if not clean or "" in value or not all(type(scalar) is str for scalar in value.values()):
        value = dict(_read_pairs(value))
    if len(value) > METADATA_LIMIT:
        raise BadRowError("InvalidMetadata", f"metadata has {len(value)} keys; {_METADATA}")
    return MappingProxyType(value) if value else _NOTHING


def _read_pairs(pairs: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for key, scalar in pairs.items():
        if scalar is None:
            continue  # says as much as an absent key
        if not isinstance(key, str) or not key:
            raise BadRowError("InvalidMetadata", f"metadata has a key that is empty or no text; {_METADATA}")
        yield _checked_text(key, "metadata"), _checked_text(_stringify(scalar), "metadata")


_METADATA: Final = f"an object of at most {METADATA_LIMIT} keys with texts, numbers or booleans is accepted"


def _parse_json(text: str) -> object:
    if not text or text.isspace():
        return {}
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise BadRowError("InvalidMetadata", f"metadata is not JSON; {_METADATA}") from None


def _stringify(value: object) -> str | bytes:
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) or (isinstance(value, int) and value.bit_length() < STREAM_LIMIT):
        return str(value)
    raise BadRowError("InvalidMetadata", f"metadata is nested; {_METADATA}")
