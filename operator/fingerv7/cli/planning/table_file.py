"""Streams from a CSV file, judged row by row as the operator judges rows of a database.

The first line names the logical columns (`id`, `url`, `name`, `active`, `status`, `location`, `capabilities`,
`weight`, `metadata`); others are ignored, and `--columns` may name them otherwise. Without a column `active` every
row is active.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fingerv7.cli.errors import CliError
from fingerv7.core.catalog import Snapshot, read_rows
from fingerv7.core.simulation.changes import did_you_mean

KNOWN: Final = ("id", "url", "name", "active", "status", "location", "capabilities", "weight", "metadata")
_NEEDED: Final = ("id", "url")
_SHOWN: Final = 8


def read_csv(file: str, columns: Mapping[str, str]) -> tuple[Snapshot, list[str]]:
    """The streams, and notes on what was not used; `-` is standard input. Raises CliError."""
    text = _text(file)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # an open quote makes one bad row, not an error
    first, _, _ = text.partition("\n")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(first, columns))
    try:
        header = [name.strip() for name in next(reader, [])]
        positions = _positions(file, header, columns)
        snapshot = read_rows(_rows(reader, positions), identity=file)
    except csv.Error as error:
        raise CliError(f"{file} cannot be read as CSV at line {reader.line_num}: {error}") from error
    unused = [name for n, name in enumerate(header) if name and n not in positions.values()]
    shown = ", ".join(unused[:_SHOWN]) + (f" and {len(unused) - _SHOWN} more" if len(unused) > _SHOWN else "")
    return snapshot, [f"columns of {file} that no plan depends on: {shown}"] if unused else []


def _text(file: str) -> str:
    """What is no UTF-8 stays recognisable as such, so that the row it is in is refused and not the file."""
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CliError(f"{file} cannot be read: {error.strerror or error}") from error
    return raw.decode("utf-8-sig", "surrogateescape")


def _delimiter(first: str, columns: Mapping[str, str]) -> str:
    """Some spreadsheets separate with semicolons or tabs."""
    wanted = {columns.get(name, name).lower() for name in _NEEDED}
    for delimiter in (",", ";", "\t"):
        if wanted <= {name.strip(' "\r').lower() for name in first.split(delimiter)}:
            return delimiter
    return ","


def _positions(file: str, header: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Logical name → which field of a line."""
    places = {name.lower(): n for n, name in reversed(list(enumerate(header)))}
    positions = {}
    for logical in KNOWN:
        name = columns.get(logical, logical)
        if name.lower() in places:
            positions[logical] = places[name.lower()]
        elif logical in columns:
            near = did_you_mean(name, header) or f"; it has {', '.join(header) or 'nothing'}"
            raise CliError(f"{file} has no column {name}{near}")
    if missing := [columns.get(name, name) for name in _NEEDED if name not in positions]:
        raise CliError(
            f"{file} has no column {' and no column '.join(missing)}; its first line must name id and url, and may "
            f"name {', '.join(KNOWN[2:])}, or --columns says what they are called here. "
            f"It names: {', '.join(header)[:200] or 'nothing'}"
        )
    return positions


def _rows(reader: Iterator[list[str]], positions: Mapping[str, int]) -> Iterator[Mapping[str, Any]]:
    always = {} if "active" in positions else {"active": True}
    items = tuple(positions.items())
    width = max(positions.values()) + 1
    special = [name for name in ("weight", "capabilities") if name in positions]
    for fields in reader:
        if not fields:
            continue
        if len(fields) < width:
            fields.extend([""] * (width - len(fields)))
        row: dict[str, Any] = {name: fields[n] for name, n in items}
        row.update(always)
        for name in special:
            row[name] = _list(row[name]) if name == "capabilities" else row[name].strip() or None
        yield row


def _list(text: str) -> object:
    """Words separated by commas or semicolons, or a JSON array."""
    if text[:1] == "[":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text.replace(";", ",") if ";" in text else text
