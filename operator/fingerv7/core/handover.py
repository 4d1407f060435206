"""The hand-over protocol: the next write of each worker, so that no stream ever has two holders.

A stream is *held* by a worker while its id is in that worker's `grants` or `revoking` (design section 4). The
three moves are made in three accepted writes: **revoke** (grants → revoking, epoch + 1), **clear** (out of
revoking, once a proof frees it), **grant** (only of what nobody holds, epoch + 1, new token). `step` looks at the
stored assignments and at what is wanted and answers at most one write a worker; called again after those were
accepted, it goes on from there. It remembers nothing, so a crash between any two writes loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from fingerv7.core.model import Assignment, Grant, Stream, Token, Worker

NOT_PROVEN = -1


class Action(StrEnum):
    GRANT = "grant"
    REVOKE = "revoke"
    CLEAR = "clear"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the log: what happened to one stream of one worker, and why."""

    action: Action
    stream: str
    epoch: int
    token: Token | None
    reason: str


@dataclass(frozen=True, slots=True)
class Write:
    """The next `status.assignment` of one worker."""

    worker: str
    assignment: Assignment
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Holder:
    """A worker as the protocol sees it."""

    worker: Worker
    """As stored by the last accepted write."""
    free_through: int = NOT_PROVEN
    """Revoked entries up to this epoch are proven to have stopped: by an acknowledgement of the present holder,
    or by a Lease read *after* that epoch was stored which showed a release or T of silence."""
    claimed_epoch: int = 0
    """Its acknowledgements prove nothing up to this epoch (see `doubt.Claims`); 0 when they do. Either a restored
    backup has undone that epoch, or its acknowledgement overtook the answer to the write that made it. It is
    believed again as soon as it confirms a higher one, so the stored epoch must pass this one."""
    accepts: bool = False
    """Whether it may be granted anything now: alive, stamped, acknowledging, not draining, not backed off."""
    unknown: Assignment | None = None
    """A write whose outcome is not known: what it gives is held, and what it takes is held still."""
    keeps_unplaced: bool = False
    """A draining worker goes on with what has no room elsewhere, until its drain times out."""
    stop_reason: str = ""
    """Why everything is taken from it (silent, released); empty for a worker that goes on."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the plan asks for."""

    catalog: Mapping[str, Stream]
    target: Mapping[str, str]
    """Stream id → worker; ids without an entry have no place."""
    reasons: Mapping[str, str]
    """Stream id → why it moves or has no place."""


def step(
    holders: Mapping[str, Holder],
    wanted: Wanted,
    *,
    leader_epoch: int,
    next_token: Callable[[], Token],
    may_grant: Callable[[str], bool],
) -> list[Write]:
    """The next write of each worker that needs one, in the order of names.

    `may_grant` answers for a stream that nobody holds whether it may be given to somebody now: False before the
    leader's barrier, and while a worker that may run anything has not said what it runs.
    """
    held = held_streams(holders)
    keepers = _newest_grants(holders, held)
    incoming: dict[str, list[Stream]] = {}
    for stream_id, name in sorted(item for item in wanted.target.items() if item[0] not in held):
        stream = wanted.catalog.get(stream_id)
        holder = holders.get(name)
        if stream and holder and holder.accepts and may_grant(stream_id):
            incoming.setdefault(name, []).append(stream)
    for stream_id, name in _returning(holders, wanted, held):
        incoming.setdefault(name, []).append(wanted.catalog[stream_id])
    writes = []
    for name in sorted(holders):
        holder = holders[name]
        write = _next(holder, wanted, incoming.get(name, []), keepers, leader_epoch, next_token)
        if write:
            writes.append(write)
    return writes


def held_streams(holders: Mapping[str, Holder]) -> dict[str, list[str]]:
    """Stream id → the names of all workers that hold it, unknown writes counted both ways."""
    held: dict[str, list[str]] = {}
    for name, holder in holders.items():
        ids: set[str] = set(holder.worker.assignment.grants).union(holder.worker.assignment.revoking)
        if holder.unknown:
            ids.update(holder.unknown.grants, holder.unknown.revoking)
        alone = [name]
        if held.keys().isdisjoint(ids):
            # As good as always: one list for all of them, since none is ever changed.
            held.update(dict.fromkeys(ids, alone))
        else:
            held.update({stream_id: [*held.get(stream_id, ()), name] for stream_id in ids})
    return held


def _newest_grants(holders: Mapping[str, Holder], held: Mapping[str, list[str]]) -> dict[str, str]:
    """For ids in more than one worker's grants (an edit by hand, a restored backup): who keeps it."""
    keepers = {}
    for stream_id, names in held.items():
        if len(names) > 1:
            granted = [
                (grant.token, name)
                for name in names
                if (grant := holders[name].worker.assignment.grants.get(stream_id)) is not None
            ]
            if len(granted) > 1:
                keepers[stream_id] = max(granted)[1]
    return keepers


