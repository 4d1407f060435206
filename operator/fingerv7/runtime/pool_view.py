"""What a round shows of a pool: the figures and times that its status and conditions are made from."""

from __future__ import annotations

from typing import Any

from fingerv7.api.streampool import StreamPool
from fingerv7.core.liveness import Verdict
from fingerv7.core.pool_status import PoolView, SourceView
from fingerv7.core.rounds import Decision, World
from fingerv7.runtime.catalog import PoolCatalog

Json = dict[str, Any]


def pool_view(
    pool: StreamPool, world: World, decision: Decision, source: SourceView, proposal: Json | None, rebalance: Json
) -> PoolView:
    rules, health = world.rules, decision.health
    ready = [
        name
        for name, standing in decision.standings.items()
        if standing.accepts or (health[name].verdict is Verdict.ALIVE and standing.keeps)
    ]
    granted = {
        i: grant.stream.weight for worker in world.workers.values() for i, grant in worker.assignment.grants.items()
    }
    silent = [
        (name, each.silent_s)
        for name, each in health.items()
        if each.verdict in {Verdict.LATE, Verdict.SILENT} and name not in decision.taken
    ]
    # The brake counts the late ones too: they are silent together with those whose time is up already.
    held = [name for name, _ in silent] if decision.held_since is not None else []
    left = [decision.facts[name].takeover_s - seconds for name, seconds in silent]
    held_since = decision.held_since
    return PoolView(
        generation=pool.metadata.generation or 0,
        leader_epoch=world.leader_epoch,
        streams=len(decision.catalog) + len(decision.suspected),
        assigned=len(granted),
        unassigned=decision.unassigned,
        workers=len(world.workers),
        ready=len(ready),
        silent=silent,
        moving_in_s=max(0.0, min(left)) if left else None,
        capacity=sum(world.workers[name].max_streams for name in ready),
        weight=sum(granted.values()),
        imbalance_percent=decision.plan.imbalance_after_percent,
        balanced=decision.balanced,
        cooling_down=decision.cooling_down,
        source=source,
        starting=_starting(world),
        paused=rules.paused,
        deleting=rules.deleting,
        held=len(held),
        held_streams=sum(len(world.workers[name].assignment.grants) for name in held),
        release_in_s=0.0
        if held_since is None
        else max(0.0, held_since + rules.mass_failure.max_hold_s - decision.now),
        suspected=decision.suspected,
        last_rebalance=rebalance,
        mode=rules.mode,
        proposal=proposal,
    )


def source_view(catalog: PoolCatalog) -> SourceView:
    state, verdict, snapshot = catalog.state, catalog.verdict, catalog.snapshot
    if state is None:
        return SourceView(reachable=False, reason="NotTried", message="the source was not read yet")
    return SourceView(
        reachable=state.reachable,
        reason=state.reason,
        message=state.message,
        shared=state.shared,
        changed=bool(verdict and verdict.held),
        changed_reason=verdict.reason if verdict else "Unchanged",
        changed_message=verdict.message if verdict else "",
        identity=verdict.state.identity if verdict else "",
        quarantined=[(row.id, row.reason) for row in snapshot.quarantined] if snapshot else (),
    )


def last_rebalance(pool: StreamPool) -> Json:
    return pool.status.last_rebalance.dump() if pool.status.last_rebalance else {}


def _starting(world: World) -> str:
    """What the barrier waits for; empty once it has passed."""
    if world.unreadable:
        return f"FingerWorker {min(world.unreadable)} cannot be understood; nothing is granted until it is mended"
    if world.barrier_passed:
        return ""
    old = sorted(n for n, w in world.workers.items() if w.assignment.leader_epoch != world.leader_epoch)
    missing = f"; FingerWorker {old[0]} has not taken this leader's epoch yet" if old else ""
    return f"a new leader waits until no older one can still write{missing}"
