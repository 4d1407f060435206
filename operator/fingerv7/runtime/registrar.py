"""Everything about a worker's objects that is not its assignment: Lease, finalizer, creation and removal.

A worker is registered by three writes of their own before its first grant: its Lease is created where nobody did
(so that a sidecar needs no right to create one), its finalizer is added, its status is stamped. The last of these
is the hand-over's. Deleting a FingerWorker is a drain: the finalizer goes when nothing is held any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from fingerv7.adapters.kube.errors import Conflict, Invalid, KubeError, NotFound
from fingerv7.adapters.kube.objects import CREATED_BY, CREATED_BY_OPERATOR, finalizer_patch
from fingerv7.adapters.kube.resources import FINGERWORKERS, LEASES
from fingerv7.api.streampool import Registration, StreamPool
from fingerv7.contract import FINALIZER, POOL_LABEL
from fingerv7.core.model import Lease, Worker
from fingerv7.core.registration import RegistrationError, worker_spec
from fingerv7.core.rounds import Decision, World
from fingerv7.runtime.office import AT_ONCE, Office
from fingerv7.runtime.term import SupersededError

log = logging.getLogger(__name__)

RETRY_S = 2.0


class Registrar:
    """The objects of one pool's workers."""

    def __init__(self, office: Office, *, namespace: str) -> None:
        self._api = office.api
        self._fleet = office.fleets.of(namespace)
        self._term = office.term
        self._recorder = office.recorder
        self._clock = office.clocks.monotonic
        self._timestamp = office.clocks.timestamp
        self._namespace = namespace
        self._not_before: dict[str, float] = {}

    async def tend(self, pool: StreamPool, world: World, decision: Decision) -> None:
        """Leases, finalizers, registrations and removals; of thousands of new workers, a portion a round."""
        spec, now = pool.spec, self._clock()
        takeover_s = world.rules.timing.takeover_after_ms / 1000
        work: list[Coroutine[Any, Any, None]] = []
        for name, worker in world.workers.items():
            empty = worker.assignment.empty and name not in world.unknown
            expired = decision.health[name].silent_s * 1000 >= spec.liveness.remove_after_ms
            if not self._due(name):
                continue
            if not worker.deleting and (not worker.finalizer or name not in world.leases):
                work.append(self._prepare(worker, world.leases.get(name)))
            elif worker.deleting and worker.finalizer and empty:
                work.append(self.let_go(worker))
            elif worker.created_by_operator and decision.standings[name].stop and expired and empty:
                work.append(self._remove(worker))
        for name, lease in world.leases.items():
            if lease.pool != pool.metadata.name or self._has_worker(name, world) or not self._due(name):
                continue
            silent_s = now - world.observations[name].since
            if silent_s >= max(takeover_s, lease.duration_ms / 1000):
                # Of a worker that is no more: nothing runs under it, and who comes back makes or gets another one.
                work.append(self._forget(lease))
            elif lease.register and lease.holder and silent_s < takeover_s:
                is_open = spec.registration is Registration.OPEN
                work.append(self._register(lease, lease.pool, is_open=is_open))
        for coroutine in work[AT_ONCE:]:
            coroutine.close()
        await asyncio.gather(*work[:AT_ONCE])

    def _has_worker(self, name: str, world: World) -> bool:
        """Whether there is a FingerWorker of that name, also one that cannot be read or is another pool's."""
        return name in world.unreadable or (self._namespace, name) in self._fleet.workers.store

    async def _prepare(self, worker: Worker, lease: Lease | None) -> None:
        """Whatever of Lease and finalizer is missing."""
        if not worker.finalizer:
            await self._guarded("finalizer", worker.name, self._set_finalizer(worker, present=True))
        if lease is None and self._fleet.lease(self._namespace, worker.name) is None:
            await self._guarded("lease", worker.name, self._create_lease(worker))

    async def let_go(self, worker: Worker) -> None:
        """Remove the finalizer of a deleted worker that holds nothing, and its Lease if nobody renews that any more.

        A Lease that the operator created goes with its owner anyway; one that a sidecar created has none.
        """
        await self._guarded("let-go", worker.name, self._set_finalizer(worker, present=False))
        lease = self._fleet.lease(self._namespace, worker.name)
        gone = self._fleet.workers.store.get((self._namespace, worker.name)) is None
        if gone and lease and lease.pool == worker.pool and (not lease.holder or lease.shows_release(worker.uid)):
            await self._forget(lease)

    async def _forget(self, lease: Lease) -> None:
        """Delete the Lease of a worker that does not exist any more."""
        await self._guarded("forget", lease.name, self._delete_lease(lease))

    async def _remove(self, worker: Worker) -> None:
        """Delete a worker that registered itself and has been silent for `removeAfter`."""
        await self._guarded("remove", worker.name, self._delete_worker(worker))

    async def _register(self, lease: Lease, pool: str, *, is_open: bool) -> None:
        """Create the FingerWorker that a Lease asks for, or say on the Lease what is wrong."""
        try:
            spec = worker_spec(lease.register, pool)
        except RegistrationError as error:
            await self._event(lease, "RegistrationInvalid", str(error))
            return
        if not is_open:
            await self._event(
                lease,
                "RegistrationClosed",
                f"pool {pool} takes declared workers only: create FingerWorker {lease.name}, "
                "or set spec.registration: Open",
            )
            return
        await self._guarded("register", lease.name, self._create_worker(lease, spec))

    async def _create_worker(self, lease: Lease, spec: dict[str, Any]) -> None:
        body = {
            "apiVersion": FINGERWORKERS.api_version,
            "kind": FINGERWORKERS.kind,
            "metadata": {
                "name": lease.name,
                "labels": {CREATED_BY: CREATED_BY_OPERATOR},
                "finalizers": [FINALIZER],
            },
            "spec": spec,
        }
        try:
            raw = await self._api.create(FINGERWORKERS.path(self._namespace), body)
        except Invalid as error:
            # A rule of the CRD that `worker_spec` does not know: a newer CRD than this operator.
            await self._event(lease, "RegistrationInvalid", error.message)
            return
        self._fleet.put_worker(raw)
        log.info("registered", extra={"worker": lease.name, "reason": "its Lease asked for it"})

    async def _create_lease(self, worker: Worker) -> None:
        spec: dict[str, Any] = {}
        if not worker.assignment.empty or worker.status.get("incarnation"):
            # Somebody deleted the Lease of a worker that may still run: whoever acquires the new one has to see that
            # it is not the first, and to wait.
            spec = {"renewTime": self._timestamp().replace("Z", ".000000Z"), "leaseTransitions": 1}
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {
                "name": worker.name,
                "labels": {POOL_LABEL: worker.pool},
                "ownerReferences": [FINGERWORKERS.reference(worker.name, worker.uid)],
            },
            "spec": spec,
        }
        self._fleet.leases.put(await self._api.create(LEASES.path(self._namespace), body))

    async def _set_finalizer(self, worker: Worker, *, present: bool) -> None:
        path = FINGERWORKERS.path(self._namespace, worker.name)
        raw = await self._api.get(path)
        if raw["metadata"]["uid"] != worker.uid:
            return
        if not present and int(raw["metadata"]["resourceVersion"]) != worker.resource_version:
            # Decided on an older state: look again before giving up the last hold on what may still run.
            self._fleet.put_worker(raw)
            return
        patch = finalizer_patch(raw, present=present)
        stored = await self._api.merge_patch(path, patch)
        if patch["metadata"]["finalizers"]:
            self._fleet.put_worker(stored)
        else:
            self._fleet.workers.forget((self._namespace, worker.name), worker.uid)

    async def _delete_worker(self, worker: Worker) -> None:
        path = FINGERWORKERS.path(self._namespace, worker.name)
        await self._api.delete(path, uid=worker.uid, resource_version=str(worker.resource_version))
        log.info("removed", extra={"worker": worker.name, "reason": "silent for removeAfter"})

    async def _delete_lease(self, lease: Lease) -> None:
        path = LEASES.path(self._namespace, lease.name)
        await self._api.delete(path, uid=lease.uid, resource_version=str(lease.resource_version))

    async def _event(self, lease: Lease, reason: str, message: str) -> None:
        involved = LEASES.reference(lease.name, lease.uid)
        await self._recorder.record(self._namespace, involved, type="Warning", reason=reason, message=message)
        self._put_off(lease.name)

    def _due(self, name: str) -> bool:
        """Whether a try makes sense already, after one that was refused."""
        return self._clock() >= self._not_before.get(name, 0.0)

    def _put_off(self, name: str) -> None:
        now = self._clock()
        for due in [each for each, at in self._not_before.items() if at <= now]:
            del self._not_before[due]
        self._not_before[name] = now + RETRY_S

    async def _guarded(self, what: str, name: str, work: Any) -> None:
        """One try; a refusal is logged and tried again after a moment, since the loop comes by anyway."""
        if not self._term.may_write:
            work.close()
            return
        try:
            await work
        except (Conflict, NotFound):
            # Somebody else changed it: a later round sees what is there then.
            self._put_off(name)
        except KubeError as error:
            log.warning("%s of %s: %s", what, name, error)
            self._put_off(name)
        except SupersededError:
            raise
        except Exception:
            # One object that cannot be handled must not keep the others from it.
            log.exception("%s of %s", what, name)
            self._put_off(name)
