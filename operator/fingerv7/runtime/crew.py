"""The loop of one pool's managed workers: gather, decide, carry out, report.

Apart from the streams' loop: the two meet in the FingerWorkers only, have lanes of their own to the API server, and
neither waits for the other. A pool without managed workers costs a glance every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace

from fingerv7.adapters.kube.errors import ApiUnreachable, KubeError, TooManyRequests
from fingerv7.adapters.kube.lane import Lane
from fingerv7.api.conditions import WorkersReady as Reason
from fingerv7.api.streampool import StreamPool
from fingerv7.core.managed.model import (
    MAX_ORDINAL,
    CreateWorker,
    MakePod,
    Member,
    Problem,
    Step,
    Traits,
    Wanted,
    is_ready,
    ordinal_of,
    worker_name,
)
from fingerv7.core.managed.report import report
from fingerv7.core.managed.rollout import Rollout
from fingerv7.core.managed.round import Crew, Memory, Plan, decide
from fingerv7.runtime.crew_demand import DemandCount
from fingerv7.runtime.crew_recipe import CrewRecipe
from fingerv7.runtime.crew_reporter import CrewReporter
from fingerv7.runtime.crew_writer import CrewWriter, name_of
from fingerv7.runtime.fleet import PoolKey
from fingerv7.runtime.mounts import Mounts
from fingerv7.runtime.office import AT_ONCE, Office
from fingerv7.runtime.pod_watch import PodWatch
from fingerv7.runtime.pool_loop import PoolLoop
from fingerv7.runtime.rules import wanted_of

log = logging.getLogger(__name__)

READS, WRITES = 2, 8
"""How many requests of one fleet are under way at most."""
BUSY_S, CALM_S = 0.5, 3.0
"""How soon the whole truth is looked at again."""
APART_S = 0.1
SELDOM = 10
"""A round is followed by a pause of at least so many times its own length."""
LARGE = 300
"""Rounds of more workers are decided in a thread."""
BUDGET_S = 60.0
"""How often it is looked at without need."""
RETRY_S = 1.0
HINDERED_S = 10.0
"""After a refusal that will be the same in a moment."""
ERROR_PAUSE_S = 5.0


class CrewLoop:
    """One pool's managed workers in one term of leadership."""

    def __init__(self, key: PoolKey, loop: PoolLoop, office: Office, pods: PodWatch) -> None:
        self._key = key
        self._loop = loop
        self._office = office
        self._fleet = office.fleets.of(key[0])
        self._pods = pods
        self._clock = office.clocks.monotonic
        self._lane = Lane(office.api, reads=READS, writes=WRITES, clock=self._clock)
        self._writer = CrewWriter(replace(office, api=self._lane), pods, key=key, pool_uid=loop.pool.metadata.uid)
        self._recipe = CrewRecipe(key, office, self._writer)
        self._demand = DemandCount(loop)
        self._reporter = CrewReporter(key, office, loop)
        self._mounts = Mounts(self._lane, key[0], self._clock)
        self._memory = Memory()
        self._wake = asyncio.Event()
        self._looked_at_s = self._clock()
        self._decided_s = 0.0
        """How long the last decision took."""
        self._put_off: dict[str, float] = {}
        """By worker, until when."""
        self._budget: tuple[int | None, float] | None = None
        self.finished = asyncio.Event()
        """Set when the pool is being deleted and none of its managed workers is left."""

    def wake(self) -> None:
        self._wake.set()

    def idle_s(self) -> float:
        """How long ago a round, or a request of one, last began or ended: where many of them hang until they time
        out, a round takes minutes.
        """
        return min(self._clock() - self._looked_at_s, self._lane.idle_s())

    async def run(self) -> None:
        """Until cancelled."""
        self._pods.listen(self._key, self.wake)
        try:
            while True:
                self._wake.clear()
                self._looked_at_s = self._clock()
                try:
                    patience_s = await self._round()
                except Exception:
                    # A defect in one round must not end the others: the next one looks at the whole truth again.
                    log.exception("a round of the workers of %s/%s failed", *self._key)
                    patience_s = ERROR_PAUSE_S
                await asyncio.sleep(max(APART_S, min(ERROR_PAUSE_S, SELDOM * self._decided_s)))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(patience_s):
                        await self._wake.wait()
        finally:
            self._pods.unlisten(self._key)

    async def _round(self) -> float:
        """One round; for how many seconds at most to wait for news before the next."""
        pool, fleet = self._loop.pool, self._fleet
        if not fleet.caught_up:
            return BUSY_S  # not every worker is known yet
        if pool.spec.workers is None and not fleet.managed_of(self._key):
            await self._rest(pool)
            return CALM_S
        self._pods.start()
        self._recipe.work_out(pool)
        if not self._pods.synced:
            await self._report_blindness(pool)
            # A pool that is to go needs no pods: without their FingerWorkers the garbage collector takes them.
            if not (self._is_forbidden and pool.metadata.deletion_timestamp):
                return BUSY_S
        began = self._clock()
        crew = self._gather(pool)
        try:
            if await self._recipe.is_refused(crew):
                crew = self._gather(pool)
        except (ApiUnreachable, TooManyRequests) as error:
            log.warning("a pod of %s/%s cannot be tried out: %s", *self._key, error)
            return BUSY_S
        scaling = crew.wanted and crew.wanted.scaling
        is_large = len(crew.members) > LARGE or bool(scaling and self._demand.takes_long(scaling))
        plan = await asyncio.to_thread(self._decide, crew) if is_large else self._decide(crew)
        self._decided_s = self._clock() - began
        self._writer.forget_gone(
            {m.name for m in crew.members} | {worker_name(crew.pool, n) for n in range(1, plan.desired + 1)},
            {m.worker.uid for m in crew.members},
        )
        self._writer.forget_needless(plan.steps)
        seen = report(crew, plan)
        self._reporter.measure(seen, plan)
        await self._reporter.tell(pool, seen)
        done = await self._carry_out(plan)
        await self._keep_budget(plan.min_available)
        await self._mounts.look(crew.members, crew.wall_s)
        if crew.deleting and plan.finished:
            self.finished.set()
        calm = not plan.steps and not plan.rollout.under_way and not plan.leaving and not plan.problems
        settled = calm and all(m.in_service for m in crew.members)
        return 0.0 if done else CALM_S if settled else BUSY_S

    def _decide(self, crew: Crew) -> Plan:
        if crew.wanted and crew.wanted.scaling:
            crew = replace(crew, demand=self._demand.count())
        return decide(crew, self._memory)

    async def _rest(self, pool: StreamPool) -> None:
        """There is no fleet, or none any more."""
        self._reporter.forget()
        if self._budget is not None and self._budget[0] is not None:
            await self._keep_budget(None)
        if pool.metadata.deletion_timestamp is not None:
            self.finished.set()

    # --- gathering ----------------------------------------------------------------------------------------

    def _gather(self, pool: StreamPool) -> Crew:
        namespace, name = self._key
        fleet, unknown = self._fleet, self._office.term.unknown
        members: list[Member] = []
        others: list[Traits] = []
        for worker in fleet.workers_of(self._key).values():
            ordinal = ordinal_of(name, worker.name) if worker.managed else None
            if ordinal is not None:
                lease, pod = fleet.lease(namespace, worker.name), self._pods.pod(namespace, worker.name)
                members.append(Member(worker, ordinal, pod, lease, unsure=bool(unknown.get(worker.uid))))
            elif is_ready(worker) and not worker.drain:
                others.append(Traits.of(worker))
        wanted = self._wanted(pool)
        return Crew(
            pool=name,
            wanted=wanted,
            members=members,
            taken=self._taken(wanted, len(members)),
            others=others,
            refused=dict(self._writer.refused),
            hindered=self._hindered(),
            lacking=dict(self._mounts.lacking),
            blocked=self._recipe.blocked,
            paused=pool.spec.paused,
            deleting=pool.metadata.deletion_timestamp is not None,
            now=self._clock(),
            wall_s=self._office.clocks.wall(),
        )

    def _hindered(self) -> dict[str, Problem]:
        found = dict(self._writer.hindered)
        if self._is_forbidden:
            found[""] = Problem(Reason.OPERATOR_FORBIDDEN, f"the operator cannot watch pods: {self._pods.error}")
        return found

    def _wanted(self, pool: StreamPool) -> Wanted | None:
        workers = pool.spec.workers
        return None if workers is None else wanted_of(workers, self._recipe.revision)

    def _taken(self, wanted: Wanted | None, present: int) -> frozenset[int]:
        """Ordinals whose name a FingerWorker has that is not of this fleet."""
        limit = 0 if wanted is None else wanted.scaling.most if wanted.scaling else wanted.replicas
        if present >= limit:
            return frozenset()
        namespace, pool = self._key
        store = self._fleet.workers.store
        taken: set[int] = set()
        for ordinal in range(1, MAX_ORDINAL + 1):
            if ordinal - len(taken) > limit + present:
                break
            worker = store.get((namespace, worker_name(pool, ordinal)))
            if worker and not (worker.managed and worker.pool == pool):
                taken.add(ordinal)
        return frozenset(taken)

    # --- doing --------------------------------------------------------------------------------------------

    async def _carry_out(self, plan: Plan) -> bool:
        """A portion of the steps at once; whether any was done. What failed leaves its place to others for now."""
        now = self._clock()
        self._put_off = {name: at for name, at in self._put_off.items() if at > now}
        steps = [step for step in _in_order(plan.steps) if name_of(step) not in self._put_off][:AT_ONCE]
        carry_out = self._writer.carry_out
        done = await asyncio.gather(*(carry_out(step, self._recipe.present, self._memory.attempts) for step in steps))
        for step, was_done in zip(steps, done, strict=True):
            if not was_done:
                is_hindered = name_of(step) in self._writer.hindered
                self._put_off[name_of(step)] = now + (HINDERED_S if is_hindered else RETRY_S)
        return any(done)

    async def _keep_budget(self, min_available: int | None) -> None:
        now = self._clock()
        if self._budget and self._budget[0] == min_available and now - self._budget[1] < BUDGET_S:
            return
        if not self._office.term.may_write:
            return
        try:
            await self._writer.keep_budget(min_available)
        except KubeError as error:
            log.warning("the disruption budget of %s/%s: %s", *self._key, error)
        # Also after a failure: the next look is soon enough.
        self._budget = min_available, now

    # --- telling ------------------------------------------------------------------------------------------

    @property
    def _is_forbidden(self) -> bool:
        return self._pods.error.startswith("403")

    async def _report_blindness(self, pool: StreamPool) -> None:
        """Pods cannot be seen yet, or may not be."""
        if self._is_forbidden:
            crew = self._gather(pool)
            desired = crew.wanted.replicas if crew.wanted else 0
            problems = [crew.hindered[""]]
            blind = Plan((), desired, None, problems, Rollout(), leaving=0, held_back=False, members=crew.members)
            await self._reporter.tell(pool, report(crew, blind))


def _in_order(steps: Sequence[Step]) -> list[Step]:
    """What ends something before what begins something: a thousand pods to make delay no drain."""
    return sorted(steps, key=lambda step: isinstance(step, CreateWorker) + 2 * isinstance(step, MakePod))
