"""A scenario file: what happens to a fleet, and when.

until: 2h                  # optional
events:
- {at: 5m, do: lose fingerv7-003}
- {at: 20m, do: [join 2 like fingerv7-001, add 100 streams]}
- {at: 30m, do: score fingerv7-002 100..60 over 30m}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from fingerv7.cli.errors import CliError
from fingerv7.cli.planning.documents import read_documents
from fingerv7.contract import parse_duration
from fingerv7.core.simulation import ChangeError, Event, timeline

_EXAMPLE: Final = "write `events: [{at: 5m, do: lose fingerv7-003}]`"


@dataclass(frozen=True, slots=True)
class Scenario:
    events: tuple[Event, ...]
    until_ms: int | None


def read_scenario(file: str) -> Scenario:
    """Raises CliError, which names the event."""
    documents = read_documents(file)
    document = documents[0] if len(documents) == 1 else None
    if isinstance(document, list):
        document = {"events": document}
    if not isinstance(document, dict) or not isinstance(document.get("events"), list):
        raise CliError(f"{file} is no scenario; {_EXAMPLE}")
    if unknown := [str(key) for key in document if key not in ("events", "until")]:
        raise CliError(f"{file}: the key {unknown[0]} means nothing here; known are events and until")
    events = [event for n, raw in enumerate(document["events"], 1) for event in _events(raw, f"{file}, event {n}")]
    until = document.get("until")
    return Scenario(tuple(events), None if until is None else _time(until, f"{file}: until"))


def _events(raw: Any, where: str) -> Iterator[Event]:
    if not isinstance(raw, dict) or set(raw) != {"at", "do"}:
        raise CliError(f"{where} has not just the keys at and do; {_EXAMPLE}")
    phrases = raw["do"] if isinstance(raw["do"], list) else [raw["do"]]
    at_ms = _time(raw["at"], where)
    for phrase in phrases:
        if not isinstance(phrase, str):
            raise CliError(f"{where}: what it does is no text; {_EXAMPLE}")
        try:
            yield from timeline(at_ms, " ".join(phrase.split()))
        except ChangeError as error:
            raise CliError(f"{where}: {error}") from None


def _time(value: object, where: str) -> int:
    try:
        return 0 if value == 0 else parse_duration(str(value))
    except ValueError as error:
        raise CliError(f"{where}: {error}") from None
