"""A simulated API server, for what can only be shown by choosing the order of events."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator
from typing import Any

from fingerv7.adapters.kube.errors import Conflict, Gone, KubeError, NotFound

Json = dict[str, Any]


class MemoryApi:
    """One collection with resourceVersions, watched and listed like the real one.

    Events are delivered up to `delivered`; `outage` is raised by every call and ends every watch.
    """

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, Json] = {}
        self.history: list[tuple[int, str, Json]] = []
        self.oldest = 0
        self.hold_events_after: float = float("inf")
        self.outage: KubeError | None = None
        self.list_takes_s = 0.0
        self.lists = 0
        self.watches = 0
        self.stalled_through = 0
        self.params: list[dict[str, str]] = []
        self._uids = 0
        self._changed = asyncio.Event()

    # what strangers and the caller's own writes do to the server

    def write(self, name: str, value: Any = None) -> Json:
        self.version += 1
        old = self.objects.get(name)
        if old is None:
            self._uids += 1
        uid = old["metadata"]["uid"] if old else f"uid-{self._uids}"
        raw = {
            "metadata": {"namespace": "ns", "name": name, "uid": uid, "resourceVersion": str(self.version)},
            "spec": value,
        }
        self.objects[name] = raw
        self._happened("MODIFIED" if old else "ADDED", raw)
        return copy.deepcopy(raw)

    def remove(self, name: str) -> Json:
        self.version += 1
        raw = copy.deepcopy(self.objects.pop(name))
        raw["metadata"]["resourceVersion"] = str(self.version)
        self._happened("DELETED", raw)
        return raw

    def bookmark(self) -> None:
        self.version += 1
        self._happened("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})

    def compact(self) -> None:
        self.oldest = self.version

    def stall(self) -> None:
        """Watches that are open now deliver nothing any more."""
        self.stalled_through = self.watches

    def fail(self, error: KubeError | None) -> None:
        self.outage = error
        self._wake()

    def release_events(self, up_to: float = float("inf")) -> None:
        self.hold_events_after = up_to
        self._wake()

    def _happened(self, kind: str, raw: Json) -> None:
        self.history.append((self.version, kind, copy.deepcopy(raw)))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # the verbs

    def _check(self) -> None:
        if self.outage is not None:
            raise self.outage

    async def list(self, path: str, *, params: Any = None, chunk: int = 500) -> tuple[list[Json], str]:
        self._check()
        self.lists += 1
        self.params.append(dict(params or {}))
        snapshot = [copy.deepcopy(raw) for raw in self.objects.values()], str(self.version)
        await asyncio.sleep(self.list_takes_s)
        self._check()
        return snapshot

    async def present_version(self, path: str, *, params: Any = None) -> int:
        self._check()
        return self.version

    async def watch(
        self, path: str, *, resource_version: str, params: Any = None, timeout_s: float
    ) -> AsyncGenerator[tuple[str, Json]]:
        self._check()
        self.watches += 1
        number, position = self.watches, int(resource_version)
        now = asyncio.get_running_loop().time()
        ends_at, bookmark_at = now + timeout_s, now + timeout_s - 2.0
        yield "BOOKMARK", {"metadata": {"resourceVersion": resource_version}}
        if position < self.oldest:  # the real one, too, accepts such a watch before it says so
            raise Gone(410, "Expired", "too old resource version")
        while True:
            self._check()
            changed = self._changed
            stalled = number <= self.stalled_through
            for version, kind, raw in list(self.history):
                if position < version <= self.hold_events_after and not stalled:
                    position = version
                    yield kind, copy.deepcopy(raw)
                    self._check()
            now = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout_at(bookmark_at if now < bookmark_at else ends_at):
                    await changed.wait()
            except TimeoutError:
                if now >= bookmark_at:
                    return
                if self.version <= self.hold_events_after and not stalled:
                    position = self.version
                    yield "BOOKMARK", {"metadata": {"resourceVersion": str(position)}}

    async def get(self, path: str, *, params: Any = None, timeout_s: float | None = None) -> Json:
        self._check()
        name = path.rpartition("/")[2]
        if name not in self.objects:
            raise NotFound(404, "NotFound", f"{name} not found")
        return copy.deepcopy(self.objects[name])

    async def create(self, path: str, body: Json, *, params: Any = None) -> Json:
        self._check()
        name = body["metadata"]["name"]
        if name in self.objects:
            raise Conflict(409, "AlreadyExists", f"{name} already exists")
        return self._store(name, body)

    async def replace(self, path: str, body: Json) -> Json:
        self._check()
        name = path.rpartition("/")[2]
        stored = await self.get(path)
        if body["metadata"].get("resourceVersion") != stored["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", f"{name} has been modified")
        return self._store(name, body)

    async def merge_patch(self, path: str, patch: Json) -> Json:
        stored = await self.get(path)
        return self._store(path.rpartition("/")[2], {**stored, **patch})

    async def delete(self, path: str, *, uid: str | None = None, resource_version: str | None = None) -> Json:
        await self.get(path)
        return self.remove(path.rpartition("/")[2])

    def _store(self, name: str, body: Json) -> Json:
        raw = self.write(name)
        stored = self.objects[name] = {**copy.deepcopy(body), "metadata": {**body["metadata"], **raw["metadata"]}}
        return copy.deepcopy(stored)
