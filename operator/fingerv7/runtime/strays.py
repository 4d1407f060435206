"""Workers whose pool does not exist: they are told so, and are let go when somebody deletes them.

No loop looks after them. What they hold stays theirs: a StreamPool that comes back finds everything as it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from fingerv7.adapters.kube.errors import KubeError, NotFound
from fingerv7.adapters.kube.resources import FINGERWORKERS, STREAMPOOLS
from fingerv7.core.status import Condition, dated
from fingerv7.runtime.fleet import PoolKey
from fingerv7.runtime.office import Office
from fingerv7.runtime.publisher import Publisher
from fingerv7.runtime.registrar import Registrar

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0


class Strays:
    """The workers of no pool, in one term of leadership."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._api = office.api
        self._fleets = office.fleets
        self._recorder = office.recorder
        self._clocks = office.clocks

    async def run(self, existing: Callable[[], Collection[PoolKey]]) -> None:
        """Until cancelled. `existing`: the pools that are looked after."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            referred = {key for fleet in self._fleets for key in fleet.pools()}
            for key in sorted(referred - set(existing())):
                if await self._is_missing(key):
                    await self._tell(key)

    async def _is_missing(self, key: PoolKey) -> bool:
        """Asked directly: not being in memory may only mean that the list has not arrived yet."""
        namespace, name = key
        try:
            await self._api.get(STREAMPOOLS.path(namespace, name))
        except NotFound:
            return True
        except KubeError as error:
            log.warning("cannot look for pool %s/%s: %s", namespace, name, error)
        return False

    async def _tell(self, key: PoolKey) -> None:
        namespace, pool = key
        publisher = Publisher(self._office, namespace=namespace)
        registrar = Registrar(self._office, namespace=namespace)
        message = f"there is no StreamPool {pool} in namespace {namespace}; create it, or delete this FingerWorker"
        for name, worker in self._fleets.of(namespace).workers_of(key).items():
            if worker.deleting and worker.finalizer and worker.assignment.empty:
                await registrar.let_go(worker)
                continue
            stored = worker.status.get("conditions")
            known = {c.get("type"): c.get("reason") for c in stored} if isinstance(stored, list) else {}
            if known.get("Ready") == "PoolNotFound":
                continue
            ready = Condition("Ready", False, "PoolNotFound", message)
            conditions = dated([ready], stored, generation=worker.generation, now=self._clocks.timestamp())
            await publisher.patch_status(worker, {"conditions": conditions, "phase": "Pending"})
            involved = FINGERWORKERS.reference(name, worker.uid)
            await self._recorder.record(namespace, involved, type="Warning", reason="PoolNotFound", message=message)
