"""The loop of one pool: gather, decide, publish, show; again until nothing changes, then wait to be woken.

One loop a pool, so that one slow or broken pool never delays another. It is level-triggered: whatever wakes it, it
looks at the whole truth, and without being woken it does so every `RESYNC_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
from collections.abc import Mapping
from dataclasses import replace

from fingerv7.adapters.kube.lane import Lane
from fingerv7.adapters.postgres.source import SourceState
from fingerv7.api.streampool import StreamPool
from fingerv7.core.catalog import Snapshot
from fingerv7.core.managed.report import Report, as_stored
from fingerv7.core.model import Stream
from fingerv7.core.planner.model import BALANCING
from fingerv7.core.rounds import Decision, Memory, World, decide, held_catalog
from fingerv7.runtime.catalog import PoolCatalog
from fingerv7.runtime.clocks import Clocks
from fingerv7.runtime.consent import Consent
from fingerv7.runtime.fleet import PoolKey
from fingerv7.runtime.office import Office
from fingerv7.runtime.overrides import Overrides
from fingerv7.runtime.prober import Prober
from fingerv7.runtime.publisher import Publisher
from fingerv7.runtime.registrar import Registrar
from fingerv7.runtime.reporter import Reporter
from fingerv7.runtime.rules import rules_of
from fingerv7.runtime.term import SupersededError

log = logging.getLogger(__name__)

RESYNC_S = 0.5
"""The longest time without a look at the whole truth, which is also how late a status is shown at most."""
TICK_S = 0.25
"""How soon a silent worker's deadline is looked at again."""
SELDOM = 4
"""A round of a large pool is repeated after so many times its own length where nothing asks for one before."""
LEAST_WAIT_S = 0.001
ERROR_PAUSE_S = 1.0
READS, WRITES = 4, 12
"""How many requests of one pool are under way at most."""
LARGE = 1_000
"""A round of more streams is decided in a thread: without room for all, two thousand may take a third of a second."""


def _remembered(pool: StreamPool, clocks: Clocks, consent: Consent) -> Memory:
    """A cooldown that began under another leader goes on, and so do rotation and a proposal."""
    memory, last, rotated = Memory(), pool.status.last_rebalance, pool.status.rotated_through
    balanced = (last.balanced_time or (last.time if last.reason in BALANCING else None)) if last else None
    if balanced:
        memory.last_balance = clocks.monotonic() - max(0.0, clocks.since(balanced))
    if rotated and (ago_s := clocks.since(rotated)) != math.inf:
        memory.rota.through_s = clocks.wall() - ago_s
    memory.proposed = consent.shows_proposal
    return memory


