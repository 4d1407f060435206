"""What the client makes of the events, the end and the silence of a watch."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from typing import Any

import orjson
import pytest

from fingerv7.adapters.kube import errors
from fingerv7.adapters.kube.client import KubeClient

from .scripted_server import CUT, HANG, OBJECT, PATH, Answer, running


def line(kind: str, version: int, **more: Any) -> bytes:
    return orjson.dumps({"type": kind, "object": {"metadata": {"resourceVersion": str(version)}, **more}}) + b"\n"


async def seen(client: KubeClient) -> list[tuple[str, Any]]:
    found = []
    async with aclosing(client.watch("/api/v1/things", resource_version="5", timeout_s=60)) as events:
        async for kind, raw in events:
            found.append((kind, raw["metadata"]["resourceVersion"]))
    return found


async def test_a_watch_says_that_it_stands_and_then_what_happens() -> None:
    events = line("ADDED", 6) + line("MODIFIED", 7) + line("BOOKMARK", 8) + line("DELETED", 9)
    pieces = [events[:10], events[10:90], events[90:]]
    async with running(pieces) as (server, client):
        assert await seen(client) == [
            ("BOOKMARK", "5"),
            ("ADDED", "6"),
            ("MODIFIED", "7"),
            ("BOOKMARK", "8"),
            ("DELETED", "9"),
        ]
        target = server.requests[0].target
    assert "watch=true&allowWatchBookmarks=true&resourceVersion=5&timeoutSeconds=60" in target


async def test_an_event_of_several_megabytes_arrives_whole() -> None:
    text = "x" * 5_000_000
    event = line("ADDED", 6, spec=text)
    pieces = [event[i : i + 60_000] for i in range(0, len(event), 60_000)]
    async with (
        running(pieces) as (_, client),
        aclosing(client.watch("/x", resource_version="5", timeout_s=60)) as events,
    ):
        assert [raw.get("spec") async for _, raw in events] == [None, text]


async def test_an_error_event_is_the_error_that_it_names() -> None:
    error = (
        orjson.dumps({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}) + b"\n"
    )
    async with running([error]) as (_, client):
        with pytest.raises(errors.Gone, match="too old"):
            await seen(client)


async def test_a_watch_that_is_refused_raises_at_once() -> None:
    async with running(Answer(403, {"message": "no"})) as (_, client):
        with pytest.raises(errors.Forbidden):
            await seen(client)


@pytest.mark.parametrize("pieces", [[line("ADDED", 6), CUT], [line("ADDED", 6)[:20]]])
async def test_a_watch_that_breaks_within_is_unreachable(pieces: list[Any]) -> None:
    async with running(pieces) as (_, client):
        with pytest.raises(errors.ApiUnreachable):
            await seen(client)


async def test_a_silent_watch_has_stalled() -> None:
    async with running([line("ADDED", 6), HANG], watch_stall_s=0.1) as (_, client):
        with pytest.raises(errors.WatchStalled):
            await seen(client)


async def test_a_watch_can_be_left_early() -> None:
    async with (
        running([line("ADDED", 6), HANG]) as (_, client),
        aclosing(client.watch("/x", resource_version="5", timeout_s=60)) as events,
    ):
        async for kind, _raw in events:
            if kind == "ADDED":
                break


async def test_watches_take_the_place_of_no_request() -> None:
    """Each namespace that is served by itself has three of them."""
    following = [b'{"type": "ADDED", "object": {"metadata": {}}}\n', HANG]
    async with running(*[following] * 80, Answer()) as (_, client), AsyncExitStack() as stack:
        for _ in range(80):
            watch = client.watch("/x", resource_version="5", timeout_s=60)
            events = await stack.enter_async_context(aclosing(watch))
            await anext(events)
        assert await asyncio.wait_for(client.get(PATH), 5) == OBJECT
