"""What a pod lacks that only says ContainerCreating.

A kubelet tells of a Secret that it cannot mount in Events alone, which are no state. So the Secrets that such a pod
mounts are looked for, now and then and a few pods at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from fingerv7.adapters.kube.api import KubeApi
from fingerv7.adapters.kube.errors import KubeError, NotFound
from fingerv7.adapters.kube.resources import PODS, SECRETS
from fingerv7.api.conditions import WorkersReady as Reason
from fingerv7.core.managed.model import Member, Pod, Problem

PATIENCE_S = 15.0
AGAIN_S = 30.0
AT_ONCE = 5
_SILENT = frozenset({"ContainerCreating", "PodInitializing"})


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
            for volume, secret in _secrets(raw.get("spec") or {}):
                try:
                    await self._api.get(SECRETS.path(self._namespace, secret))
                except NotFound:
                    message = f"its volume {volume} needs Secret {secret}, which does not exist"
                    return Problem(Reason.SECRET_MISSING, message, pod.name)
        except KubeError:
            pass  # the operator may not read every Secret, or not now
        return None


def _is_silent(pod: Pod, wall_s: float) -> bool:
    if pod.ready or pod.terminating or pod.phase != "Pending" or wall_s - pod.changed_s < PATIENCE_S:
        return False
    return bool(pod.waiting) and all(each.reason in _SILENT for each in pod.waiting)


def _secrets(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Volume and Secret, for all that must exist."""
    for volume in spec.get("volumes") or ():
        name = str(volume.get("name"))
        own = volume.get("secret")
        if own and own.get("secretName") and not own.get("optional"):
            yield name, str(own["secretName"])
        for source in (volume.get("projected") or {}).get("sources") or ():
            part = source.get("secret")
            if part and part.get("name") and not part.get("optional"):
                yield name, str(part["name"])
