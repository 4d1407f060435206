"""Shows how the managed workers of a pool are: in the pool's status, as Events of what is new, and as metrics.

The status itself is the streams' loop's to write, so that each object has one writer.
"""

from __future__ import annotations

import logging

from fingerv7.adapters.kube.resources import STREAMPOOLS
from fingerv7.api.conditions import WorkersReady as Reason
from fingerv7.api.streampool import StreamPool
from fingerv7.core.managed.report import HARMLESS, NOTHING, Report
from fingerv7.core.managed.round import Plan
from fingerv7.runtime.fleet import PoolKey
from fingerv7.runtime.office import Office
from fingerv7.runtime.pool_loop import PoolLoop

log = logging.getLogger(__name__)

RETELL_S = 60.0


class CrewReporter:
    """Of one pool in one term."""

    def __init__(self, key: PoolKey, office: Office, loop: PoolLoop) -> None:
        self._key = key
        self._loop = loop
        self._recorder = office.recorder
        self._metrics = office.metrics
        self._clock = office.clocks.monotonic
        self._told: dict[Reason, tuple[float, str]] = {}
        self._shown: Reason | None = None

    def measure(self, seen: Report, plan: Plan) -> None:
        fields = seen.fields
        if seen is NOTHING:
            self._metrics.forget_fleet(self._key)
            return
        self._metrics.fleet(
            self._key,
            replicas=fields["replicas"],
            desired_replicas=fields["desiredReplicas"],
            ready_replicas=fields["readyReplicas"],
            updated_replicas=fields["updatedReplicas"],
            needed_replicas=plan.needed,
            rollout_stopped=bool(plan.rollout.late),
        )

    async def tell(self, pool: StreamPool, seen: Report) -> None:
        """Into the pool's status, and what is new as an Event."""
        self._loop.fleet_report = seen
        involved = STREAMPOOLS.reference(self._key[1], pool.metadata.uid)
        record, now = self._recorder.record, self._clock()
        for gone in self._told.keys() - {reason for reason, _ in seen.troubles}:
            if now - self._told[gone][0] >= RETELL_S:  # what comes and goes is not told each time
                del self._told[gone]
        for reason, message in seen.troubles:
            told = self._told.get(reason)
            if told is None or (told[1] != message and now - told[0] >= RETELL_S):
                self._told[reason] = now, message
                log.warning(str(reason), extra={"pool": self._key[1], "reason": message})
                await record(self._key[0], involved, type="Warning", reason=reason, message=message)
        condition = seen.condition
        reason_now = Reason(condition.reason) if condition else None
        if condition and reason_now in HARMLESS and reason_now is not self._shown:
            await record(self._key[0], involved, type="Normal", reason=condition.reason, message=condition.message)
        self._shown = reason_now

    def forget(self) -> None:
        """There is no fleet, or none any more."""
        if self._loop.fleet_report is not NOTHING:
            self._loop.fleet_report = NOTHING
            self._told.clear()
            self._shown = None
            self._metrics.forget_fleet(self._key)