class PoolLoop:
    """One pool in one term of leadership."""

    def __init__(self, key: PoolKey, pool: StreamPool, office: Office) -> None:
        self.key = key
        self.pool = pool
        namespace, _ = key
        self._fleet = office.fleets.of(namespace)
        self._term = office.term
        self._clocks = office.clocks
        self._metrics = office.metrics
        self._consent = Consent(pool)
        self._overrides = Overrides(pool)
        self._memory = _remembered(pool, office.clocks, self._consent)
        """Touched by rounds only, of which there is one at a time: a round may be decided in a thread."""
        self._rules = rules_of(pool)
        # Its requests wait for each other, never another pool's for them.
        self._lane = Lane(office.api, reads=READS, writes=WRITES, clock=office.clocks.monotonic)
        office = replace(office, api=self._lane)
        self._publisher = Publisher(office, namespace=namespace)
        self._prober = Prober(office, namespace=namespace)
        self._registrar = Registrar(office, namespace=namespace)
        self._reporter = Reporter(office, self._publisher, key=key)
        self._wake = asyncio.Event()
        self._round_began_s = office.clocks.monotonic()
        self._barrier_passed = False
        self._catalog = PoolCatalog(pool)
        self._chores: asyncio.Task[None] | None = None
        self._chores_began_s = 0.0
        self._decided_s = 0.0
        """How long the last decision took."""
        self._acknowledged: dict[str, int] = {}
        """FingerWorker UID → the epoch whose acknowledgement was told last."""
        self.served: tuple[Mapping[str, Stream], frozenset[str]] | None = None
        """What the last round wanted to be processed, and ids that nobody may have; None while that is unknown."""
        self.fleet_report: Report = as_stored(pool.status)
        """What is to be shown of the workers that the pool manages: written by the crew, whenever it likes."""
        self.finished = asyncio.Event()
        """Set when the pool is being deleted and nothing is held any more."""

    # --- what the outside tells ---------------------------------------------------------------------------

    def update(self, pool: StreamPool) -> None:
        """A newer state of the StreamPool."""
        self.pool = pool
        self._rules = rules_of(pool)
        self._consent.look(pool)
        self._overrides.look(pool)
        self._judge_source(counts=False)
        self.wake()

    def took_snapshot(self, snapshot: Snapshot, counts: bool) -> None:
        self._catalog.snapshot = snapshot
        self._judge_source(counts=counts)
        self.wake()

    def source_changed(self, state: SourceState) -> None:
        self._catalog.state = state
        self.wake()

    def wake(self) -> None:
        self._wake.set()

    def idle_s(self) -> float:
        """How long ago the last round began, or chores that are not done: what hangs or has died grows old here.

        Not so what waits for its turn: where every request hangs until it times out, a thousand of them take long.
        """
        now = self._clocks.monotonic()
        chores_s = now - self._chores_began_s if self._chores and not self._chores.done() else 0.0
        idle_s = max(now - self._round_began_s, chores_s)
        return min(idle_s, self._lane.idle_s()) if self._lane.is_full else idle_s

    # --- the loop -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Raises SupersededError when a newer leader was seen."""
        self._fleet.listen(self.key, self.wake)
        try:
            while True:
                self._wake.clear()
                self._round_began_s = self._clocks.monotonic()
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
                    # What the next look costs leaves room for everything else that this process does.
                    await asyncio.sleep(min(self._decided_s, TICK_S))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(patience_s):
                            await self._wake.wait()
        finally:
            self._fleet.unlisten(self.key)
            if self._chores:
                self._chores.cancel()
                await asyncio.gather(self._chores, return_exceptions=True)
            await self._publisher.stop()

    async def _round(self) -> float:
        """One round; for how many seconds at most to wait for news before the next."""
        if not self._fleet.synced:
            return TICK_S  # a Lease without a worker, or a worker without one, may only look so
        world = self._gather()
        if not self._barrier_passed:
            self._barrier_passed = self._barrier(world)
            self._judge_source(counts=True)
            world = self._gather()
        self._prober.forget_gone(world.workers.keys())
        self._publisher.forget_gone()
        decision = await self._decide(world)
        self._tell(world, decision)
        if world.catalog is not None and world.barrier_passed:
            self.served = decision.catalog, world.rules.policy.excluded_streams
        accepted = await self._publisher.publish(
            decision.writes, world.workers, self._reporter.with_assignment(world.rules.timing)
        )
        now = self._clocks.monotonic()
        for write in accepted:
            self._memory.accepted(write, now)
            if worker := world.workers.get(write.worker):
                await self._reporter.double_held(worker, write)
        complete = len(accepted) >= len(decision.writes)
        if decision.balances and complete:
            # Otherwise some of the moves were not begun: the next round asks for them again.
            moved = [move.stream for move in decision.plan.moves]
            self._memory.balanced(world.workers, moved, world.rules, now)
        if accepted:
            self._reporter.moved(self.pool, decision)
        self._consent.decided(decision, world.asked, complete=complete, timestamp=self._clocks.timestamp())
        self._overrides.decided(decision, world.overrides)
        confirmed = await self._prober.confirm(world.workers[name] for name in decision.to_confirm)
        proven = await self._prober.probe(decision.to_probe, decision.disbelieved)
        moving = bool(accepted) or confirmed or proven
        self._do_chores(world, decision, moving=moving)
        return 0.0 if moving else self._patience(world, decision)

    async def _decide(self, world: World) -> Decision:
        """The decision, beside the event loop where it may take long. Everything that it reads is the world's own."""
        now = self._clocks.monotonic()
        work = functools.partial(decide, world, self._memory, now=now, next_token=self._term.next_token)
        held = sum(len(worker.assignment.grants) for worker in world.workers.values())
        is_large = max(held, len(world.catalog or ())) > LARGE
        decision = await asyncio.to_thread(work) if is_large else work()
        self._decided_s = self._clocks.monotonic() - now
        self._metrics.decided(self.key, self._decided_s)
        return decision

    def _do_chores(self, world: World, decision: Decision, *, moving: bool) -> None:
        """Everything that no stream waits for, beside the rounds, so that none of it ever delays one."""
        if self._chores is not None and self._chores.done():
            finished, self._chores = self._chores, None
            finished.result()
        if self._chores is None:
            self._chores_began_s = self._clocks.monotonic()
            self._chores = asyncio.create_task(self._chore(world, decision, moving=moving))

    async def _chore(self, world: World, decision: Decision, *, moving: bool) -> None:
        await self._registrar.tend(self.pool, world, decision)
        empty = all(worker.assignment.empty for worker in world.workers.values()) and not world.unknown
        if world.rules.deleting and empty and world.barrier_passed:
            self.finished.set()
        if not moving:
            # Shown when the round has settled: a status in between would be rewritten within milliseconds.
            users = (self._consent, self._overrides)
            await self._reporter.show(
                self.pool, world, decision, users=users, catalog=self._catalog, fleet=self.fleet_report
            )

    def _tell(self, world: World, decision: Decision) -> None:
        """The log lines that no write of ours tells: takeovers, and acknowledgements by the workers."""
        for name in sorted(decision.newly_taken):
            assignment = world.workers[name].assignment
            self._metrics.took_over(self.key)
            log.warning(
                "takeover",
                extra={
                    "worker": name,
                    "epoch": assignment.epoch,
                    "streams": len(assignment.grants),
                    "reason": decision.standings[name].message,
                },
            )
        for gone in self._acknowledged.keys() - {worker.uid for worker in world.workers.values()}:
            del self._acknowledged[gone]
        for name, worker in world.workers.items():
            lease = world.leases.get(name)
            epoch = lease.acknowledged_epoch(worker) if lease else None
            if epoch is not None and epoch != self._acknowledged.get(worker.uid):
                self._acknowledged[worker.uid] = epoch
                log.info(
                    "acknowledged", extra={"worker": name, "epoch": epoch, "incarnation": lease and lease.holder}
                )

    def _barrier(self, world: World) -> bool:
        """Whether no older leader can write any more and every worker is known (design section 4, "Leaders").

        The term began by asking for the present version: once the watch has reached it, every worker is known that
        existed then. Once all carry this leader's epoch and the watch has passed the last of these writes, nothing
        unstamped can have been created before them.
        """
        stamped = all(worker.assignment.leader_epoch == self._term.leader_epoch for worker in world.workers.values())
        seen_stamps = self._fleet.workers.version >= self._publisher.last_stamp
        return stamped and not world.unreadable and self._fleet.caught_up and seen_stamps

    def _gather(self) -> World:
        namespace, _ = self.key
        workers = self._fleet.workers_of(self.key)
        leases = dict(self._fleet.leases_of(self.key))
        for name in workers:
            lease = self._fleet.lease(namespace, name)
            if lease:
                leases[name] = lease
        for worker in workers.values():
            self._term.check(worker)
        unknown = {
            name: attempt for name, w in workers.items() if (attempt := self._publisher.unknown(w)) is not None
        }
        return World(
            workers=workers,
            leases=leases,
            observations={name: self._fleet.observation(namespace, name) for name in {*workers, *leases}},
            unknown=unknown,
            proven={name: self._prober.proven_epoch(worker) for name, worker in workers.items()},
            catalog=self._catalog.in_force,
            rules=self._rules,
            asked=self._consent.asked,
            overrides=self._overrides.asked,
            wall_s=self._clocks.wall(),
            leader_epoch=self._term.leader_epoch,
            barrier_passed=self._barrier_passed,
            confirmed=self._prober.confirmed(),
            watch_silent=self._watch_is_silent(),
            unreadable=frozenset(name for (where, name) in self._fleet.workers.unparsed if where == namespace),
        )

    def _watch_is_silent(self) -> bool:
        """Where anybody lives, renewals or bookmarks come more often than that."""
        heard, takeover_s = self._fleet.leases.last_contact, self._rules.timing.takeover_after_ms / 1000
        return heard is not None and self._clocks.monotonic() - heard > takeover_s / 2

    def _judge_source(self, *, counts: bool) -> None:
        if self._barrier_passed:
            self._catalog.judge(self.pool, held_catalog(self._fleet.workers_of(self.key).values()), counts=counts)

    def _patience(self, world: World, decision: Decision) -> float:
        """Seconds until a look is due even when nothing happens."""
        waiting = any(reason == "HandoverPending" for _, reason in decision.unassigned)
        if not world.barrier_passed or world.unknown or decision.to_probe or decision.to_confirm or waiting:
            return TICK_S
        resync_s = min(max(RESYNC_S, SELDOM * self._decided_s), 4 * RESYNC_S)
        left = (decision.facts[name].takeover_s - each.silent_s for name, each in decision.health.items())
        # Less than a clock can tell apart is left again after the wait.
        return max(LEAST_WAIT_S, min((seconds for seconds in left if 0 < seconds < resync_s), default=resync_s))
