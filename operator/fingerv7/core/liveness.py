"""Who is alive: silence measured on the operator's own clock, never by comparing timestamps of two machines.

A Lease's `renewTime` is only ever compared with itself: what counts is how long ago *we saw* it change (design
section 5). Silence alone frees nothing; it starts a takeover, and `Lease read after the revoke` ends it (see
`vacated`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from fingerv7.contract import Timing
from fingerv7.core.model import Lease, Worker


class Verdict(StrEnum):
    ABSENT = "Absent"
    """No sidecar has ever held the Lease, as far as this process saw."""
    ALIVE = "Alive"
    LATE = "Late"
    SILENT = "Silent"


@dataclass(frozen=True, slots=True)
class Observation:
    """What was last seen of a Lease, and since when it looks like that (seconds, monotonic)."""

    uid: str
    holder: str
    renew_time: str
    pool: str
    since: float
    pool_since: float

    def same_heartbeat(self, lease: Lease | None) -> bool:
        """Whether `lease` shows neither another holder nor another renewal than this observation."""
        return (self.uid, self.holder, self.renew_time) == _heartbeat(lease)


@dataclass(frozen=True, slots=True)
class Health:
    verdict: Verdict
    silent_s: float
    reason: str


def observe(previous: Observation | None, lease: Lease | None, now: float) -> Observation:
    """The observation after seeing `lease` (None: it does not exist) at `now`.

    Any change, also a deletion, starts the measurement anew: a renewal may have been missed just before it.
    """
    pool = lease.pool if lease else ""
    same = previous is not None and previous.same_heartbeat(lease)
    same_pool = previous is not None and previous.pool == pool
    uid, holder, renew_time = _heartbeat(lease)
    return Observation(
        uid,
        holder,
        renew_time,
        pool,
        since=previous.since if previous and same else now,
        pool_since=previous.pool_since if previous and same_pool else now,
    )


def renewed(observation: Observation, now: float) -> Observation:
    """The same with a fresh start: after continuity was lost, everybody gets the whole time again."""
    return replace(observation, since=now, pool_since=now)


def judge(
    worker: Worker, lease: Lease | None, observation: Observation, timing: Timing, warning_after_ms: int, now: float
) -> Health:
    """The health of a worker whose Lease looks like `observation`."""
    takeover_s = takeover_after_s(lease, timing)
    if observation.pool and observation.pool != worker.pool:
        # The sidecar may well renew: but who edits a Lease's pool takes it out of this one.
        age, reason = now - observation.pool_since, "PoolMismatch"
    elif not observation.holder:
        age, reason = now - observation.since, "NoHolder" if observation.uid else "NoLease"
        if worker.assignment.empty:
            return Health(Verdict.ABSENT, age, reason)
    else:
        age, reason = now - observation.since, ""
    if age >= takeover_s:
        return Health(Verdict.SILENT, age, reason or "Silent")
    if age * 1000 >= warning_after_ms:
        return Health(Verdict.LATE, age, reason or "Late")
    if reason:
        return Health(Verdict.LATE, age, reason)
    return Health(Verdict.ALIVE, age, "")


def takeover_after_s(lease: Lease | None, timing: Timing) -> float:
    """T of one worker: a sidecar that declares to run under a longer one is given that."""
    return max(timing.takeover_after_ms, lease.duration_ms if lease else 0) / 1000


def vacated(
    worker: Worker, lease: Lease | None, *, seen: Observation, probed: Observation, t_s: float, now: float
) -> str:
    """Whether a Lease, read consistently after a revoke was stored, proves that the worker stopped.

    `seen` is the watch's observation, `probed` that of these direct reads, which includes `lease`; `now` is when the
    read began. Answers the reason, or "" when nothing is proven. From this moment on whoever runs the worker must
    first get a renewal accepted and then read the FingerWorker, and will find the revoke there.
    """
    if lease is not None and lease.shows_release(worker.uid):
        return "released"
    t_s = max(t_s, lease.duration_ms / 1000) if lease else t_s
    # The watch shows only Leases that carry the pool's label. That it shows none is no proof that there was none: one
    # without the label may have been renewed all the time and deleted just now.
    for observation in (seen, probed) if lease else (probed,):
        if observation.same_heartbeat(lease) and now - observation.since >= t_s:
            return "takeover"
    return ""


def _heartbeat(lease: Lease | None) -> tuple[str, str, str]:
    return (lease.uid, lease.holder, lease.renew_time) if lease else ("", "", "")
