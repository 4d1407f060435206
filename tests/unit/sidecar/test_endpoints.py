"""The sidecar's own HTTP server: what the worker, the kubelet and strangers are answered."""

from __future__ import annotations

import asyncio
import json

import pytest

from fingerv7_sidecar.events import StopRequested

from .whole_sidecar import assigned


async def test_reports_travel_with_the_next_renewal(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(0))
    async with running() as it:
        await it.until(lambda: it.sidecar.lease_held)
        assert (await it.call("POST", "/report", b'{"currentStreams": 4}')).status == 200
        await api.until(lambda: "currentStreams" in api.annotation("w1", "fingerv7.io/report"))
        assert json.loads(api.annotation("w1", "fingerv7.io/report")) == {"currentStreams": 4, "version": "7.1"}
        refused = await it.call("POST", "/report", b'{"cpuPercent": "much"}')
        assert refused.status == 400
        assert "cpuPercent" in json.loads(refused.body)["error"]


async def test_the_assignment_over_http(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running() as it:
        await it.until(lambda: it.sidecar.config.on_disk is not None)
        given = await it.call("GET", "/assignment")
        assert given.body == (it.folder / "assignment.json").read_bytes()
        tag = given.headers["etag"]
        assert (await it.call("GET", "/assignment", headers={"if-none-match": tag})).status == 304
        assert (await it.call("POST", "/applied", b"0" * 32)).status == 409
        assert (await it.call("POST", "/applied", tag.strip('"').encode())).status == 200
        await it.until(lambda: it.sidecar.applied_epoch == 1)


async def test_a_drain_answers_when_the_release_is_written(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running(confirm_on_write=True) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        assert (await it.call("POST", "/drain?timeout=50ms")).status == 504
        assert (await it.call("POST", "/drain?timeout=soon")).status == 400
        waiting = asyncio.create_task(it.call("POST", "/drain"))
        await api.until(lambda: api.annotation("w1", "fingerv7.io/drain"))
        api.put_worker("w1", "uid-1", assignment=assigned(2))
        assert (await waiting).body == b"drained\n"
        assert api.annotation("w1", "fingerv7.io/released") == "uid-1/pod-a/n1"
        it.runtime.post(StopRequested())
        await it.task


async def test_a_drain_answers_at_once_when_fenced(api, running):
    api.refuse["GET"] = 500
    async with running() as it:
        answer = await it.call("POST", "/drain")
        assert answer.status == 200
        assert answer.body.startswith(b"fenced")


KEY = "0123456789abcdef"


@pytest.mark.parametrize("path", ["/assignment", "/applied", "/report", "/", "/Drain", "/drain/"])
async def test_nothing_else_is_reachable_from_outside_of_the_pod(api, running, path):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running(confirm_on_write=True, drain_key=KEY) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        for method in ("GET", "POST"):
            answer = await it.call(method, path, headers={"authorization": f"Bearer {KEY}"}, public=True)
            assert answer.status == 404
            assert b"radio.example" not in answer.body


async def test_probes_and_metrics_are_reachable_from_outside_of_the_pod(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running(confirm_on_write=True) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        for path in ("/healthz", "/readyz", "/metrics"):
            answer = await it.call("GET", path, public=True)
            assert answer.status == 200
            assert b"radio.example" not in answer.body


@pytest.mark.parametrize(
    ("key", "given"),
    [
        (KEY, None),
        (KEY, ""),
        (KEY, KEY),
        (KEY, "Bearer"),
        (KEY, f"Bearer {KEY}x"),
        (KEY, f"Bearer {KEY[:-1]}"),
        (KEY, f"bearer {KEY}"),
        ("", "Bearer"),
        ("", None),
    ],
)
async def test_nobody_drains_from_outside_without_the_key(api, running, key, given):
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running(confirm_on_write=True, drain_key=key) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        for method in ("GET", "POST", "HEAD"):
            headers = {} if given is None else {"authorization": given}
            answer = await it.call(method, "/drain?timeout=1s", headers=headers, public=True)
            assert answer.status == 403
            assert KEY.encode() not in answer.body
        assert not it.sidecar.draining


async def test_a_preStop_hook_drains_with_the_key(api, running):  # noqa: N802 - its name
    api.put_worker("w1", "uid-1", assignment=assigned(1, "a"))
    async with running(confirm_on_write=True, drain_key=KEY) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 1)
        bearer = {"authorization": f"Bearer {KEY}"}
        assert (await it.call("GET", "/drain?within=soon", headers=bearer, public=True)).status == 400
        hook = "/drain?timeout=20s&within=60s"
        waiting = asyncio.create_task(it.call("GET", hook, headers=bearer, public=True))
        await api.until(lambda: api.annotation("w1", "fingerv7.io/drain"))
        api.put_worker("w1", "uid-1", assignment=assigned(2))
        assert (await waiting).body == b"drained\n"


async def test_a_preStop_hook_after_an_expired_fence_is_answered_at_once(api, running):  # noqa: N802
    async with running(confirm_on_write=True) as it:
        await it.until(lambda: it.sidecar.lease_held)
        api.refuse["PUT"] = 500
        await it.until(lambda: it.sidecar.fenced)
        api.refuse.clear()
        await it.until(lambda: it.sidecar.lease_held)
        answer = await it.call("GET", "/drain?within=60s")
        assert answer.body.startswith(b"not drained")
        assert not it.sidecar.draining


async def test_metrics_and_health(api, running):
    api.put_worker("w1", "uid-1", assignment=assigned(3, "a"))
    async with running(confirm_on_write=True) as it:
        await it.until(lambda: it.sidecar.applied_epoch == 3)
        text = (await it.call("GET", "/metrics")).body.decode()
        assert "fingerv7_sidecar_applied_epoch 3\n" in text
        assert "fingerv7_sidecar_fenced 0\n" in text
        assert (await it.call("GET", "/healthz")).status == 200
        assert (await it.call("HEAD", "/healthz")).body == b""


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/report", 405), ("GET", "/report", 405)]
)
async def test_wrong_requests_are_answered_with_what_is_right(running, method, path, status):
    async with running() as it:
        answer = await it.call(method, path)
        assert answer.status == status
        assert "/report" in json.loads(answer.body)["error"]


async def test_oversized_and_broken_requests_are_refused(running):
    async with running() as it:
        assert (await it.call("POST", "/report", b"x" * 100_000)).status == 413
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(b"HELLO\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()
        await writer.wait_closed()
