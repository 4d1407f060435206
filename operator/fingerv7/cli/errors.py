"""What can go wrong between a command and its answer; each message is one sentence that says what to do."""

from __future__ import annotations


class CliError(Exception):
    """The command cannot be answered: wrong usage, no access, no such thing. Exit code 2."""


class NotFoundError(CliError):
    """The object, or its kind, does not exist."""


class ConflictError(CliError):
    """The object changed since it was read."""
