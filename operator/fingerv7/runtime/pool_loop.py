"""The loop of one pool: gather, decide, publish, show; again until nothing changes, then wait to be woken.

One loop a pool, so that one slow or broken pool never delays another. It is level-triggered: whatever wakes it, it
looks at the whole truth, and without being woken it does so every second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from fingerv7.adapters.kube.api import KubeApi
from fingerv7.adapters.kube.events import EventRecorder
from fingerv7.adapters.postgres.source import SourceState
from fingerv7.api.streampool import Registration, StreamPool
from fingerv7.contract import CONFIRM_SOURCE
from fingerv7.core import brake
from fingerv7.core.catalog import Snapshot
from fingerv7.core.model import Stream
from fingerv7.core.planner import Policy
from fingerv7.core.rounds import Decision, Memory, Rules, World, decide, held_catalog
from fingerv7.core.takeover import MassFailure
from fingerv7.runtime.clocks import Clocks
from fingerv7.runtime.fleet import Fleet, PoolKey
from fingerv7.runtime.prober import Prober
from fingerv7.runtime.publisher import Publisher
from fingerv7.runtime.registrar import Registrar
from fingerv7.runtime.reporter import Reporter
from fingerv7.runtime.term import SupersededError, Term

log = logging.getLogger(__name__)

RESYNC_S = 0.5
"""The longest time without a look at the whole truth, which is also how late a status is shown at most."""
TICK_S = 0.25
"""How soon a silent worker's deadline is looked at again."""
ERROR_PAUSE_S = 1.0
AT_ONCE = 50
"""Writes besides assignments in one round, so that they never keep a takeover waiting for long."""


