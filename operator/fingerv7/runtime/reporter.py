"""Shows what happened: status of workers and pool, and Events on change.

Nothing here is a trigger. A status is written when something that matters differs from what is stored, at most once
a second for an object; figures that move with every heartbeat are refreshed at the pool's `statusRefreshInterval`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fingerv7.adapters.kube.errors import KubeError
from fingerv7.adapters.kube.resources import FINGERWORKERS, STREAMPOOLS
from fingerv7.api.streampool import StreamPool
from fingerv7.contract import Timing
from fingerv7.core.catalog import Snapshot
from fingerv7.core.handover import Write
from fingerv7.core.managed.report import NOTHING, Report
from fingerv7.core.model import Assignment, Worker
from fingerv7.core.override import counted
from fingerv7.core.pool_status import PoolView, pool_status
from fingerv7.core.rounds import Decision, World
from fingerv7.core.status import assigned_status, dated, liveness_status, replacing, significant, worker_status
from fingerv7.runtime.catalog import PoolCatalog
from fingerv7.runtime.clocks import utc_timestamp
from fingerv7.runtime.consent import News
from fingerv7.runtime.fleet import PoolKey
from fingerv7.runtime.office import AT_ONCE, Office
from fingerv7.runtime.pool_view import last_rebalance, pool_view, source_view
from fingerv7.runtime.publisher import Publisher
from fingerv7.runtime.term import SupersededError

log = logging.getLogger(__name__)

Json = dict[str, Any]
SHOW_EVERY_S = 0.5
STARTING_S = 2.0
"""A source that answers within this time is never shown as not tried."""
IN_A_ROW = 100
"""Workers that are looked at without a turn for others: of thousands that takes longer than a heartbeat may wait."""
GOOD = frozenset({"Ready", "Applied", "SourceReachable", "Balanced", "CapacitySufficient"})
"""Conditions whose False deserves a Warning; of the others, their True does."""
SILENT_TYPES = frozenset({"Applied", "Balanced", "Paused", "StreamsSuspected", "WorkersReady"})
"""Conditions that change with every hand-over or on request, or whose Events say more: shown, but no Event each
time."""


class Annotations(Protocol):
    """What users ask for by annotation: `Consent` and `Overrides`."""

    def status(self) -> Json: ...

    def take_news(self) -> list[News]: ...


@dataclass(slots=True)
class _Shown:
    at: float
    key: object


class Reporter:
    """The status writes of one pool."""

    def __init__(self, office: Office, publisher: Publisher, *, key: PoolKey) -> None:
        self._api = office.api
        self._term = office.term
        self._recorder = office.recorder
        self._clocks = office.clocks
        self._metrics = office.metrics
        self._publisher = publisher
        self._namespace, self._name = key
        self._workers: dict[str, _Shown] = {}
        self._began = office.clocks.monotonic()
        self._pool_shown = -SHOW_EVERY_S
        self._pool_status: Json = {}
        self._quarantined: frozenset[tuple[str, str]] = frozenset()
        self._suspected: frozenset[str] = frozenset()
        self._rebalance: Json = {}
        self._rebalance_since = 0.0

    def with_assignment(self, timing: Timing) -> Callable[[Worker, Assignment], Json]:
        """What goes into the same write as an assignment, so that counts never contradict it."""
        liveness = liveness_status(timing)
        return lambda worker, assignment: {"liveness": liveness, **assigned_status(worker, assignment)}

    def moved(self, pool: StreamPool, decision: Decision) -> None:
        """Writes of this decision were accepted: note a round of moves."""
        begun = {change.stream for write in decision.writes for change in write.changes}
        reasons = Counter(str(move.trigger) for move in decision.plan.moves if move.stream in begun)
        if not reasons:
            return
        self._metrics.moved((self._namespace, self._name), reasons)
        before = self._rebalance or last_rebalance(pool)
        now = self._clocks.timestamp()
        self._rebalance = {
            "time": now,
            "reason": max(sorted(reasons), key=reasons.__getitem__),
            "moves": reasons.total(),
            "reasons": dict(sorted(reasons.items())),
        }
        if balanced := now if decision.balances else before.get("balancedTime"):
            self._rebalance["balancedTime"] = balanced
        self._rebalance_since = self._clocks.monotonic()

    async def double_held(self, worker: Worker, write: Write) -> None:
        """Say so when a stream was found with two workers: somebody edited a status, or restored a backup."""
        streams = [change.stream for change in write.changes if change.reason == "DoubleHeld"]
        if streams:
            message = (
                f"{len(streams)} streams were in another worker's assignment too, such as {streams[0]}; revoked here"
            )
            await self._recorder.record(
                self._namespace, _involved(worker), type="Warning", reason="DoubleHeld", message=message
            )

    async def show(
        self,
        pool: StreamPool,
        world: World,
        decision: Decision,
        *,
        users: Sequence[Annotations],
        catalog: PoolCatalog,
        fleet: Report = NOTHING,
    ) -> None:
        """Write whatever is due; what is not due yet is for the next round. Raises SupersededError."""
        refresh_s = pool.spec.status_refresh_interval_ms / 1000
        await self._show_workers(world, decision, refresh_s)
        now = self._clocks.monotonic()
        starting = catalog.state is None and now - self._began < STARTING_S
        if starting or now - self._pool_shown < SHOW_EVERY_S or not self._term.may_write:
            return
        if self._rebalance and "duration" not in self._rebalance and not decision.unassigned:
            self._rebalance["duration"] = f"{max(1, round((now - self._rebalance_since) * 1000))}ms"
        answers: Json = {}
        for each in users:
            answers |= each.status()
        rebalance = self._rebalance or last_rebalance(pool)
        view = pool_view(pool, world, decision, source_view(catalog), answers["proposal"], rebalance)
        self._metrics.brake((self._namespace, self._name), **_brakes(view, decision))
        status = pool_status(view) | answers | fleet.fields
        if fleet.condition:
            status["conditions"].append(fleet.condition)
        status["confirmedSourceChange"] = catalog.spent_confirmation or None
        status["rotatedThrough"] = pool.status.rotated_through
        if world.barrier_passed:
            through_s = decision.rotated_through_s
            status["rotatedThrough"] = None if through_s is None else utc_timestamp(through_s)
        await self._show_pool(pool, status, catalog.snapshot, now, refresh_s)
        involved = STREAMPOOLS.reference(self._name, pool.metadata.uid)
        await self._suspicion_events(involved, decision.suspected)
        for news in (each for user in users for each in user.take_news()):
            kind = "Warning" if news.is_warning else "Normal"
            log.info(news.reason, extra={"pool": self._name, "reason": news.message})
            await self._recorder.record(
                self._namespace, involved, type=kind, reason=news.reason, message=news.message
            )

    # --- workers ------------------------------------------------------------------------------------------

    async def _show_workers(self, world: World, decision: Decision, refresh_s: float) -> None:
        now = self._clocks.monotonic()
        shares = decision.shares
        for gone in self._workers.keys() - world.workers.keys():
            del self._workers[gone]
        busy = self._publisher.in_flight
        due_now: list[tuple[Worker, Json, _Shown]] = []
        for number, (name, worker) in enumerate(world.workers.items(), start=1):
            if number % IN_A_ROW == 0:
                await asyncio.sleep(0)
            if name in busy:
                continue
            lease = world.leases.get(name)
            standing = decision.standings[name]
            applied = lease.acknowledged_epoch(worker) if lease else None
            score = decision.scores.get(name)
            key = (
                worker.resource_version,
                standing.reason,
                decision.health[name].verdict,
                applied,
                shares.get(name, 0),
                score,
            )
            shown = self._workers.get(name)
            if shown and (now - shown.at < SHOW_EVERY_S or (shown.key == key and now - shown.at < refresh_s)):
                continue
            share = shares.get(name, 0) if world.barrier_passed else None
            status = worker_status(
                decision.facts[name], standing, share=share, timing=world.rules.timing, score=score
            )
            stored = worker.status
            status["conditions"] = dated(
                status["conditions"],
                stored.get("conditions"),
                generation=worker.generation,
                now=self._clocks.timestamp(),
            )
            due = shown is None or now - shown.at >= refresh_s
            differs = significant(status) != significant({k: stored[k] for k in status if k in stored})
            if not differs and not (due and any(stored.get(k) != v for k, v in status.items())):
                self._workers[name] = _Shown(shown.at if shown else now, key)
                continue
            due_now.append((worker, status, _Shown(now, key)))
        # The longest unseen first, and of thousands a portion a round: nothing urgent waits behind them.
        due_now.sort(key=lambda each: self._workers[each[0].name].at if each[0].name in self._workers else 0.0)
        await asyncio.gather(*(self._show_worker(*each) for each in due_now[:AT_ONCE]))

    async def _show_worker(self, worker: Worker, status: Json, shown: _Shown) -> None:
        self._workers[worker.name] = shown
        try:
            written = await self._publisher.patch_status(worker, replacing(status, worker.status))
        except SupersededError:
            raise
        except Exception:
            log.exception("cannot show the status of %s", worker.name)
            return
        if written:
            await self._events(_involved(worker), worker.status.get("conditions"), status["conditions"])

    # --- the pool -----------------------------------------------------------------------------------------

    async def _show_pool(
        self, pool: StreamPool, status: Json, snapshot: Snapshot | None, now: float, refresh_s: float
    ) -> None:
        stored = self._pool_status or pool.status.dump()
        status["conditions"] = dated(
            status["conditions"],
            stored.get("conditions"),
            generation=status["observedGeneration"],
            now=self._clocks.timestamp(),
        )
        self._metrics.show((self._namespace, self._name), status)
        present = {k: v for k, v in status.items() if v is not None}
        same = self._pool_status and significant(present) == significant(self._pool_status)
        if same and (now - self._pool_shown < refresh_s or present == self._pool_status):
            return
        self._pool_shown = now
        path = STREAMPOOLS.path(self._namespace, self._name, "status")
        try:
            await self._api.merge_patch(path, {"status": replacing(status, stored)})
        except KubeError as error:
            log.warning("cannot write the status of pool %s/%s: %s", self._namespace, self._name, error)
            return
        self._pool_status = present
        involved = STREAMPOOLS.reference(self._name, pool.metadata.uid)
        await self._events(involved, stored.get("conditions"), status["conditions"])
        await self._quarantine_events(involved, snapshot)

    async def _quarantine_events(self, involved: Json, snapshot: Snapshot | None) -> None:
        """One Event a reason when rows are newly quarantined, naming the first of them."""
        if snapshot is None:
            return
        now = frozenset((row.id, row.reason) for row in snapshot.quarantined)
        fresh = [row for row in snapshot.quarantined if (row.id, row.reason) not in self._quarantined]
        self._quarantined = now
        for reason, count in sorted(Counter(row.reason for row in fresh).items()):
            first = next(row for row in fresh if row.reason == reason)
            more = f" (and {count - 1} more rows)" if count > 1 else ""
            message = f"row {first.id!r}: {first.message}{more}"
            await self._recorder.record(
                self._namespace, involved, type="Warning", reason=f"Quarantined{reason}", message=message
            )

    async def _suspicion_events(self, involved: Json, suspected: Mapping[str, float]) -> None:
        """One Event when streams are newly kept from everybody, naming some of them."""
        fresh, self._suspected = suspected.keys() - self._suspected, frozenset(suspected)
        if fresh:
            message = (
                f"{counted(fresh, 'stream')}: three workers died shortly after they got "
                f"{'it' if len(fresh) == 1 else 'them'}; kept from every worker, see the condition StreamsSuspected"
            )
            log.warning("SuspectedPoison", extra={"pool": self._name, "reason": message})
            await self._recorder.record(
                self._namespace, involved, type="Warning", reason="SuspectedPoison", message=message
            )

    async def _events(self, involved: Json, before: object, after: list[Json]) -> None:
        known = {c.get("type"): c for c in before if isinstance(c, dict)} if isinstance(before, list) else {}
        for condition in after:
            name = condition["type"]
            old = known.get(name)
            changed = old is None or (old.get("status"), old.get("reason")) != (
                condition["status"],
                condition["reason"],
            )
            bad = (condition["status"] == "True") != (name in GOOD)
            if not changed or name in SILENT_TYPES or (not bad and (old is None or name not in GOOD)):
                continue
            await self._recorder.record(
                self._namespace,
                involved,
                type="Warning" if bad or condition["reason"] == "Late" else "Normal",
                reason=condition["reason"],
                message=condition["message"] or f"{name} is {condition['status']}",
            )


def _involved(worker: Worker) -> Json:
    return FINGERWORKERS.reference(worker.name, worker.uid)


def _brakes(view: PoolView, decision: Decision) -> dict[str, int]:
    return {
        "held_workers": view.held,
        "backing_off_workers": sum(1 for facts in decision.facts.values() if facts.backing_off_s > 0),
        "suspected_streams": len(view.suspected),
    }
