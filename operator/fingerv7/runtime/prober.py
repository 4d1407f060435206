"""Reads Leases directly after a revoke was stored, to prove that a silent or released worker runs nothing.

The order is the point (design section 4, "Takeover"): the revoking epoch is stored first, the Lease is read after
that and without a resourceVersion, so that the read is consistent. A stalled watch can then never look like a dead
worker, and a worker that comes back finds the revoke when it reads its FingerWorker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, TypeVar

from fingerv7.adapters.kube.errors import KubeError, NotFound
from fingerv7.adapters.kube.objects import lease_from_json
from fingerv7.adapters.kube.resources import LEASES
from fingerv7.core.handover import NOT_PROVEN
from fingerv7.core.liveness import Observation, observe, vacated
from fingerv7.core.model import Lease, Worker
from fingerv7.runtime.office import AT_ONCE, Office

log = logging.getLogger(__name__)

TIMEOUT_S = 2.0
RETRY_S = 0.25
"""After a read that was not answered or showed nothing, others come first."""

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class _Proof:
    uid: str
    epoch: int


@dataclass(frozen=True, slots=True)
class _Answer:
    lease: Lease | None
    """None: it does not exist."""


class Prober:
    """The direct reads of one pool, and what they have proven. Times are seconds, monotonic."""

    def __init__(self, office: Office, *, namespace: str) -> None:
        self._api = office.api
        self._fleet = office.fleets.of(namespace)
        self._namespace = namespace
        self._clock = office.clocks.monotonic
        self._proofs: dict[str, _Proof] = {}
        self._probed: dict[str, Observation] = {}
        self._confirmed: dict[str, Observation] = {}
        self._next: dict[str, float] = {}

    def forget_gone(self, workers: AbstractSet[str]) -> None:
        """Only workers that exist are probed: one that is made again is measured and proven anew."""
        known: tuple[dict[str, Any], ...] = (self._proofs, self._probed, self._confirmed, self._next)
        for each in known:
            for name in each.keys() - workers:
                del each[name]

    def proven_epoch(self, worker: Worker) -> int:
        """Everything that this worker was to stop up to this epoch has stopped; NOT_PROVEN when nothing has."""
        proof = self._proofs.get(worker.name)
        if proof is None or proof.uid != worker.uid or proof.epoch > worker.assignment.epoch:
            return NOT_PROVEN  # of another life, or of epochs that a restored backup has undone
        return proof.epoch

    def confirmed(self) -> frozenset[str]:
        """Workers whose Lease looks, read directly, just as the watch last showed it: it is not the watch that is
        silent. Holds until the watch shows something else.
        """
        return frozenset(
            name for name, seen in self._confirmed.items() if seen == self._fleet.observation(self._namespace, name)
        )

    async def confirm(self, workers: Iterable[Worker]) -> bool:
        """Read the Leases of silent workers before anything is taken from them; whether one was confirmed."""
        due = self._due({worker.name: worker for worker in workers})
        return any(await asyncio.gather(*(self._confirm(worker) for worker in due.values())))

    async def probe(self, workers: Iterable[tuple[Worker, float]], disbelieved: Mapping[str, int]) -> bool:
        """Read the Leases of workers (each with its T) that are due; whether anything new was proven.

        `disbelieved`: FingerWorker UID → up to which epoch its acknowledgements prove nothing.
        """
        due = self._due({worker.name: (worker, t_s) for worker, t_s in workers})
        results = await asyncio.gather(
            *(self._probe(worker, t_s, disbelieved.get(worker.uid, NOT_PROVEN)) for worker, t_s in due.values())
        )
        return any(results)

    def _due(self, asked: Mapping[str, A]) -> dict[str, A]:
        """Of thousands a portion a round, or a round would last for minutes where nothing answers."""
        now = self._clock()
        due = sorted((at, name) for name in asked if (at := self._next.get(name, 0.0)) <= now)
        return {name: asked[name] for _, name in due[:AT_ONCE]}

    async def _confirm(self, worker: Worker) -> bool:
        seen = self._fleet.observation(self._namespace, worker.name)
        self._next[worker.name] = self._clock() + RETRY_S
        answer = await self._read(worker.name)
        if answer is None:
            return False
        lease = answer.lease
        foreign = lease is not None and lease.pool != worker.pool
        if not foreign and not seen.same_heartbeat(lease):
            log.warning("the watch of Leases lags behind", extra={"worker": worker.name})
            return False
        self._confirmed[worker.name] = seen
        self._next.pop(worker.name, None)  # the read that follows the revoke waits for nothing
        return True

    async def _probe(self, worker: Worker, t_s: float, disbelieved: int) -> bool:
        epoch = worker.assignment.epoch  # stored before the read below begins
        began = self._clock()
        self._next[worker.name] = began + RETRY_S
        answer = await self._read(worker.name)
        if answer is None:
            return False
        lease, now = answer.lease, self._clock()
        self._next[worker.name] = now + min(1.0, t_s / 10)
        probed = self._probed[worker.name] = observe(self._probed.get(worker.name), lease, now)
        seen = self._fleet.observation(self._namespace, worker.name)
        # Unchanged until the read began is all that it shows: what came after that it cannot have seen.
        reason = vacated(worker, lease, seen=seen, probed=probed, t_s=t_s, now=began)
        if not reason:
            # A worker whose Lease lost its label is not seen by the watch, and may well obey.
            acknowledged = lease.acknowledged_epoch(worker) if lease else None
            if acknowledged is None or acknowledged <= disbelieved:
                return False
            reason, epoch = "acknowledged", acknowledged
        if epoch <= self.proven_epoch(worker):
            return False
        self._proofs[worker.name] = _Proof(worker.uid, epoch)
        self._next.pop(worker.name, None)  # what was revoked meanwhile waits for nothing either
        streams = sum(1 for at in worker.assignment.revoking.values() if at <= epoch)
        log.info(reason, extra={"worker": worker.name, "epoch": epoch, "streams": streams, "reason": reason})
        return True

    async def _read(self, name: str) -> _Answer | None:
        """The Lease as a consistent read shows it; None when it could not be read.

        The cache takes in the answer: a watch that lost a deletion would never show it, and nobody would make the
        Lease anew.
        """
        known = self._fleet.lease(self._namespace, name)
        try:
            raw = await self._api.get(LEASES.path(self._namespace, name), timeout_s=TIMEOUT_S)
            lease = lease_from_json(raw)
        except NotFound:
            if known:
                self._fleet.leases.forget((self._namespace, name), known.uid)
            return _Answer(None)
        except (KubeError, ValueError) as error:
            log.warning("cannot read the Lease of %s: %s", name, error)
            return None
        if lease.pool:
            self._fleet.leases.put(raw)
        return _Answer(lease)
