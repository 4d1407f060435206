"""Which table to read, how often, and how long to wait for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

DEFAULT_COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {"id": "id", "url": "url", "name": "name", "active": "active", "updated_at": "updated_at", "metadata": "metadata"}
)
OPTIONAL_COLUMNS: Final = ("status", "location", "capabilities", "weight")
REQUIRED_COLUMNS: Final = frozenset({"id", "url", "active"})

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """`spec.source.postgres` of a StreamPool.

    Raises ValueError, with a sentence that says what is accepted.
    """

    table: str
    """`name` or `schema.name`, used quoted."""
    columns: Mapping[str, str | None] = field(default_factory=dict)
    """Column names by logical name; what is left out or None has its default or is not read."""
    required: frozenset[str] = frozenset()
    """Logical names that somebody spelled out, so that the column has to exist even under its default name."""
    poll_interval_s: float = 30.0
    notify_channel: str | None = None
    statement_timeout_s: float = 10.0
    connect_timeout_s: float = 10.0
    retry_min_s: float = 1.0
    """The first wait after a failure; it doubles up to `retry_max_s`."""
    retry_max_s: float = 30.0
    application_name: str = "fingerv7-operator"
    """As it is shown in pg_stat_activity."""

    def __post_init__(self) -> None:
        parts = self.table.split(".")
        if len(parts) > 2 or not all(map(_IDENTIFIER.fullmatch, parts)):
            raise ValueError(f"{self.table!r} is not a table; write name or schema.name, {_ACCEPTED}")
        for logical, name in self.columns.items():
            if logical not in DEFAULT_COLUMNS and logical not in OPTIONAL_COLUMNS:
                known = ", ".join([*DEFAULT_COLUMNS, *OPTIONAL_COLUMNS])
                raise ValueError(f"{logical!r} is not a column that is read; known are {known}")
            if name is not None and not _IDENTIFIER.fullmatch(name):
                raise ValueError(f"{name!r} is not a column name; write {_ACCEPTED}")
        if self.notify_channel is not None and not _IDENTIFIER.fullmatch(self.notify_channel):
            raise ValueError(f"{self.notify_channel!r} is not a channel name; write {_ACCEPTED}")
        if min(self.poll_interval_s, self.statement_timeout_s, self.connect_timeout_s, self.retry_min_s) <= 0:
            raise ValueError("every interval and timeout has to be greater than zero")

    @property
    def quoted_table(self) -> str:
        return ".".join(map(quote_identifier, self.table.split(".")))

    def column_names(self) -> dict[str, str]:
        """Logical name → column name of everything that is configured or has a default."""
        return {**DEFAULT_COLUMNS, **{logical: name for logical, name in self.columns.items() if name}}

    def must_exist(self, logical: str) -> bool:
        """A default name that nobody chose may be absent; what was chosen may not."""
        return (
            logical in REQUIRED_COLUMNS
            or logical in self.required
            or self.column_names()[logical] != DEFAULT_COLUMNS.get(logical)
        )


_ACCEPTED: Final = "an SQL identifier: a letter or underscore, then letters, digits, _ or $, at most 63 characters"


def quote_identifier(name: str) -> str:
    """The name as SQL takes it, exactly as it is spelled."""
    return '"' + name.replace('"', '""') + '"'
