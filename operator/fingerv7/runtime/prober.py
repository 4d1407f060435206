"""Reads Leases directly after a revoke was stored, to prove that a silent or released worker runs nothing.

The order is the point (design section 4, "Takeover"): the revoking epoch is stored first, the Lease is read after
that and without a resourceVersion, so that the read is consistent. A stalled watch can then never look like a dead
worker, and a worker that comes back finds the revoke when it reads its FingerWorker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fingerv7.adapters.kube.api import KubeApi
from fingerv7.adapters.kube.errors import ApiError, ApiUnreachable, NotFound
from fingerv7.adapters.kube.objects import lease_from_json
from fingerv7.adapters.kube.resources import LEASES
from fingerv7.core.handover import NOT_PROVEN
from fingerv7.core.liveness import Observation, observe, vacated
from fingerv7.core.model import Worker
from fingerv7.runtime.fleet import Fleet

log = logging.getLogger(__name__)

TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class _Proof:
    uid: str
    epoch: int


class Prober:
    """The direct reads of one pool, and what they have proven. Times are seconds, monotonic."""

    def __init__(self, api: KubeApi, fleet: Fleet, *, namespace: str, clock: Callable[[], float]) -> None:
        self._api = api
        self._fleet = fleet
        self._namespace = namespace
        self._clock = clock
        self._proofs: dict[str, _Proof] = {}
        self._probed: dict[str, Observation] = {}
        self._next: dict[str, float] = {}

    def proven_epoch(self, worker: Worker) -> int:
        """Everything that this worker was to stop up to this epoch has stopped; NOT_PROVEN when nothing has."""
        proof = self._proofs.get(worker.name)
        return proof.epoch if proof and proof.uid == worker.uid else NOT_PROVEN

    async def probe(self, workers: Iterable[tuple[Worker, float]]) -> bool:
        """Read the Leases of workers (each with its T) that are due; whether anything new was proven."""
        now = self._clock()
        due = [(worker, t_s) for worker, t_s in workers if self._next.get(worker.name, 0.0) <= now]
        results = await asyncio.gather(*(self._probe(worker, t_s) for worker, t_s in due))
        return any(results)

    async def _probe(self, worker: Worker, t_s: float) -> bool:
        epoch = worker.assignment.epoch  # stored before the read below begins
        try:
            raw = await self._api.get(LEASES.path(self._namespace, worker.name), timeout_s=TIMEOUT_S)
            lease = lease_from_json(raw)
        except NotFound:
            raw, lease = None, None
        except (ApiError, ApiUnreachable, ValueError) as error:
            log.warning("cannot read the Lease of %s: %s", worker.name, error)
            return False
        now = self._clock()
        self._next[worker.name] = now + min(1.0, t_s / 10)
        probed = self._probed[worker.name] = observe(self._probed.get(worker.name), lease, now)
        seen = self._fleet.observation(self._namespace, worker.name)
        proof = vacated(worker, lease, seen=seen, probed=probed, t_s=t_s, now=now)
        if raw is not None and lease is not None and lease.pool:
            self._fleet.leases.put(raw)
        if not proof:
            return False
        log.info(
            proof,
            extra={
                "worker": worker.name,
                "epoch": epoch,
                "streams": len(worker.assignment.revoking),
                "reason": proof,
            },
        )
        self._proofs[worker.name] = _Proof(worker.uid, epoch)
        return True
