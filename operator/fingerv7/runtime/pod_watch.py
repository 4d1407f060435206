"""The pods of managed workers, watched by the leader from the moment that some pool has managed workers.

A standby does without: no stream waits for a pod, and five thousand of them are listed in a second or two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fingerv7.adapters.kube.api import KubeApi
from fingerv7.adapters.kube.informer import Informer, Key
from fingerv7.adapters.kube.pods import pod_from_json
from fingerv7.adapters.kube.resources import PODS
from fingerv7.contract import MANAGED_LABEL
from fingerv7.core.managed.model import Pod
from fingerv7.runtime.fleet import PoolKey
from fingerv7.runtime.vitals import WATCH_STUCK_S, Vitals


class PodWatch:
    """An informer that starts when it is needed, and wakes whoever listens to a pool."""

    def __init__(self, api: KubeApi, *, namespace: str | None, clock: Callable[[], float], vitals: Vitals) -> None:
        self._vitals = vitals
        self._listeners: dict[PoolKey, Callable[[], None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._informer: Informer[Pod] = Informer(
            api,
            PODS,
            namespace=namespace,
            parse=pod_from_json,
            on_change=self._changed,
            label_selector=f"{MANAGED_LABEL}=true",
            clock=clock,
        )
        self._name = f"watch of {self._informer.name}"

    def start(self) -> None:
        """Once; again is no harm."""
        if self._task is None:
            self._task = asyncio.create_task(self._informer.run(), name=self._name)
            self._vitals.watch(self._name, self._informer.idle_s, at_most_s=WATCH_STUCK_S)

    async def stop(self) -> None:
        if self._task is not None:
            self._vitals.forget(self._name)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def synced(self) -> bool:
        return self._informer.synced.is_set()

    @property
    def error(self) -> str:
        """Why there is no contact at present."""
        return self._informer.last_error

    def listen(self, pool: PoolKey, wake: Callable[[], None]) -> None:
        self._listeners[pool] = wake

    def unlisten(self, pool: PoolKey) -> None:
        self._listeners.pop(pool, None)

    def pod(self, namespace: str, name: str) -> Pod | None:
        return self._informer.store.get((namespace, name))

    def put(self, raw: dict[str, Any]) -> None:
        """The response of an own accepted write or of a direct read."""
        self._informer.put(raw)

    def _changed(self, key: Key, old: Pod | None, new: Pod | None) -> None:
        for pod in (old, new):
            if pod and (wake := self._listeners.get((key[0], pod.pool))):
                wake()
