"""A local copy of one kind of object that is never older than what this process wrote itself.

List in chunks, watch with bookmarks from there, start again when the server has forgotten our place. Beyond that
the operator needs three things that general informers do not give (design sections 4 and 5): the response of an
own accepted write replaces the stored object at once, objects that vanished while nobody watched are reported as
deleted, and a broken watch is visible, so that silence of the watch is never mistaken for silence of the workers.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import Final, Generic, NamedTuple, TypeVar

from fingerv7.adapters.kube.api import Json, JsonList, KubeApi
from fingerv7.adapters.kube.backoff import Backoff
from fingerv7.adapters.kube.errors import ApiError, Gone, KubeError, WatchStalled
from fingerv7.adapters.kube.resources import Resource

T = TypeVar("T")

_log = logging.getLogger(__name__)

_WATCH_S: Final = 300.0
_STEADY_S: Final = 5.0
_PARSED_AT_ONCE: Final = 100


Key = tuple[str, str]
"""Namespace (empty for what is cluster-wide) and name."""


class _Stored(NamedTuple):
    uid: str
    resource_version: int


class Informer(Generic[T]):
    """Objects of one kind by `Key`, kept up to date by `run()`. Everything happens in one event loop.

    `on_change(key, old, new)` is called after the store has changed: old None when added, new None when deleted.
    It must be quick and only note that something changed.
    """

    def __init__(
        self,
        api: KubeApi,
        resource: Resource,
        *,
        namespace: str | None,
        parse: Callable[[Json], T],
        on_change: Callable[[Key, T | None, T | None], None],
        label_selector: str = "",
        on_unparsable: Callable[[Key, str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
        gap_after_s: float = 3.0,
        chunk: int = 500,
    ) -> None:
        self._api = api
        self._resource = resource
        self._path = resource.path(namespace)
        self._params = {"labelSelector": label_selector} if label_selector else {}
        self._parse = parse
        self._on_change = on_change
        self._on_unparsable = on_unparsable
        self._clock = clock
        self._rng = rng
        self._gap_after_s = gap_after_s
        self._chunk = chunk

        self._values: dict[Key, T] = {}
        self._stored: dict[Key, _Stored] = {}
        self._deleted_uids: set[str] = set()
        self._put_while_listing: set[Key] = set()
        self._unparsed: dict[Key, str] = {}
        self._listed = False
        self._broken_since: float | None = None
        self._gap_counted = False

        self.store: Mapping[Key, T] = MappingProxyType(self._values)
        """The objects, read only, always the newest that is known."""
        self.unparsed: Mapping[Key, str] = MappingProxyType(self._unparsed)
        """Objects whose newest state `parse` refused, and why. The store keeps the last state that was readable."""
        self.synced = asyncio.Event()
        """Set once the first list is in the store."""
        self.version = 0
        """The resourceVersion that the watch has reached: everything up to it is in the store."""
        self.gap = 0
        """How often contact was lost for longer than `gap_after_s`, counted while it is still lost."""
        self.last_contact: float | None = None
        """`clock` at the last list, event or bookmark."""
        self.last_error = ""
        """Why there is no contact at present; empty while there is."""

    def resource_version(self, key: Key) -> int | None:
        stored = self._stored.get(key)
        return stored.resource_version if stored else None

    # --- what the process did itself ----------------------------------------------------------------------

    def put(self, raw: Json) -> T:
        """Store the response of an own accepted write; answer the newest state of that object that is known.

        Raises what `parse` raises. An object that the watch has reported as deleted since is not brought back.
        """
        key, stored = _identity(raw)
        known = self._stored.get(key)
        if known is not None and known.resource_version >= stored.resource_version:
            return self._values[key]
        value = self._parse(raw)
        passed = known is None and stored.resource_version <= self.version
        if passed or stored.uid in self._deleted_uids:
            return value
        self._put_while_listing.add(key)
        self._set(key, stored, value)
        return value

    def forget(self, key: Key, uid: str) -> None:
        """The object of that uid is gone: its deletion was accepted, or a direct GET answered 404."""
        stored = self._stored.get(key)
        if stored is not None and stored.uid == uid:
            self._deleted_uids.add(uid)  # until the watch has said so, it may still deliver older states
            self._remove(key)

    async def catch_up(self) -> None:
        """Bring the store to the state of a consistent read that starts now, whatever the watch has reached.

        Unlike a bookmark, which may take a minute to come, this costs one list. Raises KubeError.
        """
        items, version = await self._api.list(self._path, params=self._params, chunk=self._chunk)
        present = set()
        for index, raw in enumerate(items):
            key, _ = _identity(raw)
            present.add(key)
            try:
                self.put(raw)
            except Exception as error:
                self._refuse(key, error)
            if index % _PARSED_AT_ONCE == _PARSED_AT_ONCE - 1:
                await asyncio.sleep(0)
        for key, stored in list(self._stored.items()):
            if key not in present and stored.resource_version <= int(version):
                self.forget(key, stored.uid)

    # --- what the API server says -------------------------------------------------------------------------

    async def run(self) -> None:
        """List and watch until cancelled; every failure is retried, and named in `last_error`."""
        backoff = Backoff(rng=self._rng)
        while True:
            begun, listed = self._clock(), self._listed
            pause = 0.0
            try:
                if not self._listed:
                    await self._relist()
                await self._follow()
                self._lost_contact(self._clock())  # ended on time: nothing was missed until now
            except KubeError as error:
                self._failed(error)
                if isinstance(error, Gone) and listed:
                    continue  # an outage ends like this; the list that follows has waited long enough
                pause = (error.retry_after_s or 0.0) if isinstance(error, ApiError) else 0.0
            if self._clock() - begun >= _STEADY_S:
                backoff.reset()
            await asyncio.sleep(max(pause, backoff.next()))

    def _failed(self, error: KubeError) -> None:
        # A stalled watch may follow a version that a restored etcd has not reached yet, hence lists as well.
        if isinstance(error, Gone | WatchStalled):
            self._listed = False
        since = self.last_contact if self.last_contact is not None else self._clock()
        self._lost_contact(since)
        if self.last_error != str(error):
            self.last_error = str(error)
            _log.warning("%s: %s; trying again", self._resource.plural, error)

    async def _relist(self) -> None:
        self._put_while_listing.clear()
        gone_before = set(self._deleted_uids)
        items, version = await self._api.list(self._path, params=self._params, chunk=self._chunk)
        found = await self._parse_all(items)
        snapshot = int(version)
        uids = {stored.uid for stored, _ in found.values()}

        # What was written while the list was under way is newer than the list. Everything else is as listed, even
        # with a lower resourceVersion than before: an API restored from a backup counts from there.
        newer = {
            key
            for key in self._put_while_listing
            if key in self._stored and self._stored[key].resource_version > snapshot
        }
        self._contact()
        self.version = snapshot
        self._listed = True
        for key in [key for key in self._stored if key not in found and key not in newer]:
            self._remove(key)
        for key, (stored, value) in found.items():
            if key in newer or stored.uid in self._deleted_uids:
                continue
            if value is not None and self._stored.get(key) != stored:
                self._set(key, stored, value)
        self._deleted_uids -= gone_before - uids
        self._put_while_listing.clear()
        self.synced.set()

    async def _parse_all(self, items: JsonList) -> dict[Key, tuple[_Stored, T | None]]:
        """Parse a list without holding the loop for long; the value is None where nothing needs to change."""
        found: dict[Key, tuple[_Stored, T | None]] = {}
        unparsed: dict[Key, str] = {}
        for index, raw in enumerate(items):
            key, stored = _identity(raw)
            value = None
            if self._stored.get(key) != stored or key in self._unparsed:
                try:
                    value = self._parse(raw)
                except Exception as error:
                    unparsed[key] = self._explain(key, error)
            found[key] = stored, value
            if index % _PARSED_AT_ONCE == _PARSED_AT_ONCE - 1:
                await asyncio.sleep(0)
        self._unparsed.clear()
        self._unparsed.update(unparsed)
        return found

    async def _follow(self) -> None:
        watch = self._api.watch(
            self._path,
            resource_version=str(self.version),
            params=self._params,
            timeout_s=_WATCH_S * (1 + self._rng()),
        )
        async with aclosing(watch) as events:
            async for kind, raw in events:
                self._contact()
                version = int(raw["metadata"]["resourceVersion"])
                if version < self.version:
                    raise Gone(410, "Expired", f"resourceVersion went back from {self.version} to {version}")
                if kind == "DELETED":
                    self._take_deletion(raw)
                elif kind != "BOOKMARK":
                    self._take(raw)
                self.version = version

    def _take(self, raw: Json) -> None:
        key, stored = _identity(raw)
        known = self._stored.get(key)
        if known is not None and known.resource_version >= stored.resource_version:
            return
        if stored.uid in self._deleted_uids:
            return
        try:
            value = self._parse(raw)
        except Exception as error:
            self._refuse(key, error)
            return
        self._set(key, stored, value)

    def _take_deletion(self, raw: Json) -> None:
        """A DELETED event carries the deletion's own resourceVersion, so it orders like any other."""
        key, stored = _identity(raw)
        self._deleted_uids.discard(stored.uid)
        known = self._stored.get(key)
        if known is not None and known.resource_version <= stored.resource_version:
            self._remove(key)
        elif known is None:
            self._unparsed.pop(key, None)

    # --- the store ----------------------------------------------------------------------------------------

    def _set(self, key: Key, stored: _Stored, value: T) -> None:
        old = self._values.get(key)
        self._stored[key] = stored
        self._values[key] = value
        self._unparsed.pop(key, None)
        self._tell(key, old, value)

    def _remove(self, key: Key) -> None:
        del self._stored[key]
        self._unparsed.pop(key, None)
        self._tell(key, self._values.pop(key), None)

    def _tell(self, key: Key, old: T | None, new: T | None) -> None:
        try:
            self._on_change(key, old, new)
        except Exception:
            _log.exception("%s %s: the change could not be handled", self._resource.plural, "/".join(key))

    def _refuse(self, key: Key, error: Exception) -> None:
        self._unparsed[key] = self._explain(key, error)

    def _explain(self, key: Key, error: Exception) -> str:
        reason = str(error) or type(error).__name__
        if self._unparsed.get(key) != reason:
            _log.warning("%s %s is skipped: %s", self._resource.plural, "/".join(key), reason)
            if self._on_unparsable is not None:
                self._on_unparsable(key, reason)
        return reason

    # --- contact ------------------------------------------------------------------------------------------

    def _contact(self) -> None:
        self._judge_gap()
        self._broken_since = None
        self.last_contact = self._clock()
        self.last_error = ""

    def _lost_contact(self, since: float) -> None:
        if self._broken_since is None:
            self._broken_since, self._gap_counted = since, False
        self._judge_gap()

    def _judge_gap(self) -> None:
        if self._broken_since is None or self._gap_counted:
            return
        if self._clock() - self._broken_since > self._gap_after_s:
            self._gap_counted = True
            self.gap += 1


def _identity(raw: Json) -> tuple[Key, _Stored]:
    metadata = raw["metadata"]
    key = (metadata.get("namespace", ""), metadata["name"])
    return key, _Stored(metadata["uid"], int(metadata["resourceVersion"]))
