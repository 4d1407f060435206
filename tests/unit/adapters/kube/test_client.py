"""What the client concludes from the answers, refusals and silences of a server that follows a script."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any

import pytest

from fingerv7.adapters.kube import errors
from fingerv7.adapters.kube.client import KubeClient
from fingerv7.adapters.kube.credentials import Credentials, RereadToken

from .scripted_server import CUT, HANG, OBJECT, PATH, Answer, running


async def writes(client: KubeClient, verb: str) -> Any:
    if verb == "create":
        return await client.create(PATH, OBJECT)
    if verb == "replace":
        return await client.replace(PATH, OBJECT)
    if verb == "merge_patch":
        return await client.merge_patch(PATH, OBJECT)
    return await client.delete(PATH, uid="u", resource_version="7")


VERBS = pytest.mark.parametrize("verb", ["create", "replace", "merge_patch", "delete"])


async def test_a_request_says_who_we_are_and_what_we_want() -> None:
    async with running(Answer()) as (server, client):
        assert await client.get(PATH, params={"a": "b c"}) == OBJECT
        await client.merge_patch(PATH, {"spec": {}})
        await client.delete(PATH, uid="u", resource_version="7")
        get, patch, delete = server.requests
    assert (get.method, get.target) == ("GET", f"{PATH}?a=b+c")
    assert get.headers["authorization"] == "Bearer t-1"
    assert get.headers["user-agent"] == "fingerv7-operator"
    assert patch.headers["content-type"] == "application/merge-patch+json"
    assert delete.body["preconditions"] == {"uid": "u", "resourceVersion": "7"}
    assert server.connections == 1


# --- writes -----------------------------------------------------------------------------------------------


@VERBS
@pytest.mark.parametrize("warm", [False, True])
async def test_a_write_whose_answer_is_lost_is_of_unknown_outcome_and_sent_once(verb: str, warm: bool) -> None:
    script = [Answer(), CUT] if warm else [CUT]
    async with running(*script) as (server, client):
        if warm:
            await client.get(PATH)
        with pytest.raises(errors.OutcomeUnknown, match=PATH):
            await writes(client, verb)
        assert len(server.requests) == len(script)


@VERBS
@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_write_answered_by_5xx_is_of_unknown_outcome(verb: str, status: int) -> None:
    async with running(Answer(status, {"reason": "Timeout", "message": "too slow"})) as (server, client):
        with pytest.raises(errors.OutcomeUnknown, match="too slow"):
            await writes(client, verb)
        assert len(server.requests) == 1


async def test_a_write_that_takes_too_long_is_of_unknown_outcome() -> None:
    async with running(HANG, request_timeout_s=0.1) as (_, client):
        with pytest.raises(errors.OutcomeUnknown):
            await client.create(PATH, OBJECT)
        assert client.stats.requests["CREATE", "timeout"] == 1


async def test_a_write_answered_by_something_else_than_json_is_of_unknown_outcome() -> None:
    async with running(Answer(200, b"<html>")) as (_, client):
        with pytest.raises(errors.OutcomeUnknown, match="no JSON"):
            await client.create(PATH, OBJECT)


async def test_a_cancelled_write_stays_cancelled() -> None:
    async with running(HANG) as (server, client):
        task = asyncio.create_task(client.create(PATH, OBJECT))
        await asyncio.wait_for(server.arrived.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.stats.requests["CREATE", "cancelled"] == 1


@VERBS
async def test_a_write_that_never_left_changed_nothing(verb: str) -> None:
    async with running(Answer()) as (server, client):
        pass
    server.requests.clear()
    async with KubeClient(client.credentials) as other:
        with pytest.raises(errors.ApiUnreachable):
            await writes(other, verb)


async def test_a_write_that_could_not_even_connect_in_time_changed_nothing() -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # nobody accepts: the queue is full and further connections hang
            waiting.enter_context(sock := socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        server = f"http://127.0.0.1:{full.getsockname()[1]}"
        async with KubeClient(
            Credentials(server, ssl.create_default_context(), RereadToken(lambda _: "Bearer t")),
            request_timeout_s=0.2,
        ) as client:
            with pytest.raises(errors.ApiUnreachable):
                await client.create(PATH, OBJECT)
            assert client.stats.requests["CREATE", "timeout"] == 1


@VERBS
@pytest.mark.parametrize(
    ("status", "kind"),
    [(409, errors.Conflict), (404, errors.NotFound), (403, errors.Forbidden), (422, errors.Invalid)],
)
async def test_a_refused_write_is_not_repeated(verb: str, status: int, kind: type[Exception]) -> None:
    reason = "NotFound" if status == 404 else "X"
    async with running(Answer(status, {"reason": reason, "details": {"name": "a"}})) as (server, client):
        with pytest.raises(kind):
            await writes(client, verb)
        assert len(server.requests) == 1


# --- 429 and 401, which reject before anything is looked at -------------------------------------------------


@VERBS
async def test_a_throttled_request_comes_back_when_it_is_asked_to(verb: str) -> None:
    async with running(Answer(429, {}, {"Retry-After": "0.2"}), Answer()) as (server, client):
        started = asyncio.get_running_loop().time()
        assert await writes(client, verb) == OBJECT
        assert asyncio.get_running_loop().time() - started >= 0.2
        assert len(server.requests) == 2


async def test_a_server_that_throttles_for_longer_than_we_may_wait_is_reported() -> None:
    async with running(Answer(429, {}, {"Retry-After": "60"})) as (server, client):
        with pytest.raises(errors.TooManyRequests) as caught:
            await client.create(PATH, OBJECT)
        assert caught.value.retry_after_s == 60
        assert len(server.requests) == 1


async def test_throttling_is_waited_for_a_bounded_number_of_times() -> None:
    async with running(Answer(429, {}), request_timeout_s=60, rng=lambda: -0.999) as (server, client):
        with pytest.raises(errors.TooManyRequests):
            await client.get(PATH)
        assert 1 < len(server.requests) <= 8


class RotatingToken:
    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.rejected: list[str] = []

    async def authorization(self, *, rejected: str | None = None) -> str | None:
        if rejected == self.tokens[0]:
            self.rejected.append(self.tokens.pop(0))
        return self.tokens[0]


async def test_an_expired_token_is_read_again_and_the_write_repeated() -> None:
    token = RotatingToken("Bearer old", "Bearer new")
    async with running(Answer(401, {}), Answer(), token=token) as (server, client):
        assert await client.create(PATH, OBJECT) == OBJECT
        assert [request.headers["authorization"] for request in server.requests] == ["Bearer old", "Bearer new"]


async def test_a_token_that_stays_refused_is_reported() -> None:
    async with running(Answer(401, {"message": "who are you"})) as (server, client):
        with pytest.raises(errors.Unauthorized, match="who are you"):
            await client.get(PATH)
        assert len(server.requests) == 2


class NoToken:
    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s

    async def authorization(self, *, rejected: str | None = None) -> str | None:
        await asyncio.sleep(self.takes_s)
        raise errors.CredentialsError("the token file is gone")


@pytest.mark.parametrize(("takes_s", "said"), [(0, "the token file is gone"), (60, "credentials: TimeoutError")])
async def test_without_credentials_nothing_is_sent(takes_s: float, said: str) -> None:
    async with running(Answer(), token=NoToken(takes_s), request_timeout_s=0.3) as (server, client):
        with pytest.raises(errors.ApiUnreachable, match=said):
            await client.create(PATH, OBJECT)
        assert not server.requests


# --- reads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [CUT, Answer(503, {})])
async def test_a_read_is_repeated_on_trouble(trouble: Any) -> None:
    async with running(trouble, trouble, Answer()) as (server, client):
        assert await client.get(PATH) == OBJECT
        assert len(server.requests) == 3


async def test_a_read_is_repeated_a_bounded_number_of_times() -> None:
    async with running(CUT) as (server, client):
        with pytest.raises(errors.ApiUnreachable):
            await client.get(PATH)
        assert len(server.requests) == 3
    async with running(Answer(500, {})) as (server, client):
        with pytest.raises(errors.Unavailable):
            await client.get(PATH)
        assert len(server.requests) == 3


async def test_the_timeout_of_a_read_holds_for_all_attempts_together() -> None:
    async with running(HANG) as (server, client):
        started = asyncio.get_running_loop().time()
        with pytest.raises(errors.ApiUnreachable):
            await client.get(PATH, timeout_s=0.2)
        assert asyncio.get_running_loop().time() - started < 2
        assert len(server.requests) == 1


async def test_after_a_failure_the_next_request_has_a_fresh_connection() -> None:
    async with running(Answer(), Answer(), HANG, Answer(), request_timeout_s=0.3) as (server, client):
        await asyncio.gather(client.get(PATH), client.get(PATH))
        assert server.connections == 2  # both are idle now
        with pytest.raises(errors.ApiUnreachable):
            await client.get(PATH)
        await client.get(PATH)
        assert server.requests[-1].connection == 3


async def test_a_list_collects_its_chunks() -> None:
    pages = [
        Answer(200, {"items": [1, 2], "metadata": {"resourceVersion": "9", "continue": "c1"}}),
        Answer(200, {"items": [3], "metadata": {"resourceVersion": "9"}}),
    ]
    async with running(*pages) as (server, client):
        assert await client.list("/api/v1/things", params={"labelSelector": "a"}, chunk=2) == ([1, 2, 3], "9")
        first, second = (request.target for request in server.requests)
    assert first == "/api/v1/things?labelSelector=a&limit=2"
    assert second == "/api/v1/things?labelSelector=a&limit=2&continue=c1"


async def test_a_list_whose_snapshot_was_compacted_starts_again_once() -> None:
    first = Answer(200, {"items": [1], "metadata": {"resourceVersion": "9", "continue": "c1"}})
    gone = Answer(410, {"reason": "Expired"})
    async with running(first, gone, Answer(200, {"items": [2], "metadata": {"resourceVersion": "10"}})) as (
        _,
        client,
    ):
        assert await client.list("/api/v1/things") == ([2], "10")
    async with running(first, gone, first, gone) as (server, client):
        with pytest.raises(errors.Gone):
            await client.list("/api/v1/things")
        assert len(server.requests) == 4