def _next(
    holder: Holder,
    wanted: Wanted,
    incoming: list[Stream],
    keepers: Mapping[str, str],
    leader_epoch: int,
    next_token: Callable[[], Token],
) -> Write | None:
    worker = holder.worker
    stored = worker.assignment
    if stored.leader_epoch != leader_epoch:
        # The stamp comes first and alone: from here on a write of an older leader is refused.
        return Write(worker.name, replace(stored, leader_epoch=leader_epoch))

    epoch = max(stored.epoch, holder.claimed_epoch) + 1
    changes: list[Change] = []
    grants: dict[str, Grant] = {}
    revoking = dict(stored.revoking)

    for stream_id, at in stored.revoking.items():
        if at <= holder.free_through:
            del revoking[stream_id]
            changes.append(Change(Action.CLEAR, stream_id, at, None, holder.stop_reason or "Acknowledged"))

    for stream_id, grant in stored.grants.items():
        reason = _revoke_reason(stream_id, holder, wanted, keepers)
        if reason:
            revoking[stream_id] = epoch
            changes.append(Change(Action.REVOKE, stream_id, epoch, grant.token, reason))
            continue
        stream = wanted.catalog.get(stream_id, grant.stream)
        if stream == grant.stream:
            grants[stream_id] = grant
            continue
        grants[stream_id] = Grant(stream, grant.token)
        if _differs_for_worker(stream, grant.stream):
            changes.append(Change(Action.UPDATE, stream_id, epoch, grant.token, "RowChanged"))

    room = _Room(worker, grants, revoking, wanted.catalog)
    for stream in incoming:
        returning = stream.id in revoking
        if room.takes(stream, already_counted=returning):
            token = next_token()
            revoking.pop(stream.id, None)
            grants[stream.id] = Grant(stream, token)
            reason = "Returned" if returning else wanted.reasons.get(stream.id, "NewStream")
            changes.append(Change(Action.GRANT, stream.id, epoch, token, reason))

    unpassed_claim = 0 < holder.claimed_epoch >= stored.epoch
    if unpassed_claim:
        # A restored backup: an acknowledgement of an epoch that never was must not free what was revoked before it.
        revoking = dict.fromkeys(revoking, epoch)
    runs_differently = any(change.action is not Action.CLEAR for change in changes)
    if holder.unknown is not None or unpassed_claim:
        # Only a write that is accepted later proves that the one of unknown outcome never will be, and a patch
        # that changes nothing is none: hence always a new epoch.
        runs_differently = True
    if not runs_differently and not changes and grants == stored.grants:
        return None
    return Write(
        worker.name,
        Assignment(epoch if runs_differently else stored.epoch, leader_epoch, grants, revoking),
        tuple(changes),
    )


def _revoke_reason(stream_id: str, holder: Holder, wanted: Wanted, keepers: Mapping[str, str]) -> str:
    """Why this worker must stop this stream; empty when it goes on with it."""
    name = holder.worker.name
    if holder.stop_reason:
        return holder.stop_reason
    if stream_id not in wanted.catalog:
        return wanted.reasons.get(stream_id, "Removed")
    if keepers.get(stream_id, name) != name:
        return "DoubleHeld"
    target = wanted.target.get(stream_id)
    if target == name:
        return ""
    if target is None and holder.keeps_unplaced:
        return ""
    return wanted.reasons.get(stream_id, "Moved")


def _returning(
    holders: Mapping[str, Holder], wanted: Wanted, held: Mapping[str, list[str]]
) -> Iterator[tuple[str, str]]:
    """Streams wanted again by the worker that is still stopping them: nobody else may have them meanwhile."""
    for name, holder in sorted(holders.items()):
        if holder.accepts and holder.unknown is None:
            for stream_id, at in sorted(holder.worker.assignment.revoking.items()):
                if (
                    at > holder.free_through
                    and wanted.target.get(stream_id) == name
                    and stream_id in wanted.catalog
                    and held[stream_id] == [name]
                ):
                    yield stream_id, name


def _differs_for_worker(new: Stream, old: Stream) -> bool:
    return (new.url, new.name, new.metadata) != (old.url, old.name, old.metadata)


class _Room:
    """Weight and bytes of one worker, counting what it still holds while it stops it."""

    def __init__(
        self, worker: Worker, grants: Mapping[str, Grant], revoking: Mapping[str, int], catalog: Mapping[str, Stream]
    ) -> None:
        weights = [grant.stream.weight for grant in grants.values()]
        weights += [catalog[i].weight if i in catalog else 1 for i in revoking]
        self._weight = worker.max_streams - sum(weights)
        self._count = worker.max_streams - len(weights)
        self._bytes = MAX_ASSIGNMENT_BYTES - sum(grant.stream.size for grant in grants.values())

    def takes(self, stream: Stream, *, already_counted: bool) -> bool:
        weight, count = (0, 0) if already_counted else (stream.weight, 1)
        if weight > self._weight or count > self._count or stream.size > self._bytes:
            return False
        self._weight -= weight
        self._count -= count
        self._bytes -= stream.size
        return True


MAX_ASSIGNMENT_BYTES = 1_000_000
"""An API object holds about 1.5 MB (design section 6)."""
