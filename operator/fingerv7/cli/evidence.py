"""What supports a verdict: what each worker holds, confirmed and was heard of, and what the pool says."""

from __future__ import annotations

from collections.abc import Iterator

from fingerv7.api.conditions import PoolCondition, PoolReady
from fingerv7.cli.facts import Holder, Said, Sidecar
from fingerv7.cli.verdict import State, Verdict


def details(verdict: Verdict) -> Iterator[str]:
    for holder in verdict.holders:
        name = holder.worker
        if holder.grant:
            title = f' "{holder.grant.name}"' if holder.grant.name else ""
            yield f"{name} has it under token {holder.grant.token}:{title} {holder.grant.url}"
        if holder.grant and holder.released:
            yield f"{name}: its sidecar states that the worker is gone and runs nothing"
        elif holder.grant:
            yield f"{name} is assigned epoch {holder.epoch} and has confirmed {_epoch(holder)}"
        else:
            yield f"{name} lost it at epoch {holder.revoked_at} and has confirmed {_epoch(holder)}"
            if not holder.released:
                after = f"for {holder.takeover_after}" if holder.takeover_after else "long enough"
                yield f"nobody else gets it before {name} confirms that epoch, is gone, or has been silent {after}"
        yield f"{name}: {_heartbeat(holder.sidecar, name)}{_ready(holder)}"


def _epoch(holder: Holder) -> str:
    if holder.released:
        return "that it runs nothing"
    return "nothing" if holder.confirmed_epoch is None else f"epoch {holder.confirmed_epoch}"


def _heartbeat(lease: Sidecar | None, worker: str) -> str:
    if lease is None:
        return f"there is no Lease {worker}; is its sidecar running?"
    if not lease.holder:
        return "nobody holds its Lease; is its sidecar running?"
    if lease.age_s is None:
        return "its Lease was never renewed"
    late = f", later than the {lease.duration_s:.0f} s that it has" if lease.silent else ""
    return f"heard {duration(lease.age_s)} ago{late}"


def _ready(holder: Holder) -> str:
    ready = f"Ready={holder.ready.status} {_because(holder.ready)}" if holder.ready else ""
    return "".join(f"; {part}" for part in (holder.phase and f"phase {holder.phase}", ready) if part)


def notes(verdict: Verdict) -> Iterator[str]:
    """What else of the pool bears on it."""
    pool = verdict.pool
    if verdict.holders and not pool.exists:
        yield f"there is no StreamPool {pool.name}: nobody takes care of this stream"
    for reason, ids in pool.quarantined.items():
        if verdict.holders and verdict.stream in ids:
            yield f"another row with this id is not served ({reason})"
    told = [(PoolCondition.SOURCE_SHARED, "True"), (PoolCondition.TAKEOVER_HELD, "True")]
    if verdict.state is not State.RUNNING:
        told += [(PoolCondition.PAUSED, "True"), (PoolCondition.SOURCE_CHANGED, "True")]
        told += [(PoolCondition.SOURCE_REACHABLE, "False")]
    for kind, status in told:
        said = pool.conditions.get(kind)
        if said and said.status == status:
            yield f"pool {pool.name}: {kind}={status} {_because(said)}"
    ready = pool.conditions.get(PoolCondition.READY)
    if not verdict.holders and ready and ready.status == "False" and ready.reason != PoolReady.STREAMS_UNASSIGNED:
        yield f"pool {pool.name}: Ready=False {_because(ready)}"
    if not verdict.holders and pool.streams is not None:
        yield "this is what the operator wrote last; where none is running, nothing changes"


def _because(said: Said) -> str:
    return f"({said.reason}): {said.message}" if said.message else f"({said.reason})"


def duration(seconds: float) -> str:
    """Short, for people: `7 s`, `3 min`, `5 h`, `2 d`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
