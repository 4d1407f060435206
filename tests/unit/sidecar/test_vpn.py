"""What a VPN's control server answers, and what of it is reported; the server is a small one with gluetun's routes."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from fingerv7_sidecar.events import VpnSeen
from fingerv7_sidecar.log import Log
from fingerv7_sidecar.server import Server, error_reply, json_reply, text_reply
from fingerv7_sidecar.vpn import ask, watch_vpn

RUNNING, ADDRESS = json_reply(200, {"status": "running"}), json_reply(200, {"public_ip": "192.0.2.7", "city": "x"})
NEWER = {"/v1/vpn/status": RUNNING, "/v1/publicip/ip": ADDRESS}


@contextlib.asynccontextmanager
async def control_server(answers, *, key=""):
    """Yields its URL; `answers` may be changed while it runs."""

    def handler(path):
        async def answer(request):
            if key and request.headers.get("x-api-key") != key:
                return text_reply(401, "Unauthorized")
            return answers.get(path) or error_reply(404, "route not supported")

        return {"GET": answer}

    server = Server({path: handler(path) for path in (*NEWER, "/v1/openvpn/status")}, Log(level="error"))
    port = await server.start("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (NEWER, VpnSeen("running", "192.0.2.7")),
        ({"/v1/openvpn/status": RUNNING, "/v1/publicip/ip": ADDRESS}, VpnSeen("running", "192.0.2.7")),
        ({"/v1/vpn/status": error_reply(400, "x"), "/v1/openvpn/status": RUNNING}, VpnSeen("running")),
        ({"/v1/vpn/status": json_reply(200, {"status": "stopped"})}, VpnSeen("stopped")),
        (NEWER | {"/v1/publicip/ip": json_reply(200, {"public_ip": ""})}, VpnSeen("running")),
        (NEWER | {"/v1/publicip/ip": json_reply(200, {"public_ip": "x" * 99})}, VpnSeen("running")),
        (NEWER | {"/v1/publicip/ip": text_reply(200, "no JSON")}, VpnSeen("running")),
        ({}, VpnSeen("unreachable")),
        ({"/v1/vpn/status": text_reply(200, "[]")}, VpnSeen("unreachable")),
        ({"/v1/vpn/status": json_reply(200, {"status": 1})}, VpnSeen("unreachable")),
        ({"/v1/vpn/status": json_reply(500, {"status": "running"})}, VpnSeen("unreachable")),
    ],
)
async def test_what_the_server_answers_is_what_is_seen(answers, expected):
    async with control_server(answers) as url:
        seen, reason = await ask(url + "/", "")
    assert seen == expected
    assert bool(reason) is (seen.status == "unreachable")


async def test_the_key_opens_a_guarded_server():
    async with control_server(NEWER, key="k-1") as url:
        assert (await ask(url, "k-1"))[0].status == "running"
        seen, reason = await ask(url, "k-2")
        assert seen.status == "unreachable"
        assert "VPN_CONTROL_KEY" in reason
        assert "k-2" not in reason


async def test_nobody_there_is_unreachable():
    seen, reason = await ask("http://127.0.0.1:1", "")
    assert seen == VpnSeen("unreachable")
    assert "cannot connect" in reason


async def test_a_server_that_never_answers_is_unreachable(monkeypatch):
    monkeypatch.setattr("fingerv7_sidecar.vpn._TIMEOUT_S", 0.05)
    released = asyncio.Event()

    async def hold(_reader, writer):
        await released.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        seen, reason = await ask(f"http://127.0.0.1:{port}", "")
        released.set()
    assert seen == VpnSeen("unreachable")
    assert "no answer" in reason


async def test_changes_are_told_once():
    posted, told, answers = asyncio.Queue(), [], dict(NEWER)
    async with control_server(answers) as url:
        task = asyncio.create_task(watch_vpn(url, "", posted.put_nowait, lambda *said: told.append(said), 0.01))
        try:
            async with asyncio.timeout(10):
                for _ in range(3):
                    assert (await posted.get()).status == "running"
                answers.clear()
                while (await posted.get()).status == "running":
                    pass
                assert (await posted.get()).status == "unreachable"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert [status for status, _ in told] == ["running", "unreachable"]
    assert "404" in told[1][1]
