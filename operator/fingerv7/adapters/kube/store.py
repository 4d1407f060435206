"""Objects of one kind, each in its newest known state, whatever order the news arrive in.

News come from three sides: lists, watch events, and the responses of own writes and deletions. They overtake each
other, so every state is taken or dropped by its resourceVersion (comparable within a kind, KEP-5504), and what was
deleted does not come back with an older event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Generic, NamedTuple, TypeVar

from fingerv7.adapters.kube.api import Json, JsonList
from fingerv7.adapters.kube.errors import Gone

T = TypeVar("T")

_log = logging.getLogger(__name__)

_PARSED_AT_ONCE: Final = 100

Key = tuple[str, str]
"""Namespace (empty for what is cluster-wide) and name."""


class _State(NamedTuple):
    uid: str
    resource_version: int


class ObjectStore(Generic[T]):
    """`on_change(key, old, new)` is called after each change: old None when added, new None when deleted."""

    def __init__(
        self,
        name: str,
        *,
        parse: Callable[[Json], T],
        on_change: Callable[[Key, T | None, T | None], None],
        on_unparsable: Callable[[Key, str], None] | None = None,
    ) -> None:
        self._name = name
        self._parse = parse
        self._on_change = on_change
        self._on_unparsable = on_unparsable
        self._values: dict[Key, T] = {}
        self._states: dict[Key, _State] = {}
        self._unparsed: dict[Key, str] = {}
        self._deleted_uids: set[str] = set()
        self._deleted_before_list: set[str] = set()
        self._put_while_listing: set[Key] = set()
        self.values: Mapping[Key, T] = MappingProxyType(self._values)
        self.unparsed: Mapping[Key, str] = MappingProxyType(self._unparsed)
        self.version = 0
        """The resourceVersion up to which everything that lists and events said is in."""

    def resource_version(self, key: Key) -> int | None:
        state = self._states.get(key)
        return state.resource_version if state else None

    # --- what the process did itself ----------------------------------------------------------------------

    def put(self, raw: Json) -> T:
        """The response of an own accepted write, or of a direct read; answers the newest known state.

        Raises what `parse` raises. An object whose deletion is known already is not brought back.
        """
        key, state = _identity(raw)
        known = self._states.get(key)
        if known is not None and known.resource_version >= state.resource_version:
            return self._values[key]
        value = self._parse(raw)
        passed = known is None and state.resource_version <= self.version
        if not passed and state.uid not in self._deleted_uids:
            self._put_while_listing.add(key)
            self._set(key, state, value)
        return value

    def forget(self, key: Key, uid: str) -> None:
        """The object of that uid is gone."""
        state = self._states.get(key)
        if state is not None and state.uid == uid:
            self._deleted_uids.add(uid)  # until the watch has said so, it may still deliver older states
            self._remove(key)

    # --- what the API server says -------------------------------------------------------------------------

    def begin_list(self) -> None:
        """Call before a list is asked for: what is put from now on may be newer than its answer."""
        self._put_while_listing.clear()
        self._deleted_before_list = set(self._deleted_uids)

    async def replace(self, items: JsonList, snapshot: int) -> None:
        """Replace everything by a list at resourceVersion `snapshot`; what is missing in it was deleted.

        Everything becomes as listed, even with a lower resourceVersion than before (an API restored from a backup
        counts from there), except what was written while the list was under way.
        """
        found = await self._parse_all(items)
        newer = {
            key
            for key in self._put_while_listing
            if key in self._states and self._states[key].resource_version > snapshot
        }
        self.version = snapshot
        # The list is newer than these deletions: what it shows exists, whoever said that it was gone.
        self._deleted_uids -= self._deleted_before_list
        for key in [key for key in self._states if key not in found and key not in newer]:
            self._remove(key)
        for key, (state, value) in found.items():
            if key not in newer and state.uid not in self._deleted_uids and value is not None:
                self._set(key, state, value)

    def take(self, kind: str, raw: Json) -> None:
        """A watch event. Raises Gone when the versions run backwards: another history, so list again."""
        version = int(raw["metadata"]["resourceVersion"])
        if version < self.version:
            raise Gone(410, "Expired", f"resourceVersion went back from {self.version} to {version}")
        if kind == "DELETED":
            self._take_deletion(raw)
        elif kind != "BOOKMARK":
            self._take_state(raw)
        self.version = version

    def _take_state(self, raw: Json) -> None:
        key, state = _identity(raw)
        known = self._states.get(key)
        if known is not None and known.resource_version >= state.resource_version:
            return
        if state.uid in self._deleted_uids:
            return
        try:
            value = self._parse(raw)
        except Exception as error:
            self._unparsed[key] = self._explain(key, error)
            return
        self._set(key, state, value)

    def _take_deletion(self, raw: Json) -> None:
        """A DELETED event carries the deletion's own resourceVersion, so it orders like any other."""
        key, state = _identity(raw)
        self._deleted_uids.discard(state.uid)
        known = self._states.get(key)
        if known is None:
            self._unparsed.pop(key, None)
        elif known.resource_version <= state.resource_version:
            self._remove(key)

    # --- the objects --------------------------------------------------------------------------------------

    async def _parse_all(self, items: JsonList) -> dict[Key, tuple[_State, T | None]]:
        """The value is None where it has not changed, or cannot be read."""
        found: dict[Key, tuple[_State, T | None]] = {}
        unparsed: dict[Key, str] = {}
        for index, raw in enumerate(items):
            key, state = _identity(raw)
            value = None
            if self._states.get(key) != state or key in self._unparsed:
                try:
                    value = self._parse(raw)
                except Exception as error:
                    unparsed[key] = self._explain(key, error)
            found[key] = state, value
            await _breathe(index)
        self._unparsed.clear()
        self._unparsed.update(unparsed)
        return found

    def _set(self, key: Key, state: _State, value: T) -> None:
        old = self._values.get(key)
        self._states[key] = state
        self._values[key] = value
        self._unparsed.pop(key, None)
        self._tell(key, old, value)

    def _remove(self, key: Key) -> None:
        del self._states[key]
        self._unparsed.pop(key, None)
        self._tell(key, self._values.pop(key), None)

    def _tell(self, key: Key, old: T | None, new: T | None) -> None:
        try:
            self._on_change(key, old, new)
        except Exception:
            _log.exception("%s %s: the change could not be handled", self._name, "/".join(key))

    def _explain(self, key: Key, error: Exception) -> str:
        reason = str(error) or type(error).__name__
        if self._unparsed.get(key) != reason:
            _log.warning("%s %s is skipped: %s", self._name, "/".join(key), reason)
            if self._on_unparsable is not None:
                self._on_unparsable(key, reason)
        return reason


def _identity(raw: Json) -> tuple[Key, _State]:
    metadata = raw["metadata"]
    key = (metadata.get("namespace", ""), metadata["name"])
    return key, _State(metadata["uid"], int(metadata["resourceVersion"]))


async def _breathe(index: int) -> None:
    """Thousands of objects take seconds to parse; renewals of the leader Lease must not wait for that."""
    if index % _PARSED_AT_ONCE == _PARSED_AT_ONCE - 1:
        await asyncio.sleep(0)
