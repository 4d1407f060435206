"""A streams table as the operator's users have it: its rows from a CSV or invented, and its edits.

The invented rows are the same on every machine, plausible and harmless: nothing ever connects to their addresses,
and example.org belongs to nobody.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devenv.errors import DevenvError
from reference_worker.blocking import run_blocking
from reference_worker.journal import connected

CHANNEL = "streams_changed"
TABLE = "streams"

_NEEDED = ("id", "name", "url")
_METADATA = ("country", "language", "codec", "bitrate")
_TRIGGER = Path(__file__).parents[2] / "examples" / "sql" / "notify.sql"

# Without the checks of examples/sql/streams.sql: what a table lets through is the operator's to judge.
_DDL = """
CREATE TABLE streams (
    id         text        PRIMARY KEY,
    url        text        NOT NULL,
    name       text        NOT NULL DEFAULT '',
    active     boolean     NOT NULL DEFAULT true,
    updated_at timestamptz NOT NULL DEFAULT now(),
    metadata   jsonb       NOT NULL DEFAULT '{}',
    location   text,
    weight     integer     NOT NULL DEFAULT 1
)
"""


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    name: str
    url: str = field(repr=False)
    metadata: dict[str, str] = field(default_factory=dict)


# --- where rows come from ---------------------------------------------------------------------------------


def read_csv(path: Path) -> list[Row]:
    """Rows of a CSV with the columns id, name, url and optionally country, language, codec, bitrate.

    Bad addresses are kept: judging them is the operator's work. Raises DevenvError for what cannot be a table at all.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            if missing := [name for name in _NEEDED if name not in columns]:
                raise DevenvError(
                    f"{path} lacks the column(s) {', '.join(missing)}; its first line must name id, name and url, "
                    f"and may name {', '.join(_METADATA)}. It names: {', '.join(columns) or 'nothing'}"
                )
            rows = [_row(record) for record in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DevenvError(f"{path} cannot be read as a CSV in UTF-8: {error}") from error
    by_id = {row.id: row for row in rows}
    if "" in by_id or len(by_id) != len(rows):
        raise DevenvError(
            f"{path} has {len(rows)} rows with {len(by_id)} different ids; every row needs an id of its own"
        )
    if not rows:
        raise DevenvError(f"{path} has no rows below its first line")
    return rows


def _row(record: dict[str, Any]) -> Row:
    metadata = {name: record[name] for name in _METADATA if record.get(name)}
    return Row(record["id"] or "", record["name"] or "", record["url"] or "", metadata)


def invent(count: int, *, first: int = 1) -> list[Row]:
    """`count` rows, numbered from `first`; the same for the same number everywhere."""
    return [_invented(number) for number in range(first, first + count)]


def _invented(number: int) -> Row:
    dice = random.Random(number)
    country, language, cities = dice.choice(_PLACES)
    city, style = dice.choice(cities), dice.choice(_STYLES)
    codec, bitrate = dice.choice(("mp3", "mp3", "aac", "aac", "ogg")), dice.choice(("64", "96", "128", "192", "320"))
    host = f"{city.lower().replace(' ', '-')}-{style.lower().replace(' ', '-')}-{number}"
    return Row(
        id=f"stream-{number:05}",
        name=f"{dice.choice(('Radio', 'FM', 'Antenna', 'Wave'))} {city} {style} {88 + dice.randrange(200) / 10:.1f}",
        url=f"https://{host}.radio.example.org/live.{codec}",
        metadata={"country": country, "language": language, "codec": codec, "bitrate": bitrate},
    )


_PLACES = (
    ("Portugal", "portuguese", ("Lisboa", "Porto", "Braga")),
    ("Germany", "german", ("Berlin", "Leipzig", "Bremen", "Bochum")),
    ("Taiwan", "chinese", ("Taipei", "Tainan")),
    ("Brazil", "portuguese", ("Recife", "Belo Horizonte", "Manaus")),
    ("Finland", "finnish", ("Turku", "Oulu", "Tampere")),
    ("Senegal", "french", ("Dakar", "Thies")),
    ("Canada", "english", ("Halifax", "Regina", "Moncton")),
    ("Japan", "japanese", ("Sendai", "Kobe", "Nagano")),
)
_STYLES = ("Jazz", "News", "Classic", "Rock", "Indie", "Dance", "Folk", "Talk", "Soul", "Hits", "Old Songs")


# --- the table --------------------------------------------------------------------------------------------


class StreamsTable:
    """The table in one database, edited as its owner edits it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def create(self, rows: Iterable[Row] = ()) -> None:
        """Make the table with its NOTIFY trigger, and fill it."""
        self.script(_DDL)
        self.script(_TRIGGER.read_text(encoding="utf-8"))
        self.insert(rows)

    def insert(self, rows: Iterable[Row]) -> None:
        values = [(row.id, row.url, row.name, json.dumps(row.metadata)) for row in rows]
        self.query(
            "INSERT INTO streams (id, url, name, metadata) "
            "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[])",
            *([value[column] for value in values] for column in range(4)),
        )

    def set_active(self, ids: Collection[str], *, active: bool) -> None:
        self.query("UPDATE streams SET active = $2, updated_at = now() WHERE id = ANY ($1)", list(ids), active)

    def delete(self, ids: Collection[str]) -> None:
        self.query("DELETE FROM streams WHERE id = ANY ($1)", list(ids))

    def active_ids(self) -> set[str]:
        return {row["id"] for row in self.query("SELECT id FROM streams WHERE active")}

    def query(self, sql: str, *values: object) -> Sequence[Any]:
        """The rows that one statement returns."""

        async def query() -> Sequence[Any]:
            async with connected(self._dsn) as connection:
                return await connection.fetch(sql, *values)

        return run_blocking(query())

    def script(self, sql: str) -> None:
        """Any number of statements."""

        async def script() -> None:
            async with connected(self._dsn) as connection:
                await connection.execute(sql)

        run_blocking(script())
