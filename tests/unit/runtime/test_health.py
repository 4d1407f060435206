"""The liveness endpoint fails for what is stuck, and only for that."""

from __future__ import annotations

import contextlib
import socket
from types import SimpleNamespace

import aiohttp
import pytest

from fingerv7.runtime.health import serve_health
from fingerv7.runtime.metrics import Metrics
from fingerv7.runtime.vitals import Vitals


def test_a_task_is_stuck_when_it_is_idle_for_longer_than_it_may_be():
    vitals, idle = Vitals(), {"watch": 0.0, "pool": 0.0}
    vitals.watch("watch", lambda: idle["watch"], at_most_s=180.0)
    vitals.watch("pool", lambda: idle["pool"], at_most_s=120.0)
    idle |= {"watch": 170.0, "pool": 121.0}
    assert vitals.stuck() == {"pool": 121.0}
    idle["pool"] = 1.0
    assert vitals.stuck() == {}
    idle["pool"] = 500.0
    vitals.forget("pool")
    assert vitals.stuck() == {}


async def test_the_probe_says_who_is_stuck():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = free.getsockname()
    informer = SimpleNamespace(store={}, gap=0)
    fleets = [SimpleNamespace(workers=informer, leases=informer, synced=synced) for synced in (True, False)]
    vitals, idle = Vitals(), [0.0]
    vitals.watch("pool ns/radio", lambda: idle[0], at_most_s=120.0)
    async with contextlib.AsyncExitStack() as stack:
        await serve_health(listen, fleets, SimpleNamespace(may_write=True), Metrics(), vitals, stack)
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def probe() -> tuple[int, dict]:
            async with session.get(f"http://127.0.0.1:{listen[1]}/healthz") as answer:
                return answer.status, await answer.json()

        assert await probe() == (200, {"leader": True, "synced": False, "stuck": {}})
        idle[0] = 300.0
        assert await probe() == (
            503,
            {"leader": True, "synced": False, "stuck": {"pool ns/radio": "idle for 300 s"}},
        )


async def test_without_a_host_it_is_reached_by_either_family():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with socket.socket(socket.AF_INET6) as free:
        try:
            free.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 on its loopback")
        port = free.getsockname()[1]
    async with contextlib.AsyncExitStack() as stack:
        await serve_health((None, port), [], SimpleNamespace(may_write=True), Metrics(), Vitals(), stack)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        for host in ("127.0.0.1", "[::1]"):
            async with session.get(f"http://{host}:{port}/healthz") as answer:
                assert answer.status == 200
