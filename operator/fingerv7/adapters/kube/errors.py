"""What can go wrong between the operator and the API server, told apart by what the caller may conclude.

The hand-over protocol (design section 4) rests on one distinction: a write that was refused changed nothing, a
write that was never sent changed nothing, and a write whose answer never came may have changed everything.
"""

# ruff: noqa: N818 - these are the API's own words (NotFound, Conflict), as in every Kubernetes client

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class KubeError(Exception):
    """Anything that this package raises about the API server."""


class CredentialsError(KubeError):
    """There is no usable way to reach or to authenticate to an API server; the message says what to give."""


class ApiUnreachable(KubeError):
    """No answer, and nothing was changed: a read without an answer, or a write that never left this process."""


class WatchStalled(ApiUnreachable):
    """A watch stayed silent for longer than its bookmarks allow: the connection, or what it follows, is dead."""


class OutcomeUnknown(KubeError):
    """A write was sent and its answer never came, or was a 5xx: it may or may not have been committed.

    The same is true of a write whose call ended in `asyncio.CancelledError`, which passes through unchanged.
    """


class ApiError(KubeError):
    """The API server's own answer: refused, nothing changed (except a 5xx to a write: `OutcomeUnknown`)."""

    def __init__(self, status: int, reason: str = "", message: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s
        self.fields: tuple[str, ...] = ()
        """The fields that were refused. Unlike the message, their names quote no value."""


class Unauthorized(ApiError):
    """401: the credentials are missing, expired or revoked."""


class Forbidden(ApiError):
    """403: RBAC does not allow it; the message names the verb and the resource."""


class NotFound(ApiError):
    """404, said by the API server about this object by name; any other 404 is a plain `ApiError`."""


class Conflict(ApiError):
    """409: the resourceVersion or uid is stale, or the object exists already (reason `AlreadyExists`)."""


class Gone(ApiError):
    """410: this resourceVersion or continue token is too old; list again."""


class Invalid(ApiError):
    """400 or 422: the server will never accept this request; the message names the field."""


class TooManyRequests(ApiError):
    """429: rejected before it was looked at; `retry_after_s` says when to come back."""


class Unavailable(ApiError):
    """5xx: the server, or what stands before it, could not answer."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def api_error(status: int, body: object, *, retry_after: str | None = None) -> ApiError:
    """The error for an answer's status, its body (a `Status` object where the server wrote it) and Retry-After."""
    answer: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    details = answer.get("details")
    seconds = _seconds(retry_after)
    if seconds is None and isinstance(details, Mapping):
        seconds = _seconds(details.get("retryAfterSeconds"))
    kind = _BY_STATUS.get(status, Unavailable if status >= 500 else ApiError)
    named = isinstance(details, Mapping) and details.get("name")
    if status == 404 and not (answer.get("reason") == "NotFound" and named):
        kind = ApiError  # of a proxy, or of a kind that is not installed: says nothing about the object
    message = answer.get("message") or (body if isinstance(body, str) else "")
    error = kind(status, str(answer.get("reason") or ""), str(message)[:2_000], seconds)
    causes = details.get("causes") if isinstance(details, Mapping) else None
    error.fields = tuple(str(cause.get("field")) for cause in causes or () if isinstance(cause, Mapping))
    return error


def _seconds(value: object) -> float | None:
    """Retry-After in seconds; its other form, a date, would need our clock and is not sent by Kubernetes."""
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None
