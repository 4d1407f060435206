"""`spec.source` of a StreamPool: the table that the streams come from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fingerv7.api.fields import Identifier, Interval, Model, ObjectName, Percent, TableName
from fingerv7.contract import parse_duration


class SecretReference(Model):
    """A Secret in the pool's own namespace."""

    name: ObjectName
    """The Secret's name."""


class Columns(Model):
    """Which column holds what. A name is used quoted, so upper and lower case matter."""

    id: Identifier = "id"
    """The stream's id: unique, of any type that prints as text."""
    url: Identifier = "url"
    """The stream's address, http or https."""
    name: Identifier = "name"
    """The stream's name for people."""
    active: Identifier = "active"
    """A boolean; only active streams are processed."""
    updated_at: Identifier = "updated_at"
    """When the row last changed."""
    metadata: Identifier = "metadata"
    """JSON: an object of at most 16 texts, handed to the worker as it is."""
    status: Identifier | None = None
    """A text; where this column is named, rows whose status is not `active` are left out as well."""
    location: Identifier | None = None
    """Where the stream is best processed."""
    capabilities: Identifier | None = None
    """A text array: what a worker must be capable of to get the stream."""
    weight: Identifier | None = None
    """A whole number: how many ordinary streams this one counts for."""


class PostgresSource(Model):
    """A table of streams in PostgreSQL. A role that may only read it is enough."""

    secret_ref: SecretReference
    """The Secret with the connection: key `uri`, or `host`, `port`, `database`, `user` and `password`; optional
    `sslmode` and `ca.crt`. It is read again on every reconnect."""
    table: TableName
    """The table or view, as `table` or `schema.table`."""
    columns: Columns = Columns()
    """The table's columns."""
    poll_interval: Interval = "30s"
    """How often the whole table is read."""
    notify_channel: Identifier | None = None
    """A channel to LISTEN on; a notification reads the table at once."""
    max_shrink_percent: Percent = 50
    """When more than this share of the streams held by workers vanishes or changes its URL at once, nothing is
    revoked until the change is confirmed."""
    shrink_confirmations: Annotated[int, Field(ge=1, le=100)] = 3
    """How many polls in a row must show the same change to confirm it."""
    statement_timeout: Interval = "10s"
    """How long one query may run."""
    connect_timeout: Interval = "10s"
    """How long connecting may take."""

    @property
    def poll_interval_ms(self) -> int:
        return parse_duration(self.poll_interval)

    @property
    def statement_timeout_ms(self) -> int:
        return parse_duration(self.statement_timeout)

    @property
    def connect_timeout_ms(self) -> int:
        return parse_duration(self.connect_timeout)


class Source(Model):
    """Where the streams come from."""

    postgres: PostgresSource
    """A table in PostgreSQL."""
