"""From rows that other people edit to streams that workers can be given.

A table always holds some rows that nobody can use, and one of them must not stop the others: each row is judged on
its own and becomes a stream, is counted as inactive, or is quarantined with a reason and a sentence that says what
would be accepted. What passes here also passes the FingerWorker's schema; a single row that did not would make the
API server refuse the whole assignment it ends up in.

Reasons: NoId, InvalidId, DuplicateId, EmptyUrl, InvalidUrl, ControlCharacters, InvalidText, TooLarge,
InvalidMetadata, InvalidWeight, InvalidCapabilities, InvalidLocation, InvalidActive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from fingerv7.contract import format_token
from fingerv7.core.model import Stream

STREAM_LIMIT: Final = 1024
"""Bytes that one stream may take in an assignment, serialised."""
FETCH_LIMIT: Final = 4096
"""Characters or bytes of a text column worth fetching: more cannot fit, however it is spaced."""
ID_LIMIT: Final = 253
METADATA_LIMIT: Final = 16
LOCATION_LIMIT: Final = 63
CAPABILITIES_LIMIT: Final = 16
WEIGHT_LIMIT: Final = 1000

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_ABSENT: Final = object()
_TRUE: Final = frozenset({"t", "true", "y", "yes", "on", "1"})
_FALSE: Final = frozenset({"f", "false", "n", "no", "off", "0", ""})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_HOST: Final = r"(?:[^/?#\s\\@:\[\]]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?(?:[/?#]|\Z)"
_URL: Final = re.compile(rf"(?i:https?)://{_HOST}")
_URL_WITH_USER: Final = re.compile(rf"(?i:https?)://[^/?#\s\\]*@{_HOST}")
_CAPABILITY: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_WHOLE_NUMBER: Final = re.compile(r"\+?([0-9]{1,9})(?:\.0*)?")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that is not served, and why."""

    id: str
    """As far as it can be printed; empty where the row has none."""
    reason: str
    message: str
    """What is wrong and what is accepted; never a part of the URL."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One complete reading of the table: every row is in `streams`, in `quarantined` or counted as inactive."""

    streams: Mapping[str, Stream]
    quarantined: tuple[Quarantined, ...]
    inactive: int
    duplicate_urls: int
    """Streams whose URL another stream has as well; they are served."""
    identity: str
    """Which database and table this is; differs when the Secret was pointed elsewhere."""


def read_rows(rows: Iterable[Mapping[str, Any]], *, identity: str) -> Snapshot:
    """Judge rows keyed by the logical column names (`id`, `url`, `name`, `active`, `status`, …); never raises."""
    reader = CatalogReader()
    reader.add(rows)
    return reader.snapshot(identity)


class CatalogReader:
    """`read_rows` in portions, so that a large table neither blocks its reader nor is in memory twice."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self._quarantined: list[Quarantined] = []
        self._inactive = 0

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Text may come as str or as the bytes that the database holds; those have to be UTF-8."""
        for row in rows:
            try:
                if not _is_active(row):
                    self._inactive += 1
                    continue
                stream = _read_stream(row)
            except _BadRowError as bad:
                self._quarantined.append(Quarantined(_printable(row.get("id")), bad.reason, bad.message))
                continue
            other = self._streams.setdefault(stream.id, stream)
            if other is not stream:
                self._streams[stream.id] = min(other, stream, key=_rank)
                self._quarantined.append(Quarantined(_printable(stream.id), "DuplicateId", _DUPLICATE))

    def snapshot(self, identity: str) -> Snapshot:
        return Snapshot(
            streams=MappingProxyType(self._streams),
            quarantined=tuple(sorted(self._quarantined, key=lambda q: (q.id, q.reason, q.message))),
            inactive=self._inactive,
            duplicate_urls=len(self._streams) - len({stream.url for stream in self._streams.values()}),
            identity=identity,
        )


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


