"""Streams that somebody may be running although no object says so.

Objects lie after a restored backup, a recreated FingerWorker or a finalizer stripped by hand: a sidecar then goes on
mirroring what was once true. Streams without a known holder go to nobody while that is possible (design section 4,
"Identity"). Times are seconds, monotonic; forgetting any of this only makes a new leader wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from fingerv7.contract import CLOCK_RATE_PERCENT, Timing
from fingerv7.core.liveness import Observation, takeover_after_s
from fingerv7.core.model import Assignment, Lease, Worker


@dataclass(frozen=True, slots=True)
class Ghost:
    """A FingerWorker as it was last seen: what its worker may go on to run when it vanishes."""

    name: str
    holder: str
    """Of its Lease, when it was last there."""
    streams: frozenset[str]
    until: float
    """When it can run none of them any more; of one that has not vanished, how long after it does."""
    epoch: int | None = None
    """The stored one, if its sidecar had said that it runs that or an earlier one, or nothing."""


@dataclass(slots=True)
class Claims:
    """Acknowledgements that prove nothing, because they speak of epochs that the stored objects do not know.

    After a restored backup a sidecar states an epoch above the stored one; after an edit by hand the content of an
    epoch is not what its hash says. Either way the worker runs something else than the object, until it has
    confirmed an epoch above all of that. Such a one is written next, once, unless the stored epoch is above it
    already (see `handover`). An acknowledgement that overtakes the answer to our own write looks the same, and
    costs the same one write.
    """

    open: dict[str, int] = field(default_factory=dict)
    """FingerWorker UID → the highest epoch that proves nothing."""
    fresh: bool = False
    """Whether the last look opened one."""

    def believed(self, workers: Mapping[str, Worker], leases: Mapping[str, Lease]) -> dict[str, Lease]:
        """The Leases without acknowledgements that prove nothing."""
        believed = dict(leases)
        self.fresh = False
        self.open = {worker.uid: self.open[worker.uid] for worker in workers.values() if worker.uid in self.open}
        for name, worker in workers.items():
            lease, stored = leases.get(name), worker.assignment.epoch
            claimed = (lease.claimed_epoch(worker.uid) if lease else None) or 0
            doubtful = max(claimed if claimed > stored else 0, stored + 1 if worker.tampered else 0)
            if doubtful > self.open.get(worker.uid, 0):
                self.open[worker.uid], self.fresh = doubtful, True
            elif claimed > self.open.get(worker.uid, 0):
                self.open.pop(worker.uid, None)
            if lease and worker.uid in self.open:
                believed[name] = replace(lease, applied=None)
        return believed


@dataclass(slots=True)
class Doubts:
    """What one leader does not know for certain."""

    suspects: dict[tuple[str, str], float] = field(default_factory=dict)
    """(Worker, its UID or "") with a live Lease that does not say what is run → since when."""
    ghosts: dict[str, Ghost] = field(default_factory=dict)
    """By UID of the vanished FingerWorker."""
    left_idle: dict[str, tuple[str, Ghost]] = field(default_factory=dict)
    """Worker → UID and last state of its FingerWorker, which vanished while nothing was held and its sidecar had said
    so. Its Lease may stay for moments, or until somebody collects it: whoever holds it goes on to run nothing.
    """
    vouched: set[str] = field(default_factory=set)
    """Streams that this leader itself saw stopped and cleared: nobody can be running them."""
    unconfirmed: list[str] = field(default_factory=list)
    """Suspects that are silent, as far as the watch tells: their Leases have to be read directly."""
    _doubtful: bool = False
    _looked: bool = False
    _known: dict[str, Ghost] = field(default_factory=dict)
    _ids: dict[str, tuple[Assignment, frozenset[str]]] = field(default_factory=dict)
    """By UID: an assignment and all that it holds, so that thousands are not gone through in every round."""

    @property
    def doubtful(self) -> bool:
        """Whether some live worker may run anything."""
        return self._doubtful

    def may_grant(self, stream_id: str) -> bool:
        """Whether a stream that no object shows as held can be given to somebody."""
        if any(stream_id in ghost.streams for ghost in self.ghosts.values()):
            return False
        return not self._doubtful or stream_id in self.vouched

    def vouch(self, stream_id: str) -> None:
        """A write that cleared the stream was accepted: this leader saw it stopped."""
        self.vouched.add(stream_id)

    def spend(self, worker_uid: str, granted: AbstractSet[str]) -> None:
        """These are about to be granted. Accepted or not, from here on the worker may be running them: should its
        FingerWorker vanish before an answer comes, no object says so.
        """
        self.vouched -= granted
        if known := self._known.get(worker_uid):
            self._known[worker_uid] = replace(known, streams=known.streams | granted)

    def limit(self, catalog: AbstractSet[str]) -> None:
        """Forget what is not in the catalog: nobody is going to ask for a row that was removed."""
        if self.vouched:
            self.vouched &= catalog

    def look(
        self,
        workers: Mapping[str, Worker],
        leases: Mapping[str, Lease],
        observations: Mapping[str, Observation],
        unknown: Mapping[str, Assignment],
        timing: Timing,
        now: float,
        *,
        confirmed: AbstractSet[str],
    ) -> None:
        """Bring everything up to date with what is seen now.

        `confirmed`: workers whose silence a direct read has shown; that of the others may be the watch's own.
        """
        self._note_vanished(workers, leases, observations, timing, now)
        self._known = {}
        before, self._ids = self._ids, {}
        for name, worker in workers.items():
            known = before.get(worker.uid)
            if known is None or known[0] is not worker.assignment:
                known = (worker.assignment, frozenset(worker.assignment.grants).union(worker.assignment.revoking))
            self._ids[worker.uid] = known
            streams = known[1]
            if name in unknown:
                streams = streams.union(unknown[name].grants, unknown[name].revoking)
            if self.vouched:
                # Known to be held is no longer known to be free, whoever wrote it.
                self.vouched -= streams
            lease = leases.get(name)
            until = _heedless_s(takeover_after_s(lease, timing), timing)
            epoch = worker.assignment.epoch if lease and _says_what_it_runs(lease, worker) else None
            self._known[worker.uid] = Ghost(name, lease.holder if lease else "", streams, until, epoch)
            if streams or epoch is not None:
                self.left_idle.pop(name, None)
        self._look_for_suspects(workers, leases, observations, confirmed, timing, now)

    def _note_vanished(
        self,
        workers: Mapping[str, Worker],
        leases: Mapping[str, Lease],
        observations: Mapping[str, Observation],
        timing: Timing,
        now: float,
    ) -> None:
        present = {worker.uid for worker in workers.values()}
        for uid, was in self._known.items():
            if uid not in present and was.streams:
                self.ghosts[uid] = replace(was, until=now + was.until)
            elif uid not in present and was.epoch is not None:
                self.left_idle[was.name] = uid, was
        self.left_idle = {
            name: (uid, was)
            for name, (uid, was) in self.left_idle.items()
            if name in leases and leases[name].holder == was.holder
        }
        for uid, ghost in self.ghosts.copy().items():
            lease, t_s = leases.get(ghost.name), takeover_after_s(leases.get(ghost.name), timing)
            if lease and lease.holder == ghost.holder and now - observations[ghost.name].since < t_s:
                applied = lease.applied
                if applied and applied.worker_uid == uid:
                    # Alive, and it has not noticed yet: its time begins when it does.
                    self.ghosts[uid] = replace(ghost, until=now + _heedless_s(t_s, timing))
        self.ghosts = {uid: ghost for uid, ghost in self.ghosts.items() if ghost.until > now}

    def _look_for_suspects(
        self,
        workers: Mapping[str, Worker],
        leases: Mapping[str, Lease],
        observations: Mapping[str, Observation],
        confirmed: AbstractSet[str],
        timing: Timing,
        now: float,
    ) -> None:
        suspects: dict[tuple[str, str], float] = {}
        doubtful = False
        self.unconfirmed = []
        for name, lease in leases.items():
            worker, t_s = workers.get(name), takeover_after_s(lease, timing)
            if not lease.holder:
                continue
            if (worker and _says_what_it_runs(lease, worker)) or self._is_idle(lease):
                continue
            if now - observations[name].since >= t_s:
                if worker is None or name in confirmed:
                    continue
                self.unconfirmed.append(name)
            # Whoever acquires the Lease later reads the FingerWorker before it runs anything: only the first of a
            # row of incarnations that say nothing can run what no object shows.
            key, applied = (name, worker.uid if worker else ""), lease.applied
            unnoticed = bool(applied and applied.incarnation == lease.holder and applied.worker_uid != key[1])
            # One that still speaks for another FingerWorker has not noticed yet: its time begins when it does.
            suspects[key] = now if unnoticed else self.suspects.get(key, now)
            doubtful |= now - suspects[key] < _heedless_s(t_s, timing)
        # Somebody deleted the Lease of these, or erased its holder: that says nothing about the worker.
        earlier = self.suspects if self._looked else _orphaned(workers, leases, now)
        for (name, uid), since in earlier.items():
            last = leases.get(name)
            if (name, uid) in suspects or (last and last.holder):
                continue
            if now - since < _heedless_s(takeover_after_s(last, timing), timing):
                suspects[name, uid], doubtful = since, True
        self._looked = True
        self.suspects = suspects
        self._doubtful = doubtful

    def _is_idle(self, lease: Lease) -> bool:
        """Whether its holder is the incarnation that was known to run nothing when its FingerWorker vanished, and has
        not spoken of anything else since.
        """
        if lease.name not in self.left_idle:
            return False
        (uid, was), applied = self.left_idle[lease.name], lease.applied
        return applied is None or (applied.worker_uid == uid and applied.epoch <= (was.epoch or 0))


def _says_what_it_runs(lease: Lease, worker: Worker) -> bool:
    return lease.acknowledged_epoch(worker) is not None or lease.shows_release(worker.uid)


def _orphaned(workers: Mapping[str, Worker], leases: Mapping[str, Lease], now: float) -> dict[tuple[str, str], float]:
    """Suspects of before this leader's time whose Leases are gone, or made anew and held by nobody yet: FingerWorkers
    that were never given anything.

    Nobody has said what they run (who was given something had said so), or no leader has ever seen them: recreated,
    perhaps, while none was in office. Where none ever was, all are new.
    """
    if not any(worker.assignment.leader_epoch for worker in workers.values()):
        return {}
    return {
        (name, worker.uid): now
        for name, worker in workers.items()
        if not worker.assignment.epoch and (name not in leases or not leases[name].holder)
    }


def _heedless_s(t_s: float, timing: Timing) -> float:
    """How long a worker may go on that does not follow its config, although its sidecar renews.

    Renewals do not stop before the sidecar has waited T for a confirmation, and the worker not before K after that;
    both by a clock that may be slow, while ours may be fast.
    """
    return (t_s + timing.stop_time_ms / 1000) * (100 + CLOCK_RATE_PERCENT) / (100 - CLOCK_RATE_PERCENT)
