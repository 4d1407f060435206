"""Writes assignments, and remembers the writes whose outcome nobody knows.

Every write is a merge patch of the status subresource with the resourceVersion that it was decided on. A stale one
gets 409 and leads to a re-read and a new decision. A write that was never answered counts both ways, what it gave
is held and what it took is held still, until a later write to that object was accepted, because only that makes
the unanswered one fail (design section 4, "Own writes").
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from fingerv7.adapters.kube.errors import Conflict, Invalid, KubeError, NotFound, OutcomeUnknown
from fingerv7.adapters.kube.objects import assignment_to_json
from fingerv7.adapters.kube.resources import FINGERWORKERS
from fingerv7.core.handover import Write
from fingerv7.core.model import Assignment, Worker
from fingerv7.runtime.office import Office
from fingerv7.runtime.term import SupersededError

log = logging.getLogger(__name__)

Json = dict[str, Any]

PATIENCE_S = 1.0
"""How long a round waits for its writes; normally they take milliseconds."""


class Publisher:
    """The writes of one pool's loop in one term."""

    def __init__(self, office: Office, *, namespace: str) -> None:
        self._api = office.api
        self._fleets = office.fleets
        self._fleet = office.fleets.of(namespace)
        self._term = office.term
        self._namespace = namespace
        self._unknown = office.term.unknown
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By FingerWorker UID, while somebody holds or awaits it: one write to an object at a time, or our own status
        would refuse our assignment."""
        self._in_flight: dict[asyncio.Task[Write | None], str] = {}
        self.last_stamp = 0
        """The highest resourceVersion at which a worker was seen to carry this leader's epoch by a direct answer."""

    def unknown(self, worker: Worker) -> Assignment | None:
        """All that unanswered writes may have given or taken, as one assignment."""
        attempts = self._unknown.get(worker.uid)
        if not attempts:
            return None
        return Assignment(
            grants={i: grant for attempt in attempts for i, grant in attempt.grants.items()},
            revoking={i: epoch for attempt in attempts for i, epoch in attempt.revoking.items()},
        )

    def forget_gone(self) -> None:
        """Forget open writes to objects that exist no more: a UID never comes back, so none of them is accepted now.

        Those of all pools of the term, in whichever namespace. What they may have given is remembered with the
        vanished (see `doubt.Ghost`).
        """
        if self._unknown:
            present = {worker.uid for fleet in self._fleets for worker in fleet.workers.store.values()}
            for uid in self._unknown.keys() - present:
                del self._unknown[uid]

    @property
    def in_flight(self) -> frozenset[str]:
        """Workers with a write under way: one that hangs keeps only its own worker waiting."""
        return frozenset(self._in_flight.values())

    async def publish(
        self, writes: Iterable[Write], workers: Mapping[str, Worker], status: Callable[[Worker, Assignment], Json]
    ) -> list[Write]:
        """Send all at once; the ones accepted within `PATIENCE_S`, or since the last call.

        Raises SupersededError.
        """
        busy = self.in_flight
        for write in writes:
            if write.worker not in busy:
                # Noted before anything waits: from here on it counts both ways, sent or not.
                self._unknown.setdefault(workers[write.worker].uid, []).append(write.assignment)
                task = asyncio.create_task(self._publish(write, workers[write.worker], status))
                self._in_flight[task] = write.worker
        fresh = [task for task, name in self._in_flight.items() if name not in busy]
        if fresh:
            await asyncio.wait(fresh, timeout=PATIENCE_S)
        done = [task for task in self._in_flight if task.done()]
        for task in done:
            del self._in_flight[task]
        stored = [write for write in map(_result_of, done) if write]
        return sorted(stored, key=lambda write: write.worker)

    async def stop(self) -> None:
        """Abandon what is under way; the next leader finds out what became of it."""
        for task in self._in_flight:
            task.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)

    async def patch_status(self, worker: Worker, status: Json) -> bool:
        """Write derived fields, which no stream depends on. Raises SupersededError."""
        return await self._patch(worker, status) is not None

    async def reread(self, worker: Worker) -> Worker | None:
        """A consistent read into the store. Raises SupersededError when a newer leader has been there."""
        try:
            raw = await self._api.get(FINGERWORKERS.path(self._namespace, worker.name))
        except NotFound:
            self._fleet.workers.forget((self._namespace, worker.name), worker.uid)
            return None
        except KubeError as error:
            log.warning("cannot read FingerWorker %s: %s", worker.name, error)
            return None
        return self._store(raw)

    async def _publish(
        self, write: Write, worker: Worker, status: Callable[[Worker, Assignment], Json]
    ) -> Write | None:
        assignment = write.assignment
        body = {"assignment": _patch_of(worker, assignment), **status(worker, assignment)}
        if await self._patch(worker, body, attempt=assignment) is None:
            return None
        for change in write.changes:
            log.info(
                change.action,
                extra={
                    "stream": change.stream,
                    "worker": worker.name,
                    "epoch": change.epoch,
                    "token": str(change.token) if change.token else None,
                    "reason": change.reason,
                },
            )
        return write

    async def _patch(self, worker: Worker, status: Json, *, attempt: Assignment | None = None) -> Worker | None:
        lock = self._locks.setdefault(worker.uid, asyncio.Lock())
        async with lock:
            return await self._send(self._newest(worker), status, attempt)

    def _newest(self, worker: Worker) -> Worker:
        """The worker with the resourceVersion to write on: a status of our own that came between is no conflict."""
        stored = self._fleet.workers.store.get((self._namespace, worker.name))
        if stored is None or (stored.uid, stored.generation) != (worker.uid, worker.generation):
            return worker
        if stored.drain_for != worker.drain_for:
            return worker  # an annotation, which no generation counts
        return stored if stored.assignment == worker.assignment else worker

    async def _send(self, worker: Worker, status: Json, attempt: Assignment | None) -> Worker | None:
        if not self._term.may_write:
            raise SupersededError("the election Lease was not renewed in time")
        body = {"metadata": {"resourceVersion": str(worker.resource_version)}, "status": status}
        try:
            raw = await self._api.merge_patch(FINGERWORKERS.path(self._namespace, worker.name, "status"), body)
        except OutcomeUnknown as error:
            log.warning("the outcome of a write to FingerWorker %s is unknown: %s", worker.name, error)
            await self.reread(worker)
            return None
        except KubeError as error:
            if attempt is not None:
                self._settle(worker.uid, attempt)
            await self._refused(worker, error)
            return None
        if attempt is not None:
            self._unknown.pop(worker.uid, None)
        return self._store(raw)

    def _settle(self, uid: str, attempt: Assignment) -> None:
        """A refused write is known not to be there; older unanswered ones stay open."""
        self._leave_open(uid, [other for other in self._unknown.get(uid, []) if other is not attempt])

    def _leave_open(self, uid: str, attempts: list[Assignment]) -> None:
        if attempts:
            self._unknown[uid] = attempts
        else:
            self._unknown.pop(uid, None)

    async def _refused(self, worker: Worker, error: KubeError) -> None:
        if isinstance(error, NotFound):
            self._fleet.workers.forget((self._namespace, worker.name), worker.uid)
        elif isinstance(error, (Conflict, Invalid)):
            if isinstance(error, Invalid):
                # Not the message: it quotes the value that it refuses, which may be a stream's URL.
                log.error("FingerWorker %s refused its status: %s %s", worker.name, error.reason, error.fields)
            await self.reread(worker)
        else:
            log.warning("cannot write FingerWorker %s: %s", worker.name, error)

    def _store(self, raw: Json) -> Worker | None:
        try:
            worker = self._fleet.put_worker(raw)
        except ValueError as error:
            log.error("%s", error)  # noqa: TRY400 - a sentence; the traceback would tell nothing
            return None
        stored = worker.assignment
        self._term.check(worker)
        if stored.leader_epoch == self._term.leader_epoch:
            self.last_stamp = max(self.last_stamp, worker.resource_version)
        attempts = self._unknown.get(worker.uid, [])
        for number, attempt in enumerate(attempts, start=1):
            if _same(attempt, stored):
                # It arrived, and those before it fail. One after it may have been decided on this very state, as the
                # watch showed it, and still be on its way.
                self._leave_open(worker.uid, attempts[number:])
                break
        return worker


def _result_of(task: asyncio.Task[Write | None]) -> Write | None:
    """One worker's defect (its write stays open) must not cost the others their answers. Raises SupersededError."""
    try:
        return task.result()
    except SupersededError:
        raise
    except Exception:
        log.exception("a write failed")
        return None


def _patch_of(worker: Worker, assignment: Assignment) -> Json:
    """The assignment as a merge patch: what did not change is not sent, for a full one has hundreds of kilobytes."""
    whole = assignment_to_json(assignment, worker_uid=worker.uid)
    stored = worker.status.get("assignment")
    same = assignment.epoch == worker.assignment.epoch and assignment.grants == worker.assignment.grants
    if same and isinstance(stored, dict) and stored.get("hash") == whole["hash"]:
        return {key: whole[key] for key in ("epoch", "leaderEpoch", "revoking")}
    return whole


def _same(attempt: Assignment, stored: Assignment) -> bool:
    """Whether the stored assignment is this very write: a token is never used twice."""
    return (
        attempt.epoch == stored.epoch
        and attempt.leader_epoch == stored.leader_epoch
        and attempt.revoking == stored.revoking
        and {i: g.token for i, g in attempt.grants.items()} == {i: g.token for i, g in stored.grants.items()}
    )