class PoolLoop:
    """One pool in one term of leadership."""

    def __init__(
        self,
        key: PoolKey,
        pool: StreamPool,
        *,
        api: KubeApi,
        fleet: Fleet,
        term: Term,
        recorder: EventRecorder,
        clocks: Clocks,
    ) -> None:
        self.key = key
        self.pool = pool
        namespace, _ = key
        self._api = api
        self._fleet = fleet
        self._term = term
        self._clocks = clocks
        self._memory = Memory()
        self._publisher = Publisher(api, fleet, term, namespace=namespace)
        self._prober = Prober(api, fleet, namespace=namespace, clock=clocks.monotonic)
        self._registrar = Registrar(api, fleet, term, recorder, namespace=namespace, clock=clocks.monotonic)
        self._reporter = Reporter(api, self._publisher, term, recorder, key=key, clocks=clocks)
        self._wake = asyncio.Event()
        self._barrier_passed = False
        self._source_state: SourceState | None = None
        self._snapshot: Snapshot | None = None
        self._brake_state = brake.BrakeState()
        self._verdict: brake.Verdict | None = None
        self.finished = asyncio.Event()
        """Set when the pool is being deleted and nothing is held any more."""

    # --- what the outside tells ---------------------------------------------------------------------------

    def update(self, pool: StreamPool) -> None:
        """A newer state of the StreamPool."""
        self.pool = pool
        self._judge_source(counts=False)
        self.wake()

    def took_snapshot(self, snapshot: Snapshot, counts: bool) -> None:
        self._snapshot = snapshot
        self._judge_source(counts=counts)
        self.wake()

    def source_changed(self, state: SourceState) -> None:
        self._source_state = state
        self.wake()

    def wake(self) -> None:
        self._wake.set()

    # --- the loop -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Raises SupersededError when a newer leader was seen."""
        self._fleet.listen(self.key, self.wake)
        try:
            while True:
                self._wake.clear()
                try:
                    patience_s = await self._round()
                except SupersededError:
                    raise
                except Exception:
                    # A defect in one round must not end the others: the next one looks at the whole truth again.
                    log.exception("a round of pool %s/%s failed", *self.key)
                    await asyncio.sleep(ERROR_PAUSE_S)
                    continue
                if patience_s:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(patience_s):
                            await self._wake.wait()
        finally:
            self._fleet.unlisten(self.key)
            await self._publisher.stop()

    async def _round(self) -> float:
        """One round; for how many seconds at most to wait for news before the next."""
        world = self._gather()
        if not self._barrier_passed:
            self._barrier_passed = self._barrier(world)
            self._judge_source(counts=True)
            world = self._gather()
        now = self._clocks.monotonic()
        decision = decide(world, self._memory, now=now, next_token=self._term.next_token)
        for name in sorted(decision.newly_taken):
            log.warning("takeover", extra={"worker": name, "reason": decision.standings[name].message})
        accepted = await self._publisher.publish(
            decision.writes, world.workers, self._reporter.with_assignment(world.rules.timing)
        )
        now = self._clocks.monotonic()
        for write in accepted:
            self._memory.accepted(write, now)
        if decision.balances and accepted:
            self._memory.last_balance = now
        if accepted:
            self._reporter.moved(decision)
        proven = await self._prober.probe(decision.to_probe)
        await self._tend(world, decision)
        if not accepted and not proven:
            # Shown when the round has settled: a status in between would be rewritten within milliseconds.
            await self._show(world, decision)
        return 0.0 if accepted or proven else self._patience(world, decision)

    def _barrier(self, world: World) -> bool:
        """Whether no older leader can write any more and every worker is known (design section 4, "Leaders").

        The term began with a consistent list. Once every worker carries this leader's epoch and the watch has passed
        the last of these writes, nothing unstamped can have been created before them.
        """
        stamped = all(worker.assignment.leader_epoch == self._term.leader_epoch for worker in world.workers.values())
        return stamped and self._fleet.workers.version >= self._publisher.last_stamp

    def _gather(self) -> World:
        namespace, _ = self.key
        workers = self._fleet.workers_of(self.key)
        leases = dict(self._fleet.leases_of(self.key))
        for name in workers:
            lease = self._fleet.lease(namespace, name)
            if lease:
                leases[name] = lease
        unknown = {
            name: attempt for name, w in workers.items() if (attempt := self._publisher.unknown(w)) is not None
        }
        return World(
            workers=workers,
            leases=leases,
            observations={name: self._fleet.observation(namespace, name) for name in {*workers, *leases}},
            unknown=unknown,
            proven={name: self._prober.proven_epoch(worker) for name, worker in workers.items()},
            catalog=self._catalog(),
            rules=self._rules(),
            leader_epoch=self._term.leader_epoch,
            barrier_passed=self._barrier_passed,
        )

    def _catalog(self) -> Mapping[str, Stream] | None:
        return self._verdict.catalog if self._verdict else None

    def _judge_source(self, *, counts: bool) -> None:
        """What of the newest snapshot is in force. While the pool is paused, nothing of it is."""
        if self._snapshot is None or self.pool.spec.paused or not self._barrier_passed:
            return
        source = self.pool.spec.source.postgres
        verdict = brake.judge(
            self._snapshot,
            held=held_catalog(self._fleet.workers_of(self.key).values()),
            held_identity=self.pool.status.source_identity or "",
            max_shrink_percent=source.max_shrink_percent,
            confirmations=source.shrink_confirmations,
            confirmed=self.pool.metadata.annotations.get(CONFIRM_SOURCE, ""),
            state=self._brake_state,
            previous=self._verdict.catalog if self._verdict else {},
            counts=counts,
        )
        self._brake_state = verdict.state
        self._verdict = verdict

    def _rules(self) -> Rules:
        spec = self.pool.spec
        balancing, liveness = spec.balancing, spec.liveness
        return Rules(
            timing=liveness.timing(),
            warning_after_ms=liveness.warning_after_ms,
            mass_failure=MassFailure(
                liveness.mass_failure.threshold_percent, liveness.mass_failure.max_hold_ms / 1000
            ),
            policy=Policy(
                imbalance_threshold_percent=balancing.imbalance_threshold_percent,
                max_stream_difference=balancing.max_stream_difference,
                max_moves_per_round_percent=balancing.max_moves_per_round_percent,
            ),
            cooldown_s=balancing.cooldown_ms / 1000,
            drain_timeout_s=spec.drain_timeout_ms / 1000,
            paused=spec.paused,
            deleting=self.pool.metadata.deletion_timestamp is not None,
        )

    async def _tend(self, world: World, decision: Decision) -> None:
        """Leases, finalizers, registrations and removals; of thousands of new workers, a portion a round."""
        spec, now = self.pool.spec, self._clocks.monotonic()
        work: list[Coroutine[Any, Any, None]] = []
        for name, worker in world.workers.items():
            empty = worker.assignment.empty and name not in world.unknown
            expired = decision.health[name].silent_s * 1000 >= spec.liveness.remove_after_ms
            if not worker.deleting and (not worker.finalizer or name not in world.leases):
                work.append(self._registrar.prepare(worker, world.leases.get(name)))
            elif worker.deleting and worker.finalizer and empty:
                work.append(self._registrar.let_go(worker))
            elif worker.created_by_operator and decision.standings[name].stop and expired and empty:
                work.append(self._registrar.remove(worker))
        for name, lease in world.leases.items():
            if name in world.workers or lease.pool != self.key[1]:
                continue
            if (now - world.observations[name].since) * 1000 >= spec.liveness.remove_after_ms:
                work.append(self._registrar.forget(lease))
            elif lease.register and lease.holder:
                is_open = spec.registration is Registration.OPEN
                work.append(self._registrar.register(lease, self.key[1], is_open=is_open))
        for coroutine in work[AT_ONCE:]:
            coroutine.close()
        await asyncio.gather(*work[:AT_ONCE])
        empty_pool = all(worker.assignment.empty for worker in world.workers.values()) and not world.unknown
        if world.rules.deleting and empty_pool and world.barrier_passed:
            self.finished.set()

    async def _show(self, world: World, decision: Decision) -> None:
        await self._reporter.show(
            self.pool,
            world,
            decision,
            memory=self._memory,
            verdict=self._verdict,
            snapshot=self._snapshot,
            source_state=self._source_state,
        )

    def _patience(self, world: World, decision: Decision) -> float:
        """Seconds until a look is due even when nothing happens."""
        if not world.barrier_passed or world.unknown or decision.to_probe or decision.unassigned:
            return TICK_S
        left = (decision.facts[name].takeover_s - each.silent_s for name, each in decision.health.items())
        return min((seconds for seconds in left if 0 < seconds < RESYNC_S), default=RESYNC_S)
