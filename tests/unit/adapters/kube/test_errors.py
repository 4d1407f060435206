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
    reason = "NotFound" if status == 404 else "Why"
    body = {"kind": "Status", "reason": reason, "message": "what was wrong", "details": {"name": "a"}}
    error = api_error(status, body)
    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (status, reason, "what was wrong")
    assert str(error) == f"{status} {reason}: what was wrong"


@pytest.mark.parametrize(
    "body",
    [
        "404 page not found",
        {"kind": "Status", "reason": "NotFound", "message": "the server could not find the requested resource"},
        {"kind": "Status", "reason": "NotFound", "details": {"group": "fingerv7.io", "kind": "fingerworkers"}},
        {"error": "no such route", "details": {"name": "a"}},
    ],
)
def test_a_404_that_does_not_name_the_object_says_nothing_about_it(body: object) -> None:
    assert type(api_error(404, body)) is ApiError


def test_the_refused_fields_are_told_apart_from_their_values() -> None:
    causes = [{"field": "status.assignment.streams[0].url", "message": "secret"}, {"field": "spec"}]
    error = api_error(422, {"reason": "Invalid", "details": {"causes": causes}})
    assert error.fields == ("status.assignment.streams[0].url", "spec")


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