# Built once: json.loads and json.dumps with options build one a call.
# Numbers stay as they are written: 1.10 is not 1.1 to whoever wrote it.
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


# --- one row ----------------------------------------------------------------------------------------------

_ENTRY_SIZE: Final = len(f'{{"id":"","url":"","name":"","token":"{format_token(0, 0)}"}},')
_ESCAPED: Final = re.compile(r'["\\&<>\x00-\x1f\u2028\u2029]')
_DUPLICATE: Final = "another row with this id is served; ids have to be unique among active rows"


class _BadRowError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message


def _is_active(row: Mapping[str, Any]) -> bool:
    """NULL means inactive; where a status column is read too, it has to say `active`."""
    active = row.get("active")
    if active is None:
        return False
    if active is not True and not _truth(active):
        return False
    status = row.get("status", _ABSENT)
    if status is _ABSENT:
        return True
    if isinstance(status, bytes):
        return status[:FETCH_LIMIT].strip().lower() == b"active"
    return isinstance(status, str) and status[:FETCH_LIMIT].strip().lower() == "active"


def _truth(value: object) -> bool:
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, bytes):
        value = value[:16].decode("ascii", "replace")
    if isinstance(value, str):
        word = value[:16].strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    raise _BadRowError("InvalidActive", "active is neither true nor false; use a boolean column, or 0/1, or yes/no")


def _read_stream(row: Mapping[str, Any]) -> Stream:
    stream_id = _read_id(row)
    url = _read_text(row, "url")
    match = _URL.match(url) or _URL_WITH_USER.match(url)
    if not match or int(match["port"] or 0) > 65535:
        if not url or url.isspace():
            raise _BadRowError("EmptyUrl", "the URL is empty; write http:// or https:// with a host")
        raise _BadRowError("InvalidUrl", "the URL does not start with http:// or https:// and a host")
    name = _read_text(row, "name")
    location = _read_text(row, "location").strip()
    if len(location) > LOCATION_LIMIT:
        raise _BadRowError("InvalidLocation", f"the location is longer than {LOCATION_LIMIT} characters")
    weight = _read_weight(row)
    capabilities = _read_capabilities(row)
    metadata = _read_metadata(row)
    size = stream_size(
        stream_id, url, name, weight=weight, location=location, capabilities=capabilities, metadata=metadata
    )
    if size > STREAM_LIMIT:
        raise _BadRowError(
            "TooLarge", f"the row takes {size} bytes in an assignment; at most {STREAM_LIMIT} are accepted"
        )
    return Stream(stream_id, url, name, weight, location, capabilities, metadata, size)


def _read_id(row: Mapping[str, Any]) -> str:
    value = row.get("id")
    if value is None:
        raise _BadRowError("NoId", "the row has no id; every active row needs one")
    if isinstance(value, (str, bytes)):
        stream_id = _read_text(row, "id")
        if not stream_id or stream_id.isspace():
            raise _BadRowError("NoId", "the id is empty; every active row needs one")
    elif isinstance(value, UUID) or (
        isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < ID_LIMIT
    ):
        return str(value)
    else:
        raise _BadRowError(
            "InvalidId", f"the id is of type {type(value).__name__}; text, whole numbers and UUIDs are"
        )
    if len(stream_id) > ID_LIMIT:
        raise _BadRowError("InvalidId", f"the id is longer than {ID_LIMIT} characters")
    return stream_id


def _read_text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if value is None else _checked_text(value, column)


def _decoded(value: object, column: str) -> str:
    if not isinstance(value, (str, bytes)):
        raise _BadRowError("InvalidText", f"{column} is of type {type(value).__name__}; text is accepted")
    if len(value) > FETCH_LIMIT:
        # Before anything looks at it, so that a million characters cost nothing.
        raise _BadRowError("TooLarge", f"{column} is so long that the row exceeds {STREAM_LIMIT} bytes")
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise _BadRowError("InvalidText", f"{column} is not valid UTF-8 at byte {error.start + 1}") from None


