"""StreamPools as kopf tells of them are there when a term begins, and none that is gone."""

from __future__ import annotations

import asyncio

from fingerv7.adapters.kube.errors import ApiUnreachable, NotFound
from fingerv7.runtime.feed import PoolFeed


def pool(name: str, version: int, uid: str = "") -> dict:
    metadata = {"namespace": "ns", "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata}


class Server:
    """Answers direct reads."""

    def __init__(self, *stored: dict, down: bool = False) -> None:
        self.stored = {body["metadata"]["name"]: body for body in stored}
        self.down = down

    async def get(self, path, **_):
        if self.down:
            raise ApiUnreachable("no answer")
        name = path.rpartition("/")[2]
        if name not in self.stored:
            raise NotFound(404, "NotFound", name)
        return self.stored[name]


class Told:
    def __init__(self) -> None:
        self.events: list[tuple[str | None, str, int]] = []

    async def observe(self, event_type, body):
        metadata = body["metadata"]
        self.events.append((event_type, metadata["name"], int(metadata["resourceVersion"])))


async def test_a_term_begins_with_what_the_standby_was_told_as_it_is_now():
    feed, told = PoolFeed(), Told()
    await feed.observe(None, pool("a", 1))
    await feed.observe("ADDED", pool("b", 2))
    await feed.observe("MODIFIED", pool("a", 3))
    await feed.observe("DELETED", pool("b", 4))
    await feed.observe("ADDED", pool("c", 5))
    await feed.open(told, Server(pool("a", 6), pool("c", 5)))
    assert told.events == [(None, "a", 6), (None, "c", 5)]
    await feed.observe("MODIFIED", pool("a", 7))
    assert told.events[-1] == ("MODIFIED", "a", 7)
    feed.close()
    await feed.observe("MODIFIED", pool("a", 8))
    assert told.events[-1] == ("MODIFIED", "a", 7)


async def test_a_pool_whose_deletion_was_never_told_is_not_served():
    feed, told = PoolFeed(), Told()
    await feed.observe(None, pool("ghost", 1))
    await feed.open(told, Server())
    assert told.events == []


async def test_where_nothing_answers_it_goes_on_with_what_it_knows():
    feed, told = PoolFeed(), Told()
    await feed.observe(None, pool("a", 1))
    await feed.open(told, Server(down=True))
    assert told.events == [(None, "a", 1)]
    feed.close()


async def test_what_could_not_be_read_is_read_as_soon_as_it_can_be(monkeypatch):
    monkeypatch.setattr("fingerv7.runtime.feed.RETRY_S", 0.01)
    feed, told, server = PoolFeed(), Told(), Server(pool("a", 2), down=True)
    await feed.observe(None, pool("a", 1))
    await feed.observe(None, pool("ghost", 1))
    await feed.open(told, server)
    assert told.events == [(None, "a", 1), (None, "ghost", 1)]
    server.down = False
    await asyncio.wait_for(feed._reading, 5)
    assert told.events[2:] == [(None, "a", 2), ("DELETED", "ghost", 1)]
    feed.close()


async def test_a_direct_read_never_replaces_a_newer_event():
    feed, told = PoolFeed(), Told()
    await feed.observe(None, pool("a", 9))
    await feed.open(told, Server(pool("a", 8)))
    assert told.events == [(None, "a", 9)]


async def test_the_deletion_of_a_predecessor_is_not_that_of_the_pool():
    feed, told = PoolFeed(), Told()
    await feed.observe(None, pool("a", 3, uid="second"))
    await feed.observe("DELETED", pool("a", 2, uid="first"))
    await feed.open(told, Server(pool("a", 3, uid="second")))
    assert told.events == [(None, "a", 3)]
