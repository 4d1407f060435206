"""What a worker may do now: get more, keep what it has, or lose everything, and the one reason for it.

An ordered chain of small rules; the first that has something to say decides. The order is the specification:
what a user asked for (drain) comes before what the worker shows, and proof of absence before mere lateness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fingerv7.contract import DRAIN_FOR, DRAIN_FOR_ROLLOUT, DRAIN_FOR_SCALE_DOWN, POOL_LABEL
from fingerv7.core.liveness import Health, Verdict
from fingerv7.core.model import Lease, Worker


@dataclass(frozen=True, slots=True)
class Standing:
    """`accepts` new streams, `keeps` the ones it has, or must `stop` all of them (the reason why)."""

    reason: str
    message: str
    accepts: bool = False
    keeps: bool = True
    stop: str = ""

    @property
    def draining(self) -> bool:
        return not self.keeps and not self.stop


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a rule may look at. Times are seconds."""

    worker: Worker
    lease: Lease | None
    health: Health
    taken_over: bool
    backing_off_s: float
    takeover_s: float
    leader_epoch: int
    pool_deleting: bool = False
    behind_s: float = 0.0
    """For how long it has not confirmed the present epoch, although it renews."""


def standing(facts: Facts) -> Standing:
    """The first answer of the chain."""
    for rule in _RULES:
        answer = rule(facts)
        if answer:
            return answer
    return Standing("Active", "alive and eligible", accepts=True)


def _taken_over(facts: Facts) -> Standing | None:
    if not facts.taken_over:
        return None
    message = f"{_silence(facts)}; its streams are given to others"
    return Standing("TakenOver", message, keeps=False, stop="WorkerLost")


def _released(facts: Facts) -> Standing | None:
    lease, worker = facts.lease, facts.worker
    if lease is None or lease.pool != worker.pool or not lease.shows_release(worker.uid):
        return None
    if _drain_reason(facts):
        return Standing("Drained", "drained; its worker runs nothing", keeps=False, stop="Drained")
    return Standing("Released", "its sidecar states that the worker is gone", keeps=False, stop="WorkerReleased")


def _draining(facts: Facts) -> Standing | None:
    reason = _drain_reason(facts)
    if not reason:
        return None
    if facts.worker.assignment.empty:
        return Standing("Drained", f"drained ({reason})", keeps=False)
    count = len(facts.worker.assignment.grants)
    return Standing("Draining", f"{count} streams still to be handed over ({reason})", keeps=False)


def _absent(facts: Facts) -> Standing | None:
    if facts.health.verdict is not Verdict.ABSENT:
        return None
    if facts.health.reason == "NoLease":
        message = f"no Lease of this name with the label {_label(facts)} yet; is its sidecar running?"
        return Standing("NoLease", message)
    return Standing("NoHolder", "nobody holds its Lease yet; is its sidecar running?")


def _silent(facts: Facts) -> Standing | None:
    if facts.health.verdict is not Verdict.SILENT:
        return None
    return Standing(
        "TakeoverHeld",
        f"{_silence(facts)}, but so are many others: takeover waits for the brake",
    )


def _late(facts: Facts) -> Standing | None:
    if facts.health.verdict is not Verdict.LATE:
        return None
    left = max(0.0, facts.takeover_s - facts.health.silent_s)
    return Standing(facts.health.reason, f"{_silence(facts)}; its streams move in {left:.0f} s")


def _unregistered(facts: Facts) -> Standing | None:
    worker = facts.worker
    if worker.finalizer and worker.assignment.leader_epoch == facts.leader_epoch:
        return None
    return Standing("Registering", "the operator is registering this worker")


def _unacknowledged(facts: Facts) -> Standing | None:
    if facts.lease and facts.lease.acknowledged_epoch(facts.worker) is not None:
        return None
    return Standing("NotAcknowledged", "its sidecar has not yet said what the worker runs")


def _behind(facts: Facts) -> Standing | None:
    if facts.behind_s < facts.takeover_s:
        return None
    epoch = facts.worker.assignment.epoch
    message = f"its sidecar renews, but has not confirmed epoch {epoch} for {facts.behind_s:.0f} s; see its /readyz"
    return Standing("NotAcknowledged", message)


def _backing_off(facts: Facts) -> Standing | None:
    if facts.backing_off_s <= 0:
        return None
    return Standing("BackingOff", f"died lately; eligible again in {facts.backing_off_s:.0f} s")


def _drain_reason(facts: Facts) -> str:
    lease = facts.lease
    if facts.pool_deleting:
        return "the pool is being deleted"
    if facts.worker.deleting:
        return "the FingerWorker is being deleted"
    if facts.worker.drain:
        return "spec.drain is true"
    if facts.worker.drain_for:
        # A word of a newer operator empties it as well: it was written by somebody who wants it empty.
        return _OF_THE_FLEET.get(facts.worker.drain_for, f"the annotation {DRAIN_FOR}={facts.worker.drain_for}")
    if lease and lease.drain and lease.drain == lease.holder:
        return "asked for by its sidecar"
    return ""


def _silence(facts: Facts) -> str:
    """Since when the worker counts as silent, and what would be right where that is not the sidecar's doing."""
    why = {
        "PoolMismatch": f"its Lease carries another pool's label and needs {_label(facts)}",
        "NoLease": f"there is no Lease of its name with the label {_label(facts)}",
        "NoHolder": "nobody holds its Lease",
    }.get(facts.health.reason)
    silent = f"silent for {facts.health.silent_s:.0f} s"
    return f"{silent}: {why}" if why else silent


def _label(facts: Facts) -> str:
    return f"{POOL_LABEL}={facts.worker.pool}"


_OF_THE_FLEET = {
    DRAIN_FOR_SCALE_DOWN: "the pool is scaled down",
    DRAIN_FOR_ROLLOUT: "its pod is being replaced",
}

_RULES: tuple[Callable[[Facts], Standing | None], ...] = (
    _taken_over,
    _released,
    _draining,
    _absent,
    _silent,
    _late,
    _unregistered,
    _unacknowledged,
    _behind,
    _backing_off,
)