def _checked_text(value: object, column: str) -> str:
    text = _decoded(value, column)
    if not text.isprintable():  # one pass in C; most rows end here
        if _CONTROL.search(text):
            raise _BadRowError("ControlCharacters", f"{column} contains a NUL or another control character")
        if _SURROGATE.search(text):
            raise _BadRowError("InvalidText", f"{column} is not valid Unicode: it contains half of a surrogate pair")
    return text


def _read_weight(row: Mapping[str, Any]) -> int:
    value = row.get("weight")
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
        raise _BadRowError("InvalidWeight", f"the weight is not a whole number from 1 to {WEIGHT_LIMIT}")
    return weight


def _read_capabilities(row: Mapping[str, Any]) -> frozenset[str]:
    value = row.get("capabilities")
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
        raise _BadRowError(
            "InvalidCapabilities",
            f"capabilities are not an array or a comma-separated list of at most {CAPABILITIES_LIMIT} words "
            "of letters, digits, _, . and -, each at most 63 characters",
        )
    return capabilities


def _read_metadata(row: Mapping[str, Any]) -> Mapping[str, str]:
    value = row.get("metadata")
    if value is None:
        return _NOTHING
    clean = False
    if isinstance(value, (str, bytes)):
        text = _decoded(value, "metadata")
        clean = text.isprintable() and "\\" not in text  # then nothing in it needs another look
        value = _parse_json(text)
    if not isinstance(value, Mapping):
        raise _BadRowError("InvalidMetadata", f"metadata is not a JSON object; {_METADATA}")
    if not clean or "" in value or not all(type(scalar) is str for scalar in value.values()):
        value = dict(_read_pairs(value))
    if len(value) > METADATA_LIMIT:
        raise _BadRowError("InvalidMetadata", f"metadata has {len(value)} keys; {_METADATA}")
    return MappingProxyType(value) if value else _NOTHING


def _read_pairs(pairs: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for key, scalar in pairs.items():
        if scalar is None:
            continue  # says as much as an absent key
        if not isinstance(key, str) or not key:
            raise _BadRowError("InvalidMetadata", f"metadata has a key that is empty or no text; {_METADATA}")
        yield _checked_text(key, "metadata"), _checked_text(_stringify(scalar), "metadata")


_METADATA: Final = f"an object of at most {METADATA_LIMIT} keys with texts, numbers or booleans is accepted"


def _parse_json(text: str) -> object:
    if not text or text.isspace():
        return {}
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise _BadRowError("InvalidMetadata", f"metadata is not JSON; {_METADATA}") from None


def _stringify(value: object) -> str | bytes:
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) or (isinstance(value, int) and value.bit_length() < STREAM_LIMIT):
        return str(value)
    raise _BadRowError("InvalidMetadata", f"metadata is nested; {_METADATA}")


def _rank(stream: Stream) -> tuple[object, ...]:
    """Which of several rows with one id is served: the same one whatever order the database returns."""
    return (
        stream.url,
        stream.name,
        stream.location,
        stream.weight,
        sorted(stream.capabilities),
        sorted(stream.metadata.items()),
    )


def _json_size(value: object) -> int:
    text = _ENCODER.encode(value)
    return len(text.encode("utf-8", "surrogatepass")) + sum(
        text.count(character) * (6 - len(character.encode())) for character in "&<>\u2028\u2029"
    )


def _printable(value: object) -> str:
    """What can be shown of an id, at most 64 characters."""
    if isinstance(value, bytes):
        value = value[:256].decode("utf-8", "replace")
    elif not isinstance(value, (str, int, UUID)) or (isinstance(value, int) and value.bit_length() >= ID_LIMIT):
        return ""
    text = str(value)
    shown = text if len(text) <= 64 else text[:63] + "…"
    return "".join(character if character.isprintable() else "\ufffd" for character in shown)
