"""What the API server stores, and by which rules it accepts a write.

Those of its promises that the protocol rests on are here: resourceVersions that never repeat, conflicts, finalizers,
a status that only its subresource writes, a patch that changes nothing is no write, and the CRD's root rule. Objects
are never changed in place, so everybody may keep what it got.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]
Key = tuple[str, str]
"""Plural and name; everything is in one namespace."""

NAMESPACE: Final = "default"
WITH_STATUS: Final = frozenset({"fingerworkers", "streampools"})
HISTORY: Final = 4000


class RefusedError(Exception):
    def __init__(self, status: int, reason: str, message: str = "", *, name: str = "") -> None:
        super().__init__(f"{status} {reason} {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.name = name


@dataclass(frozen=True, slots=True)
class Commit:
    """One accepted write."""

    revision: int
    at: float
    kind: str
    """ADDED, MODIFIED or DELETED."""
    plural: str
    name: str
    old: Json | None
    new: Json
    """Of a deletion the last state, with the deletion's own resourceVersion."""
    writer: str


@functools.cache
def parse_path(path: str) -> tuple[str, str | None, str | None]:
    """Plural, name and subresource."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[0] == "namespaces":
        parts = parts[2:]
    return parts[0], parts[1] if len(parts) > 1 else None, parts[2] if len(parts) > 2 else None


class Store:
    """`on_commit` is called after each accepted write."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.revision = 1000
        self.objects: dict[Key, Json] = {}
        self.history: list[Commit] = []
        self.compacted = 1000
        self.past: dict[Key, list[tuple[float, Json | None]]] = {}
        self.on_commit: list[Callable[[Commit], None]] = []
        self.on_rule: Callable[[str, str], None] = lambda writer, refusal: None
        """Called when the CRD's rule refuses a write that everything else would have let pass."""
        self.checks_versions = True
        self._uids = 0

    # --- reads --------------------------------------------------------------------------------------------

    def get(self, plural: str, name: str) -> Json:
        found = self.objects.get((plural, name))
        if found is None:
            raise RefusedError(404, "NotFound", f"{plural} {name} not found", name=name)
        return found

    def get_as_of(self, plural: str, name: str, at: float) -> Json:
        """What a cache that lags behind shows."""
        found: Json | None = None
        for when, state in self.past.get((plural, name), ()):
            if when > at:
                break
            found = state
        if found is None:
            raise RefusedError(404, "NotFound", f"{plural} {name} not found", name=name)
        return found

    def list(self, plural: str, label: str = "") -> list[Json]:
        return [
            found
            for (kind, _), found in self.objects.items()
            if kind == plural and (not label or has_label(found, label))
        ]

    # --- writes -------------------------------------------------------------------------------------------

    def create(self, plural: str, body: Json, *, writer: str) -> Json:
        name = body["metadata"]["name"]
        if (plural, name) in self.objects:
            raise RefusedError(409, "AlreadyExists", f"{plural} {name} already exists", name=name)
        self._uids += 1
        given = {
            k: v for k, v in body["metadata"].items() if k not in ("uid", "resourceVersion", "deletionTimestamp")
        }
        metadata = {**given, "namespace": NAMESPACE, "uid": f"uid-{self._uids}", "generation": 1}
        made = {**body, "metadata": metadata}
        if plural in WITH_STATUS:
            made.pop("status", None)
        return self._commit("ADDED", plural, name, None, made, writer)

    def replace(self, plural: str, name: str, body: Json, *, writer: str) -> Json:
        old = self.get(plural, name)
        self._check(old, body["metadata"])
        metadata = {
            **body["metadata"],
            **{k: old["metadata"][k] for k in ("uid", "generation", "namespace")},
        }
        if "deletionTimestamp" in old["metadata"]:
            metadata["deletionTimestamp"] = old["metadata"]["deletionTimestamp"]
        new = {**body, "metadata": metadata}
        if plural in WITH_STATUS:
            new["status"] = old.get("status", {})
        return self._update(plural, name, old, new, writer)

    def patch(self, plural: str, name: str, patch: Json, subresource: str | None, *, writer: str) -> Json:
        old = self.get(plural, name)
        self._check(old, patch.get("metadata") or {})
        if subresource == "status":
            merged = merge(old.get("status") or {}, patch.get("status"))
            new = {**old, "status": merged if merged is not None else {}}
        else:
            allowed = {k: v for k, v in patch.items() if not (k == "status" and plural in WITH_STATUS)}
            new = merge(old, allowed)
        return self._update(plural, name, old, new, writer)

    def delete(self, plural: str, name: str, preconditions: Json, *, writer: str) -> Json:
        old = self.get(plural, name)
        for field in ("uid", "resourceVersion"):
            wanted = preconditions.get(field)
            if wanted is not None and wanted != old["metadata"][field]:
                raise RefusedError(409, "Conflict", f"{field} differs", name=name)
        if old["metadata"].get("finalizers"):
            if "deletionTimestamp" in old["metadata"]:
                return old
            new = {**old, "metadata": {**old["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
            return self._commit("MODIFIED", plural, name, old, new, writer)
        return self._commit("DELETED", plural, name, old, old, writer)

    # --- what only happens to a cluster -------------------------------------------------------------------

    def compact(self) -> None:
        """Forget what was: whoever watches from an older revision gets 410."""
        self.compacted = self.revision

    def as_of(self, at: float) -> dict[Key, Json]:
        """Everything as it was then."""
        found: dict[Key, Json] = {}
        for key, states in self.past.items():
            then = [state for when, state in states if when <= at]
            if then and then[-1] is not None:
                found[key] = then[-1]
        return found

    def restored(self, objects: dict[Key, Json]) -> None:
        """The whole cluster goes back to a backup, and nobody can watch from before that.

        Revisions go on far above all that were given out, as `etcdutl snapshot restore --bump-revision` has it.
        """
        self.revision += 1_000
        self.compacted = self.revision
        self.history.clear()
        self.objects = dict(objects)
        now = self._clock()
        for key in {*self.past, *objects}:
            self.past.setdefault(key, []).append((now, objects.get(key)))

    # --- the rules ----------------------------------------------------------------------------------------

    def _check(self, old: Json, metadata: Json) -> None:
        stated = metadata.get("resourceVersion")
        if self.checks_versions and stated is not None and stated != old["metadata"]["resourceVersion"]:
            raise RefusedError(409, "Conflict", "the object has been modified", name=old["metadata"]["name"])
        uid = metadata.get("uid")
        if uid is not None and uid != old["metadata"]["uid"]:
            raise RefusedError(409, "Conflict", "uid differs", name=old["metadata"]["name"])

    def _update(self, plural: str, name: str, old: Json, new: Json, writer: str) -> Json:
        metadata = {**new["metadata"], "resourceVersion": old["metadata"]["resourceVersion"]}
        if new.get("spec") != old.get("spec"):
            metadata["generation"] = old["metadata"]["generation"] + 1
        new = {**new, "metadata": metadata}
        if new == old:
            return old
        if plural == "fingerworkers":
            try:
                _root_rule(old, new)
            except RefusedError as refused:
                self.on_rule(writer, f"{name}: {refused.message}")
                raise
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            return self._commit("DELETED", plural, name, old, new, writer)
        return self._commit("MODIFIED", plural, name, old, new, writer)

    def _commit(self, kind: str, plural: str, name: str, old: Json | None, new: Json, writer: str) -> Json:
        self.revision += 1
        new = {**new, "metadata": {**new["metadata"], "resourceVersion": str(self.revision)}}
        key = (plural, name)
        if kind == "DELETED":
            del self.objects[key]
        else:
            self.objects[key] = new
        now = self._clock()
        self.past.setdefault(key, []).append((now, None if kind == "DELETED" else new))
        commit = Commit(self.revision, now, kind, plural, name, old, new, writer)
        self.history.append(commit)
        if len(self.history) > HISTORY:
            self.compacted = self.history[HISTORY // 2].revision
            del self.history[: HISTORY // 2 + 1]
        for tell in self.on_commit:
            tell(commit)
        return new


def has_label(found: Json, label: str) -> bool:
    return label in (found["metadata"].get("labels") or {})


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386, without touching `target`."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = merge(merged.get(key), value)
        else:
            merged[key] = value
    return merged


def _root_rule(old: Json, new: Json) -> None:
    """The CRD's rule at its root (`api/rules.py`)."""
    before = (old.get("status") or {}).get("assignment")
    if before is None:
        return
    after = (new.get("status") or {}).get("assignment")
    name = old["metadata"]["name"]
    if after is None:
        raise RefusedError(422, "Invalid", "status.assignment cannot be removed", name=name)
    for field in ("epoch", "leaderEpoch"):
        if after.get(field, 0) < before.get(field, 0):
            raise RefusedError(422, "Invalid", f"status.assignment.{field} never decreases", name=name)
