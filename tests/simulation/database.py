"""The streams table that other people edit, behind the production source that polls it.

It can be away, hang, be emptied by accident or be another database; what it should say is kept apart from what it
says, so that an accident can be told from an edit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fingerv7.adapters.postgres.errors import Reason, SourceError
from fingerv7.core.catalog import CatalogReader, Snapshot

Row = dict[str, Any]


class Database:
    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.identity = "pg-1/streams"
        self.up = True
        self.answers = asyncio.Event()
        """Not set while it hangs."""
        self.answers.set()
        self.slow_s = 0.005
        self.hidden: set[str] = set()
        """Rows that an accident has taken away, and nobody must lose a stream for that."""
        self.was_read_short = False
        """Whether there were any when the table was last read."""

    def visible(self) -> list[Row]:
        return [row for i, row in self.rows.items() if i not in self.hidden]

    async def open(self, target: object, spec: object) -> SimSource:
        """Stands for `open_connection`."""
        await asyncio.sleep(self.slow_s)
        self.check()
        return SimSource(self)

    def check(self) -> None:
        if not self.up:
            raise SourceError(Reason.UNREACHABLE, "the database does not answer")


class SimSource:
    """Stands for `SourceConnection`."""

    encrypted = True
    exclusive = True
    listening = False

    def __init__(self, database: Database) -> None:
        self._database = database
        self.lost = False

    async def prepare(self, wake: Callable[[], None]) -> None: ...

    async def read(self, reader: CatalogReader | None = None) -> Snapshot:
        database = self._database
        await asyncio.sleep(database.slow_s)
        await database.answers.wait()
        database.check()
        reader = reader or CatalogReader()
        reader.begin()
        reader.add(database.visible())
        database.was_read_short = bool(database.hidden)
        return reader.snapshot(database.identity)

    async def close(self) -> None: ...

    def terminate(self) -> None: ...


def row(number: int, url: str = "") -> Row:
    return {
        "id": f"s{number:03}",
        "url": url or f"http://radio.example/{number}",
        "name": f"Radio {number}",
        "active": True,
    }
