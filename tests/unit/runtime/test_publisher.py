"""A write counts both ways from the moment that it was decided, sent or not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fingerv7.core.handover import Write
from fingerv7.core.model import Assignment, Grant, Stream, Token, Worker
from fingerv7.runtime.publisher import Publisher
from fingerv7.runtime.term import Term

WORKER = Worker("a", "uid-a", 7, "radio", 10, assignment=Assignment(1, 1))
GRANT = Write("a", Assignment(2, 1, {"s": Grant(Stream("s", "http://x/"), Token(1, 1))}, {}))


class Store:
    """A fleet and an API in which every write hangs."""

    def __init__(self) -> None:
        self.workers = self
        self.store = {("ns", "a"): WORKER}
        self.sent = asyncio.Event()
        self.writes = 0

    async def merge_patch(self, path, patch):
        self.writes += 1
        self.sent.set()
        await asyncio.Event().wait()


class Office:
    def __init__(self) -> None:
        self.fleet = self.api = Store()
        self.term = Term(1, may_write=lambda: True)


async def test_a_grant_that_waits_behind_a_status_of_the_same_worker_is_held_already():
    office = Office()
    publisher = Publisher(office, namespace="ns")
    showing = asyncio.create_task(publisher.patch_status(WORKER, {"phase": "Active"}))
    await office.api.sent.wait()
    publishing = asyncio.create_task(publisher.publish([GRANT], {"a": WORKER}, lambda _worker, _assignment: {}))
    await asyncio.sleep(0)
    unknown = publisher.unknown(WORKER)
    assert unknown is not None
    assert unknown.holds("s")
    for task in (publishing, showing):
        task.cancel()
    await asyncio.gather(publishing, showing, return_exceptions=True)
    await publisher.stop()
    assert publisher.unknown(WORKER) is not None, "abandoned, so still open"


async def test_writes_to_an_object_that_is_gone_are_open_no_more():
    office = Office()
    publisher = Publisher(office, namespace="ns")
    publishing = asyncio.create_task(publisher.publish([GRANT], {"a": WORKER}, lambda _worker, _assignment: {}))
    await office.api.sent.wait()
    publisher.forget_gone()
    assert publisher.unknown(WORKER) is not None, "it exists, so the write may still arrive"
    office.api.store = {("ns", "a"): replace(WORKER, uid="of another life")}
    publisher.forget_gone()
    assert publisher.unknown(WORKER) is None
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
    await publisher.stop()


async def test_two_writes_to_one_object_never_overlap():
    office = Office()
    publisher = Publisher(office, namespace="ns")
    writing = [asyncio.create_task(publisher.patch_status(WORKER, {"phase": "Active"})) for _ in range(3)]
    await office.api.sent.wait()
    await asyncio.sleep(0)
    assert office.api.writes == 1
    for task in writing:
        task.cancel()
    await asyncio.gather(*writing, return_exceptions=True)
