"""The informer through outages, restarts and its own writes, on the real API server."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from devenv.cluster import Cluster
from fingerv7.adapters.kube.api import KubeApi
from fingerv7.adapters.kube.informer import Informer
from fingerv7.adapters.kube.objects import lease_from_json, worker_from_json
from fingerv7.adapters.kube.resources import FINGERWORKERS, LEASES
from fingerv7.core.model import Lease, Worker

pytestmark = pytest.mark.integration


def worker(name: str) -> dict[str, Any]:
    return {
        "apiVersion": FINGERWORKERS.api_version,
        "kind": FINGERWORKERS.kind,
        "metadata": {"name": name},
        "spec": {"poolRef": {"name": "radio"}, "maxStreams": 5, "capabilities": ["audio_fingerprinting"]},
    }


def lease(name: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"name": name, "labels": labels},
        "spec": {"holderIdentity": "x"},
    }


class Seen:
    """Workers of a namespace, and what was told about them."""

    def __init__(self, api: KubeApi, namespace: str, **options: Any) -> None:
        self.changes: list[tuple[str, bool, bool]] = []
        self.informer: Informer[Worker] = Informer(
            api,
            FINGERWORKERS,
            namespace=namespace,
            parse=worker_from_json,
            on_change=lambda key, old, new: self.changes.append((key[1], old is not None, new is not None)),
            **options,
        )

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.informer.store}


async def test_it_lists_in_chunks_and_follows(api: Any, namespace: str, running: Any, until: Any) -> None:
    await asyncio.gather(*(api.create(FINGERWORKERS.path(namespace), worker(f"w-{n}")) for n in range(12)))
    seen = Seen(api, namespace, chunk=5)
    async with running(seen.informer.run()):
        await until(seen.informer.synced.is_set, "the first list")
        assert len(seen.names) == 12
        assert api.stats.requests["LIST", "200"] == 3
        await api.create(FINGERWORKERS.path(namespace), worker("new"))
        await api.delete(FINGERWORKERS.path(namespace, "w-0"))
        await until(lambda: "new" in seen.names and "w-0" not in seen.names, "two changes")
        assert seen.changes[12:] == [("new", False, True), ("w-0", True, False)]
        assert seen.informer.gap == 0


async def test_a_selector_follows_labels_as_they_come_and_go(
    api: Any, namespace: str, running: Any, until: Any
) -> None:
    await api.create(LEASES.path(namespace), lease("other"))
    informer: Informer[Lease] = Informer(
        api,
        LEASES,
        namespace=namespace,
        parse=lease_from_json,
        on_change=lambda *_: None,
        label_selector="fingerv7.io/pool",
    )
    async with running(informer.run()):
        await until(informer.synced.is_set, "the first list")
        assert not informer.store
        for label in ("radio", None, "radio"):
            patch = {"metadata": {"labels": {"fingerv7.io/pool": label}}}
            await api.merge_patch(LEASES.path(namespace, "other"), patch)
            await until(lambda: ((namespace, "other") in informer.store) == (label == "radio"), f"label {label}")  # noqa: B023 - awaited here


async def test_own_writes_are_in_the_store_before_the_watch_echoes_them(
    api: Any, namespace: str, running: Any, until: Any
) -> None:
    created = await api.create(FINGERWORKERS.path(namespace), worker("w"))
    seen = Seen(api, namespace)
    async with running(seen.informer.run()):
        await until(seen.informer.synced.is_set, "the first list")
        raw = created
        for number in range(30):
            patch = {
                "metadata": {"resourceVersion": raw["metadata"]["resourceVersion"]},
                "status": {"assignedStreams": number},
            }
            raw = await api.merge_patch(FINGERWORKERS.path(namespace, "w", "status"), patch)
            seen.informer.put(raw)
            stored = seen.informer.store[namespace, "w"]
            assert stored.resource_version == int(raw["metadata"]["resourceVersion"])
            assert stored.status["assignedStreams"] == number
        await until(lambda: seen.informer.version >= int(raw["metadata"]["resourceVersion"]), "the last echo")
        assert len(seen.changes) == 31
        await api.delete(FINGERWORKERS.path(namespace, "w"))
        seen.informer.forget((namespace, "w"), raw["metadata"]["uid"])
        assert not seen.names
        last = await api.create(FINGERWORKERS.path(namespace), worker("w"))
        await until(lambda: seen.informer.version >= int(last["metadata"]["resourceVersion"]), "the new one")
        assert seen.changes[31:] == [("w", True, False), ("w", False, True)]


async def test_it_reaches_the_present_without_a_list(api: Any, namespace: str, running: Any, until: Any) -> None:
    """Also where nothing happens to its kind: a short watch ends with a bookmark."""
    await api.create(FINGERWORKERS.path(namespace), worker("old"))
    seen = Seen(api, namespace)
    async with running(seen.informer.run()):
        await until(seen.informer.synced.is_set, "the first list")
        listed = api.stats.requests["LIST", "200"]
        for _ in range(3):  # the whole API server's versions grow
            await api.create(LEASES.path(namespace), {"metadata": {"generateName": "other-"}})
        began = time.monotonic()
        present = await seen.informer.expect_present()
        assert present > seen.informer.version
        await until(lambda: seen.informer.version >= present, "it shows the present", within_s=10.0)
        print(f"a quiet kind was up to date after {time.monotonic() - began:.2f} s")
        await api.create(FINGERWORKERS.path(namespace), worker("new"))
        present = await seen.informer.expect_present()
        await until(lambda: seen.informer.version >= present or "new" in seen.names, "what is new", within_s=2.0)
        assert api.stats.requests["LIST", "200"] == listed + 2, "one object each was asked for, and nothing listed"


async def test_after_a_short_cut_it_goes_on_where_it_was(
    api: Any, open_line: Any, namespace: str, running: Any, until: Any
) -> None:
    line = await open_line()
    seen = Seen(line.client, namespace, gap_after_s=60)
    async with running(seen.informer.run()):
        await until(seen.informer.synced.is_set, "the first list")
        line.proxy.refuse()
        await api.create(FINGERWORKERS.path(namespace), worker("w"))
        await until(lambda: seen.informer.last_error, "the break noticed")
        line.proxy.mode = "pass"
        await until(lambda: seen.names == {"w"}, "the event of the outage")
        assert line.client.stats.requests["LIST", "200"] == 1
        assert seen.informer.gap == 0
        assert seen.informer.last_error == ""


async def test_an_api_server_that_went_and_came_back_is_caught_up_with(
    api: Any, open_line: Any, cluster: Cluster, namespace: str, running: Any, until: Any
) -> None:
    if not cluster.can_stop_apiserver:
        pytest.skip("this cluster's API server is not ours to stop")
    line = await open_line()
    for name in ("deleted", "kept"):
        await api.create(FINGERWORKERS.path(namespace), worker(name))
    seen = Seen(line.client, namespace, gap_after_s=0.5)
    async with running(seen.informer.run()):
        await until(seen.informer.synced.is_set, "the first list")
        line.proxy.refuse()
        await asyncio.to_thread(cluster.stop_apiserver)
        contact = seen.informer.last_contact  # what was on its way has arrived
        try:
            await until(lambda: seen.informer.gap == 1, "the gap, while it lasts")
            assert seen.names == {"deleted", "kept"}
            assert seen.informer.last_contact == contact
        finally:
            await asyncio.to_thread(cluster.start_apiserver)
        await api.delete(FINGERWORKERS.path(namespace, "deleted"))
        await api.create(FINGERWORKERS.path(namespace), worker("created"))
        seen.changes.clear()
        line.proxy.mode = "pass"
        await until(lambda: seen.names == {"kept", "created"}, "the state after the outage")
        assert sorted(seen.changes) == [("created", False, True), ("deleted", True, False)]
        assert seen.informer.gap == 1
        assert not seen.informer.last_error
        await api.create(FINGERWORKERS.path(namespace), worker("later"))
        await until(lambda: "later" in seen.names, "what happens from now on")


async def test_a_forgotten_place_is_listed_again(
    api: Any, open_line: Any, namespace: str, running: Any, until: Any
) -> None:
    line = await open_line()
    await api.create(FINGERWORKERS.path(namespace), worker("kept"))
    seen = Seen(line.client, namespace)
    async with running(seen.informer.run()):
        await until(seen.informer.synced.is_set, "the first list")
        await api.create(FINGERWORKERS.path(namespace), worker("deleted"))
        await until(lambda: "deleted" in seen.names, "the watch")  # one that is only being opened would not be cut
        line.proxy.refuse()
        await api.delete(FINGERWORKERS.path(namespace, "deleted"))
        seen.informer._objects.version = 1  # as after a compaction: older than anything that the server remembers
        seen.changes.clear()
        line.proxy.mode = "pass"
        await until(lambda: seen.names == {"kept"}, "the second list")
        assert seen.changes == [("deleted", True, False)]
        assert line.client.stats.requests["LIST", "200"] == 2


async def test_a_kind_that_is_not_there_yet_is_waited_for(
    open_line: Any, namespace: str, running: Any, until: Any
) -> None:
    line = await open_line()
    line.proxy.refuse()
    seen = Seen(line.client, namespace)
    async with running(seen.informer.run()):
        await until(lambda: seen.informer.last_error, "the failure")
        assert not seen.informer.synced.is_set()
        line.proxy.mode = "pass"
        await until(seen.informer.synced.is_set, "the first list")
