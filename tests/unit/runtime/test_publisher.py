"""A write counts both ways from the moment that it was decided, sent or not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fingerv7.adapters.kube.errors import OutcomeUnknown
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


class Namespaces:
    """`ns`, where the store is, and `other`, where nothing is."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._other = Store()
        self._other.store = {}

    def of(self, namespace: str) -> Store:
        return self._office.api if namespace == "ns" else self._other

    def __iter__(self):
        return iter((self._office.api, self._other))


class Office:
    def __init__(self) -> None:
        self.api = Store()
        self.fleets = Namespaces(self)
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


async def test_writes_in_another_namespace_stay_open():
    office = Office()
    publisher, elsewhere = Publisher(office, namespace="ns"), Publisher(office, namespace="other")
    publishing = asyncio.create_task(publisher.publish([GRANT], {"a": WORKER}, lambda _worker, _assignment: {}))
    await office.api.sent.wait()
    elsewhere.forget_gone()
    assert publisher.unknown(WORKER) is not None
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


class Unanswered(Store):
    """Writes are never answered; what is read is what is stored."""

    async def merge_patch(self, path, patch):
        raise OutcomeUnknown("no answer")

    async def get(self, path):
        return self.store["ns", "a"]

    def put_worker(self, raw):
        return raw


async def test_a_write_decided_on_what_an_unanswered_one_stored_stays_open_when_that_one_is_found():
    office = Office()
    office.api = Unanswered()
    office.term.begin(0)
    publisher = Publisher(office, namespace="ns")
    await publisher.publish([GRANT], {"a": WORKER}, lambda _worker, _assignment: {})
    arrived = replace(WORKER, resource_version=8, assignment=GRANT.assignment)
    office.api.store = {("ns", "a"): arrived}  # the watch shows it
    grants = {**GRANT.assignment.grants, "t": Grant(Stream("t", "http://x/"), Token(1, 2))}
    await publisher.publish([Write("a", Assignment(3, 1, grants, {}))], {"a": arrived}, lambda *_: {})
    unknown = publisher.unknown(arrived)
    assert unknown is not None, "it may still arrive"
    assert unknown.holds("t")
    stored = replace(arrived, resource_version=9, assignment=Assignment(3, 1, grants, {}))
    office.api.store = {("ns", "a"): stored}
    await publisher.reread(stored)
    assert publisher.unknown(stored) is None


async def test_a_write_is_not_carried_over_a_mark_for_a_drain():
    # An annotation leaves the generation alone; a grant that lands after it would be taken away with the pod.
    office = Office()
    publisher = Publisher(office, namespace="ns")
    shown = replace(WORKER, resource_version=11)
    office.api.store = {("ns", "a"): shown}
    assert publisher._newest(WORKER) is shown
    office.api.store = {("ns", "a"): replace(shown, drain_for="ScaleDown")}
    assert publisher._newest(WORKER) is WORKER
