"""Several namespaces, each watched by itself: what cannot be read in one of them is no trouble of the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from fingerv7.adapters.kube.errors import Forbidden
from fingerv7.contract import POOL_LABEL
from fingerv7.runtime import fleets as module
from fingerv7.runtime.fleets import Fleets

VERSION = 7


class Server:
    """Serves each namespace until it refuses to; where it hangs, there is no answer."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.hanging: set[str] = set()
        self.items: dict[str, list[dict]] = {}
        self.paths: set[str] = set()
        self.changed = asyncio.Event()

    async def _check(self, path: str) -> str:
        self.paths.add(path)
        namespace = path.split("/")[-2]
        while namespace in self.hanging:
            await self._change()
        if namespace in self.refused:
            raise Forbidden(403, "Forbidden", f"not in {namespace}")
        return namespace

    async def _change(self) -> None:
        await self.changed.wait()

    def change(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    async def list(self, path, *, params=None, chunk=500):
        namespace = await self._check(path)
        return [raw for raw in self.items.get(namespace, []) if path.endswith(raw["kind"])], str(VERSION)

    async def present_version(self, path, *, params=None):
        await self._check(path)
        return VERSION

    async def watch(self, path, *, resource_version, params=None, timeout_s):
        await self._check(path)
        yield "BOOKMARK", {"metadata": {"resourceVersion": resource_version}}
        while True:
            await self._change()
            await self._check(path)


def worker(namespace: str, leader_epoch: int) -> dict:
    metadata = {"namespace": namespace, "name": "a", "uid": f"uid-{namespace}", "resourceVersion": "5"}
    status = {"assignment": {"epoch": 1, "leaderEpoch": leader_epoch, "streams": []}}
    spec = {"poolRef": {"name": "radio"}, "maxStreams": 10}
    return {"kind": "fingerworkers", "metadata": metadata, "spec": spec, "status": status}


@contextlib.asynccontextmanager
async def watched(server: Server, *namespaces: str) -> AsyncIterator[Fleets]:
    fleets = Fleets(server, namespaces=namespaces, clock=asyncio.get_running_loop().time)  # type: ignore[arg-type]
    running = [asyncio.create_task(informer.run()) for informer in fleets.informers]
    try:
        async with asyncio.timeout(10):
            yield fleets
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    deadline = asyncio.get_running_loop().time() + 10.0
    while not condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def test_nothing_outside_of_the_namespaces_served_is_asked_for():
    server = Server()
    async with watched(server, "radio", "tv") as fleets:
        await fleets.synced()
        await fleets.catch_up(asyncio.Event())
        await until(lambda: all(fleet.caught_up for fleet in fleets))
    collections = (
        "apis/fingerv7.io/v1alpha1/namespaces/{}/fingerworkers",
        "apis/coordination.k8s.io/v1/namespaces/{}/leases",
    )
    assert server.paths == {"/" + path.format(name) for path in collections for name in ("radio", "tv")}


def test_without_a_name_one_fleet_shows_all_namespaces():
    fleets = Fleets(None, clock=lambda: 0.0)  # type: ignore[arg-type]
    (fleet,) = fleets
    assert fleets.of("radio") is fleets.of("tv") is fleet
    assert fleet.namespace is None


def test_a_namespace_that_is_named_twice_is_watched_once():
    assert len(list(Fleets(None, namespaces=("radio", "radio"), clock=lambda: 0.0))) == 1  # type: ignore[arg-type]


async def test_what_is_refused_in_one_namespace_keeps_only_that_one_from_being_served(monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    server, known = Server(), asyncio.Event()
    server.refused = {"tv"}
    server.items = {"radio": [worker("radio", 3)], "tv": [worker("tv", 9)]}
    async with watched(server, "radio", "tv") as fleets:
        radio, tv = fleets.of("radio"), fleets.of("tv")
        await fleets.synced()
        assert not tv.synced
        catching_up = asyncio.create_task(fleets.catch_up(known))
        await known.wait()
        assert radio.caught_up
        assert not tv.caught_up
        assert fleets.highest_leader_epoch() == 3
        server.refused.clear()
        await catching_up
        await until(lambda: tv.caught_up)
        assert fleets.highest_leader_epoch() == 9
        assert set(tv.workers_of(("tv", "radio"))) == {"a"}
        assert not tv.workers_of(("radio", "radio"))


async def test_a_term_does_not_begin_before_each_namespace_has_answered_once():
    server, known = Server(), asyncio.Event()
    server.hanging = {"tv"}
    async with watched(server, "radio", "tv") as fleets:
        waiting = asyncio.create_task(fleets.synced())
        await until(lambda: fleets.of("radio").synced)
        assert not waiting.done(), "it may be about to answer"
        server.hanging.clear()
        server.change()
        await waiting
        assert fleets.of("tv").synced
        server.hanging = {"tv"}
        catching_up = asyncio.create_task(fleets.catch_up(known))
        await until(lambda: fleets.of("radio").caught_up)
        assert not known.is_set()
        server.hanging.clear()
        server.change()
        await catching_up
        assert known.is_set()


async def test_where_nothing_can_be_read_nobody_stands_for_election():
    server = Server()
    server.refused = {"radio", "tv"}
    async with watched(server, "radio", "tv") as fleets:
        waiting = asyncio.create_task(fleets.synced())
        await asyncio.gather(*(fleet.tried() for fleet in fleets))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        server.refused.clear()
        await waiting


async def test_a_watch_that_breaks_in_one_namespace_gives_nobody_elsewhere_a_fresh_start():
    """Silence there is still silence of the workers."""
    now, server = [100.0], Server()
    fleets = Fleets(server, namespaces=("radio", "tv"), clock=lambda: now[0])  # type: ignore[arg-type]
    for namespace in ("radio", "tv"):
        metadata = {
            "namespace": namespace,
            "name": "a",
            "uid": "u",
            "resourceVersion": "5",
            "labels": {POOL_LABEL: "p"},
        }
        fleets.of(namespace).leases.put({"metadata": metadata, "spec": {"holderIdentity": "pod/1"}})
    now[0] += 30.0
    fleets.of("tv").leases.gap += 1
    silent = {name: now[0] - fleets.of(name).observation(name, "a").since for name in ("radio", "tv")}
    assert silent == {"radio": 30.0, "tv": 0.0}
