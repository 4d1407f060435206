"""A verdict in sentences for a tired person, and as JSON for a program.

Only the first sentence is here; what supports it is in `evidence`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from fingerv7.api.conditions import Unassigned
from fingerv7.cli.evidence import details, notes
from fingerv7.cli.facts import Holder
from fingerv7.cli.verdict import State, Verdict

WHY_UNASSIGNED: Final[dict[str, str]] = {
    Unassigned.NO_CAPACITY: "every worker that may have it is full; add workers or raise spec.maxStreams",
    Unassigned.NO_CAPABLE_WORKER: "no live worker has all the capabilities that it requires",
    Unassigned.NO_ELIGIBLE_WORKER: "no worker may be given anything now; kubectl get fingerworkers shows why",
    Unassigned.EXCLUDED: "spec.balancing of its pool keeps it from every worker that could take it; see pins and "
    "exclusions there",
    Unassigned.HANDOVER_PENDING: "whoever may still be running it has to confirm that it stopped, or stay silent "
    "for takeoverAfter",
    Unassigned.PAUSED: "the pool is paused",
    Unassigned.SUSPECTED_POISON: "several workers died shortly after they got it, so it is kept from them",
}


def sentences(verdict: Verdict) -> list[str]:
    """The answer first, then what supports it."""
    return [_ANSWERS[verdict.state](verdict), *details(verdict), *notes(verdict)]


def as_json(verdict: Verdict) -> dict[str, Any]:
    answer, *evidence = sentences(verdict)
    return {
        "stream": verdict.stream,
        "namespace": verdict.namespace,
        "pool": verdict.pool.name,
        "state": str(verdict.state),
        "ok": verdict.state is State.RUNNING,
        "reason": verdict.reason or None,
        "message": answer,
        "details": evidence,
        "workers": [_worker_json(holder) for holder in verdict.holders],
    }


def _worker_json(holder: Holder) -> dict[str, Any]:
    return {
        "name": holder.worker,
        "grant": asdict(holder.grant) if holder.grant else None,
        "revokedAtEpoch": holder.revoked_at,
        "epoch": holder.epoch,
        "confirmedEpoch": holder.confirmed_epoch,
        "released": holder.released,
        "heartbeatAgeSeconds": holder.sidecar.age_s if holder.sidecar else None,
        "phase": holder.phase or None,
        "ready": asdict(holder.ready) if holder.ready else None,
    }


# --- the answer -------------------------------------------------------------------------------------------


def _running(verdict: Verdict) -> str:
    return f"Stream {verdict.stream} is on worker {verdict.holders[0].worker}, which confirmed that it runs it."


def _unconfirmed(verdict: Verdict) -> str:
    holder = verdict.holders[0]
    if holder.released:
        return f"Stream {verdict.stream} is still assigned to worker {holder.worker}, which is gone and runs nothing."
    return (
        f"Stream {verdict.stream} was given to worker {holder.worker}, which has not confirmed yet that it runs it."
    )


def _silent(verdict: Verdict) -> str:
    return f"Stream {verdict.stream} is with worker {verdict.holders[0].worker}, of which nothing is heard."


def _double_held(verdict: Verdict) -> str:
    workers = " and ".join(holder.worker for holder in verdict.holders)
    return (
        f"Stream {verdict.stream} was found in the assignments of {workers}: a status was edited or restored. "
        "The operator leaves it with the newest token and waits until the others confirm that they stopped it."
    )


def _stopping(verdict: Verdict) -> str:
    workers = " and ".join(holder.worker for holder in verdict.holders)
    proven = all(h.released or (h.confirmed_epoch or -1) >= (h.revoked_at or 0) for h in verdict.holders)
    if proven:
        return f"Stream {verdict.stream} was stopped by {workers}; the operator gives it on in a moment."
    return f"Stream {verdict.stream} is on no worker: it was taken from {workers}, which may still be running it."


def _quarantined(verdict: Verdict) -> str:
    return (
        f"Stream {verdict.stream} is on no worker: its row cannot be served ({verdict.reason}); the Events of "
        f"StreamPool {verdict.pool.name} say what would be accepted."
    )


def _unassigned(verdict: Verdict) -> str:
    why = WHY_UNASSIGNED.get(verdict.reason)
    return f"Stream {verdict.stream} is on no worker: {f'{why} ({verdict.reason})' if why else verdict.reason}."


def _not_active(verdict: Verdict) -> str:
    return (
        f"Stream {verdict.stream} is on no worker: the source of pool {verdict.pool.name} had no active row with "
        f"this id when it was read last ({verdict.pool.streams} streams)."
    )


def _unknown(verdict: Verdict) -> str:
    pool = verdict.pool
    if not pool.exists:
        return f"Stream {verdict.stream} is on no worker, and there is no StreamPool {pool.name} to place it."
    if pool.streams is None:
        return (
            f"Stream {verdict.stream} is on no worker: no operator has looked at StreamPool {pool.name} yet; is one "
            "running?"
        )
    counted = (
        f"is not among the examples of the pool's {pool.unnamed} others that are on nobody" if pool.unnamed else ""
    )
    return f"Stream {verdict.stream} is on no worker; it {counted or 'may be missing from what was read so far'}."


_ANSWERS: Final[dict[State, Callable[[Verdict], str]]] = {
    State.RUNNING: _running,
    State.UNCONFIRMED: _unconfirmed,
    State.SILENT: _silent,
    State.DOUBLE_HELD: _double_held,
    State.STOPPING: _stopping,
    State.QUARANTINED: _quarantined,
    State.UNASSIGNED: _unassigned,
    State.NOT_ACTIVE: _not_active,
    State.UNKNOWN: _unknown,
}
