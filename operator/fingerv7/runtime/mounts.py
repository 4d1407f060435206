"""What a pod lacks that only says ContainerCreating.

A kubelet tells of a Secret or ConfigMap that it cannot mount in Events alone, which are no state. So those that such
a pod mounts are looked for, now and then and a few pods at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from fingerv7.adapters.kube.api import KubeApi
from fingerv7.adapters.kube.errors import KubeError, NotFound
from fingerv7.adapters.kube.resources import CONFIG_MAPS, PODS, SECRETS, Resource
from fingerv7.api.conditions import WorkersReady as Reason
from fingerv7.core.managed.model import Member, Pod, Problem

PATIENCE_S = 15.0
AGAIN_S = 30.0
AT_ONCE = 5
_SILENT = frozenset({"ContainerCreating", "PodInitializing"})
_REASONS = {SECRETS: Reason.SECRET_MISSING, CONFIG_MAPS: Reason.CONFIG_MAP_MISSING}


class _Mount(NamedTuple):
    """Something that a volume is made from."""

    volume: str
    kind: Resource
    name: str
    keys: tuple[str, ...]
    """That it must have; no others are looked at."""


class Mounts:
    """The pods of one fleet that wait without saying what for."""

    def __init__(self, api: KubeApi, namespace: str, clock: Callable[[], float]) -> None:
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._looked: dict[str, float] = {}
        """By pod UID, when."""
        self.lacking: dict[str, Problem] = {}
        """By pod UID."""

    async def look(self, members: Collection[Member], wall_s: float) -> None:
        """A few of them. Raises nothing that the API server can cause."""
        silent = {m.pod.uid: m.pod for m in members if m.pod and _is_silent(m.pod, wall_s)}
        for gone in self._looked.keys() - silent.keys():
            del self._looked[gone]
            self.lacking.pop(gone, None)
        now = self._clock()
        due = [uid for uid in silent if now - self._looked.get(uid, -AGAIN_S) >= AGAIN_S]
        for uid in sorted(due, key=lambda uid: self._looked.get(uid, 0.0))[:AT_ONCE]:
            self._looked[uid] = now
            problem = await self._missing(silent[uid])
            if problem:
                self.lacking[uid] = problem
            else:
                self.lacking.pop(uid, None)

    async def _missing(self, pod: Pod) -> Problem | None:
        try:
            raw = await self._api.get(PODS.path(self._namespace, pod.name))
        except KubeError:
            return None
        for mount in _mounts(raw.get("spec") or {}):
            lacking = await self._lacking(mount)
            if lacking:
                return Problem(_REASONS[mount.kind], f"its volume {mount.volume} needs {lacking}", pod.name)
        return None

    async def _lacking(self, mount: _Mount) -> str:
        named = f"{mount.kind.kind} {mount.name}"
        try:
            found = await self._api.get(mount.kind.path(self._namespace, mount.name))
        except NotFound:
            return f"{named}, which does not exist"
        except KubeError:
            return ""  # the operator may not read every one, or not now
        there = {*(found.get("data") or ()), *(found.get("binaryData") or ())}
        keys = [key for key in mount.keys if key not in there]
        return f"the key {keys[0]} of {named}, which has none of that name" if keys else ""


def _is_silent(pod: Pod, wall_s: float) -> bool:
    if pod.ready or pod.terminating or pod.phase != "Pending" or wall_s - pod.changed_s < PATIENCE_S:
        return False
    return bool(pod.waiting) and all(each.reason in _SILENT for each in pod.waiting)


def _mounts(spec: Mapping[str, Any]) -> Iterator[_Mount]:
    """All that must exist."""
    for volume in spec.get("volumes") or ():
        name = str(volume.get("name"))
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        for source in sources:
            for field, kind in (("secret", SECRETS), ("configMap", CONFIG_MAPS)):
                part = source.get(field) or {}
                named = part.get("secretName") or part.get("name")
                if named and not part.get("optional"):
                    keys = tuple(str(item.get("key")) for item in part.get("items") or ())
                    yield _Mount(name, kind, str(named), keys)
