"""What can stand between the operator and the streams table.

Every failure becomes one of these reasons and a sentence for whoever has to mend it. The sentence is stored in the
StreamPool's status, so nothing of the Secret but host, port, database and user may be in it.
"""

from __future__ import annotations

from fingerv7.api.conditions import SourceReachable

Reason = SourceReachable


class SourceError(Exception):
    """The table could not be read."""

    def __init__(self, reason: Reason | str, message: str) -> None:
        super().__init__(message)
        self.reason = Reason(reason)
        self.message = message


class SecretError(SourceError):
    """The Secret does not say how to connect; raised by whoever reads it, and for what is in it."""
