"""The streams table in PostgreSQL: read it, be told when it changes, and say clearly what stands in the way."""

from fingerv7.adapters.postgres.errors import Reason, SecretError, SourceError
from fingerv7.adapters.postgres.source import PostgresSource, SourceState
from fingerv7.adapters.postgres.spec import SourceSpec

__all__ = ["PostgresSource", "Reason", "SecretError", "SourceError", "SourceSpec", "SourceState"]
