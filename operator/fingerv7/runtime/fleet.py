"""Every FingerWorker and worker Lease of a namespace, or of all, as two informers, sorted by pool.

Runs in every replica from its start, leader or not, so that a standby has measured silence itself when it takes
over. It decides nothing; it wakes whoever listens to a pool when something of that pool changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fingerv7.adapters.kube.api import KubeApi
from fingerv7.adapters.kube.informer import Informer, Key
from fingerv7.adapters.kube.objects import lease_from_json, worker_from_json
from fingerv7.adapters.kube.resources import FINGERWORKERS, LEASES
from fingerv7.contract import POOL_LABEL
from fingerv7.core.liveness import Observation, observe, renewed
from fingerv7.core.model import Lease, Worker

PoolKey = tuple[str, str]
"""Namespace and name of a StreamPool."""


@dataclass(slots=True)
class Members:
    """What belongs to one pool: names in the pool's namespace."""

    workers: set[str] = field(default_factory=set)
    leases: set[str] = field(default_factory=set)
    managed: set[str] = field(default_factory=set)
    """Those of the workers that the operator runs itself."""


class Fleet:
    """The informers, the observations of Leases, and an index by pool."""

    def __init__(self, api: KubeApi, *, namespace: str | None, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.namespace = namespace
        """The only one that is watched; None for all."""
        self._members: dict[PoolKey, Members] = {}
        self._observations: dict[Key, Observation] = {}
        self._listeners: dict[PoolKey, Callable[[], None]] = {}
        self._gap = 0
        self.present: int | None = None
        """The version that the watch of FingerWorkers must have reached before a term may rely on it, once known."""
        self.workers: Informer[Worker] = Informer(
            api,
            FINGERWORKERS,
            namespace=namespace,
            parse=worker_from_json,
            on_change=self._worker_changed,
            clock=clock,
        )
        self.leases: Informer[Lease] = Informer(
            api,
            LEASES,
            namespace=namespace,
            parse=lease_from_json,
            on_change=self._lease_changed,
            label_selector=POOL_LABEL,
            clock=clock,
        )

    @property
    def informers(self) -> tuple[Informer[Worker], Informer[Lease]]:
        return self.workers, self.leases

    @property
    def synced(self) -> bool:
        """Whether everything was listed once."""
        return all(informer.synced.is_set() for informer in self.informers)

    async def tried(self) -> None:
        """Until everything was listed, or could not be."""
        for informer in self.informers:
            await informer.tried.wait()

    async def catch_up(self) -> None:
        """A term begins: find out up to where the watch has to get to show all that is true now. Raises KubeError."""
        self.present = await self.workers.expect_present()

    @property
    def caught_up(self) -> bool:
        """Whether everybody is known who existed when the term began."""
        return self.synced and self.present is not None and self.workers.version >= self.present

    def listen(self, pool: PoolKey, wake: Callable[[], None]) -> None:
        self._listeners[pool] = wake

    def unlisten(self, pool: PoolKey) -> None:
        self._listeners.pop(pool, None)

    def pools(self) -> frozenset[PoolKey]:
        """Every pool that a FingerWorker refers to, whether it exists or not."""
        return frozenset(key for key, members in self._members.items() if members.workers)

    def workers_of(self, pool: PoolKey) -> dict[str, Worker]:
        """The pool's FingerWorkers by name."""
        namespace, _ = pool
        members = self._members.get(pool, Members())
        found = ((name, self.workers.store.get((namespace, name))) for name in sorted(members.workers))
        return {name: worker for name, worker in found if worker}

    def managed_of(self, pool: PoolKey) -> frozenset[str]:
        """Names of the pool's FingerWorkers that the operator runs itself."""
        members = self._members.get(pool)
        return frozenset(members.managed) if members else frozenset()

    def leases_of(self, pool: PoolKey) -> dict[str, Lease]:
        """Every Lease that carries the pool's label, by name."""
        namespace, _ = pool
        members = self._members.get(pool, Members())
        found = ((name, self.leases.store.get((namespace, name))) for name in sorted(members.leases))
        return {name: lease for name, lease in found if lease}

    def lease(self, namespace: str, name: str) -> Lease | None:
        return self.leases.store.get((namespace, name))

    def observation(self, namespace: str, name: str) -> Observation:
        """What was seen of a worker's Lease, and since when."""
        self._notice_gap()
        key = (namespace, name)
        known = self._observations.get(key)
        if known is None:
            known = observe(None, self.leases.store.get(key), self._clock())
            if self._exists(key):
                self._observations[key] = known
        return known

    def give_everybody_a_fresh_start(self) -> None:
        """Silence is measured anew: while we could not listen, nobody could be heard."""
        now = self._clock()
        self._observations = {key: renewed(seen, now) for key, seen in self._observations.items()}

    def highest_leader_epoch(self) -> int:
        return max((worker.assignment.leader_epoch for worker in self.workers.store.values()), default=0)

    def put_worker(self, raw: dict[str, Any]) -> Worker:
        """The response of an accepted write or of a direct read."""
        return self.workers.put(raw)

    def _notice_gap(self) -> None:
        if self.leases.gap != self._gap:
            self._gap = self.leases.gap
            self.give_everybody_a_fresh_start()

    def _worker_changed(self, key: Key, old: Worker | None, new: Worker | None) -> None:
        namespace, name = key
        for worker, present in ((old, False), (new, True)):
            if worker:
                members = self._members.setdefault((namespace, worker.pool), Members())
                (members.workers.add if present else members.workers.discard)(name)
                (members.managed.add if present and worker.managed else members.managed.discard)(name)
        self._tidy(key, {worker.pool for worker in (old, new) if worker})
        if _decides_something(old, new):
            self._wake(namespace, {worker.pool for worker in (old, new) if worker})

    def _lease_changed(self, key: Key, old: Lease | None, new: Lease | None) -> None:
        self._notice_gap()
        namespace, name = key
        self._observations[key] = observe(self._observations.get(key), new, self._clock())
        pools = set()
        for lease, present in ((old, False), (new, True)):
            if lease:
                members = self._members.setdefault((namespace, lease.pool), Members())
                (members.leases.add if present else members.leases.discard)(name)
                pools.add(lease.pool)
        self._tidy(key, pools)
        worker = self.workers.store.get(key)
        if worker:
            pools.add(worker.pool)
        if _worth_a_round(old, new):
            self._wake(namespace, pools)

    def _exists(self, key: Key) -> bool:
        return key in self.workers.store or key in self.leases.store

    def _tidy(self, key: Key, pools: set[str]) -> None:
        """Forget what has neither a FingerWorker nor a Lease; of a deleted Lease alone the silence still counts."""
        if not self._exists(key):
            self._observations.pop(key, None)
        for pool in pools:
            members = self._members.get((key[0], pool))
            if members and not members.workers and not members.leases:
                del self._members[key[0], pool]

    def _wake(self, namespace: str, pools: set[str]) -> None:
        for pool in pools:
            wake = self._listeners.get((namespace, pool))
            if wake:
                wake()


def _decides_something(old: Worker | None, new: Worker | None) -> bool:
    """A status that only shows something, as we write thousands of them, must not cost a round each."""
    if old is None or new is None:
        return True
    return old != replace(new, resource_version=old.resource_version, status=old.status)


def _worth_a_round(old: Lease | None, new: Lease | None) -> bool:
    """A mere renewal changes no decision; thousands of them a second must not cost a round each."""
    if old is None or new is None:
        return True
    return (old.uid, old.holder, old.pool, old.applied, old.released, old.drain, old.register) != (
        new.uid,
        new.holder,
        new.pool,
        new.applied,
        new.released,
        new.drain,
        new.register,
    )
