from __future__ import annotations

import pytest

from fingerv7.adapters.kube import errors
from fingerv7.adapters.kube.errors import ApiError, api_error


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (405, ApiError),
        (409, errors.Conflict),
        (410, errors.Gone),
        (422, errors.Invalid),
        (429, errors.TooManyRequests),
        (500, errors.Unavailable),
        (503, errors.Unavailable),
        (504, errors.Unavailable),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[ApiError]) -> None:
    error = api_error(status, {"kind": "Status", "reason": "Why", "message": "what was wrong"})
    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (status, "Why", "what was wrong")
    assert str(error) == f"{status} Why: what was wrong"


def test_an_answer_of_a_proxy_that_is_no_status_object_is_kept_as_text() -> None:
    assert str(api_error(502, "bad gateway")) == "502: bad gateway"
    assert api_error(502, None).message == ""


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("3", {}, 3.0),
        (None, {"details": {"retryAfterSeconds": 7}}, 7.0),
        ("2", {"details": {"retryAfterSeconds": 7}}, 2.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", {}, None),
        ("nan", {}, None),
        ("inf", {}, None),
        ("-1", {}, None),
        (None, {}, None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_nothing(
    header: str | None, body: dict[str, object], seconds: float | None
) -> None:
    assert api_error(429, body, retry_after=header).retry_after_s == seconds
