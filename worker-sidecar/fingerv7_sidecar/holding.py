"""Getting and keeping the own Lease: look, wait for a rival, acquire, renew.

The Lease decides which of several processes of one identity may run the worker. Another pod's Lease is acquired
only after its release, or after it stayed unchanged for T while we watched; our own clock measures that, never the
timestamps in it. Anybody may delete a Lease, so one that is absent or blank proves nothing about who runs: a rival
that was seen before is waited for just the same, and one that may have been missed leaves a doubt (`doubt_since`).
One request is under way at a time, because two writes would only make each other fail.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fingerv7.contract import Acknowledgement
from fingerv7_sidecar.clock import Clock, rfc3339_micro
from fingerv7_sidecar.events import LeaseReply, SendLease
from fingerv7_sidecar.identity import Identity
from fingerv7_sidecar.lease import Statement, Stored, blank, renewed, stored
from fingerv7_sidecar.outbox import Outbox
from fingerv7_sidecar.times import Times


class Phase(enum.Enum):
    LOOKING = "looking"
    """What is stored is not known."""
    WAITING = "waiting"
    """Another pod holds it, or did and may still run."""
    FREE = "free"
    """It may be acquired, or created when there is none."""
    HELD = "held"


class Outcome(enum.Enum):
    NOTHING = enum.auto()
    ACKNOWLEDGED = enum.auto()
    """A write of ours was acknowledged; see `Holding.last`."""
    VANISHED = enum.auto()
    """It was deleted, or its holder erased; it is acquired anew, and nobody else runs under it so far."""
    OUSTED = enum.auto()
    """Somebody else holds it."""


@dataclass(frozen=True, slots=True)
class LeaseWrite:
    """A request for the Lease, as it was sent."""

    serial: int
    kind: Literal["read", "create", "acquire", "renew"]
    sent: Clock
    statement: Statement


class Holding:
    """The state of the own Lease; `request` says what to send, `answered` takes the reply."""

    def __init__(self, identity: Identity, times: Times, out: Outbox, *, continuous: bool, acquired: int) -> None:
        """`continuous`: an earlier process of this pod held the Lease less than D ago, and had acquired it then."""
        self._identity = identity
        self._times = times
        self._out = out
        self.phase = Phase.LOOKING
        self.reason = "the Lease was not read yet"
        """Why it is not held, or why the last renewal failed; empty when all is well."""
        self.last: LeaseWrite | None = None
        """The last acknowledged write."""
        self.told: Statement | None = None
        """What the stored Lease states; None when unknown."""
        self.recorded: Acknowledgement | None = None
        """The acknowledgement found in the Lease when it was read."""
        self.acquired = acquired
        """The Lease's resourceVersion when this pod had acquired it: higher than that of every other pod before, and
        the same as long as no other pod can have had it since, because workers start a stream anew for a new token.
        0: unknown.
        """
        self.doubt_since: float | None = None
        """Since when we hold a Lease that told nothing of who held it before: for T another pod may be running."""
        self.declared_s = 0.0
        """The takeover time that the last other holder declared."""
        self.ok = 0
        self.failed = 0
        self.serial = 0
        self._under_way: LeaseWrite | None = None
        self._lease: Mapping[str, Any] | None = None
        self._retry_at = 0.0
        self._conflicts = 0
        self._failures = 0
        self._was_held = False
        self._continuous = continuous
        """We hold it, or did less than D ago: nobody else can have waited for T since, so nobody else runs."""
        self._vanished = False
        """Whether the Lease vanished under us and is not acquired again yet."""
        self._doubtful = False
        """What is about to be acquired does not tell whether another pod held it less than T ago."""
        self._rival: tuple[tuple[str, str, int], float] | None = None
        """What the Lease of another pod looked like, and since when. Forgotten only by a release or after T."""
        self._rival_name = ""
        self._told_waiting_at = 0.0

    # --- deciding what to send

    def request(self, now: Clock, statement: Statement, *, at_once: bool, report: str) -> None:
        """Send what is due, if anything. `at_once`: a changed statement does not wait for the renewal interval."""
        if self._under_way or now.boot < self._due(statement, at_once=at_once):
            return
        if self.phase in (Phase.LOOKING, Phase.WAITING):
            self._send(now, "read", "GET", Statement(), None)
            return
        if self.phase is Phase.HELD and self._lease is not None:
            kind: Literal["create", "acquire", "renew"] = "renew"
        else:
            # Whoever acquires starts without an acknowledgement or a release of a predecessor.
            kind = "create" if self._lease is None else "acquire"
            statement = Statement(register=statement.register, declared_s=statement.declared_s)
        if self._lease is None:
            if not self._identity.pool:
                self._fail(now, "the Lease does not exist and cannot be created without a pool: set POOL")
                return
            base: Mapping[str, Any] = blank(self._identity.name, self._identity.namespace, self._identity.pool)
        else:
            base = self._lease
        body = renewed(
            base,
            holder=self._identity.incarnation,
            pool=self._identity.pool,
            wall=now.wall,
            statement=statement,
            report=report,
        )
        self._send(now, kind, "POST" if kind == "create" else "PUT", statement, body)

    def wake_at(self, statement: Statement, *, at_once: bool) -> float | None:
        """The boot time at which `request` has something to send; None while it waits for an answer."""
        return None if self._under_way else self._due(statement, at_once=at_once)

    def look_again(self) -> None:
        """Whatever is known of the Lease is old: read it before writing it."""
        self.phase = Phase.LOOKING
        self.told = None

    def repeat(self) -> None:
        """Write again at once, even if what we state is stored already."""
        self.told = None

    def interrupted(self) -> None:
        """We fenced: from now on others may have held the Lease in between."""
        self._continuous = False

    def _due(self, statement: Statement, *, at_once: bool) -> float:
        if self.phase is Phase.HELD and self.last and self._lease is not None:
            changed = at_once and statement != self.told
            scheduled = 0.0 if changed else self.last.sent.boot + self._times.renew_s
            if self.told is None and (at_once or self._retry_at):
                scheduled = 0.0  # after a conflict at once, after a failure at the pace of retries
            return max(self._retry_at, scheduled)
        return self._retry_at

    def _send(
        self,
        now: Clock,
        kind: Literal["read", "create", "acquire", "renew"],
        method: Literal["GET", "POST", "PUT"],
        statement: Statement,
        body: Mapping[str, Any] | None,
    ) -> None:
        self.serial += 1
        self._under_way = LeaseWrite(self.serial, kind, now, statement)
        self._out.add(SendLease(self.serial, method, body, self._times.request_s))

    # --- taking the answer

    def answered(self, now: Clock, reply: LeaseReply) -> Outcome:
        request = self._under_way
        if request is None or reply.serial != request.serial:
            return Outcome.NOTHING
        self._under_way = None
        if request.kind != "read":
            self.told = None  # until an acknowledgement says otherwise, either may be stored
        if reply.status in (200, 201) and reply.body is not None:
            if request.kind == "read":
                return self._judge(now, request, reply.body)
            return self._acknowledged(now, request, reply.body)
        if reply.status == 404 and request.kind != "create":  # there it would be the namespace
            return self._judge(now, request, None)
        if reply.status == 409 and request.kind != "read":
            self._conflicts += 1
            self.phase = Phase.LOOKING
            # At once, but not in a tight loop with somebody who writes as eagerly.
            self._retry_at = 0.0 if self._conflicts <= 3 else now.boot + self._pace
            return Outcome.NOTHING
        if request.kind == "create":
            # Who may not create one waits for the operator's; and whose creation got no answer may have one.
            self.phase = Phase.LOOKING
        self._fail(now, _explain(reply, request.kind, self._identity), since=request.sent)
        return Outcome.NOTHING

    @property
    def _pace(self) -> float:
        """Measured from the send, so that at least two tries fit between a missed renewal and the fence."""
        if self._failures > 10 and not self._continuous:
            return self._times.renew_s
        return min(self._times.renew_s, self._times.request_s)

    def _fail(self, now: Clock, reason: str, since: Clock | None = None) -> None:
        self.failed += 1
        self._failures += 1
        self._retry_at = max(now.boot + 0.05, (since or now).boot + self._pace)
        if reason != self.reason:
            self._out.note("lease-request-failed", "warning", reason=reason)
        self.reason = reason

    def _acknowledged(self, now: Clock, request: LeaseWrite, body: Mapping[str, Any]) -> Outcome:
        if request.kind != "renew":
            self._out.note("lease-acquired", holder=self._identity.incarnation, created=request.kind == "create")
            self.doubt_since = None
        elif self.reason:
            self._out.note("lease-renewed-again", after=self.reason)
        if self._doubtful:
            self.doubt_since, self._doubtful = now.boot, False
        # Also with a renewal: the answer to what acquired it may have been lost.
        self.acquired = self.acquired or int(body["metadata"]["resourceVersion"])
        self.phase, self._lease = Phase.HELD, body
        self._was_held = self._continuous = True
        self._vanished = False
        self.last, self.told, self.reason = request, request.statement, ""
        self.ok += 1
        self._retry_at, self._conflicts, self._failures = 0.0, 0, 0
        return Outcome.ACKNOWLEDGED

    def _judge(self, now: Clock, request: LeaseWrite, body: Mapping[str, Any] | None) -> Outcome:
        """Who may run under the Lease as it was just seen; None: there is none."""
        found = stored(body or {})
        self._lease, self._retry_at = body, 0.0
        self.recorded = found.applied
        if found.holder == self._identity.incarnation:
            self.phase, self._rival = (Phase.HELD if self.last else Phase.FREE), None
            return Outcome.NOTHING
        pod_uid = found.holder.partition("/")[0]
        if not self._continuous or pod_uid not in ("", self._identity.pod_uid):
            self.acquired = 0  # others may have had it
        if found.duration_s:
            self.declared_s = float(found.duration_s)
        if self._continuous and not found.holder:
            self.phase, self._doubtful = Phase.FREE, self.doubt_since is not None
            if self._vanished:
                return Outcome.NOTHING
            self._vanished = True
            what = "erased its holder" if body else "deleted it"
            self._out.note("lease-vanished", "warning", reason=f"somebody {what}; acquiring it again")
            return Outcome.VANISHED
        if pod_uid == self._identity.pod_uid and not self._was_held:
            # An earlier process of this pod. One that acquired the Lease just now may have been in doubt itself.
            since = rfc3339_micro(now.wall - max(self._times.takeover_s, self.declared_s))
            self.phase, self._rival = Phase.FREE, None
            self._doubtful = not self._continuous and found.acquire_time > since
            return Outcome.NOTHING
        if found.shows_release:
            self.phase, self._rival, self._doubtful = Phase.FREE, None, False
            return Outcome.OUSTED if self._continuous else Outcome.NOTHING
        if found.never_held and not self._rival:
            self.phase, self._doubtful = Phase.FREE, True
            return Outcome.NOTHING
        return self._wait(now, request, found)

    def _wait(self, now: Clock, request: LeaseWrite, found: Stored) -> Outcome:
        seen = (found.holder, found.renew_time, found.transitions)
        wait_s = max(self._times.takeover_s, self.declared_s)
        if self._rival is None or self._rival[0] != seen:
            self._rival = (seen, now.boot)
        self._rival_name = found.holder or self._rival_name
        self._doubtful = False
        since = self._rival[1]
        if request.sent.boot - since >= wait_s:
            self._out.note("lease-expired", "warning", holder=self._rival_name, silent_s=round(wait_s, 1))
            self.phase, self._rival, self._rival_name = Phase.FREE, None, ""
            return Outcome.NOTHING
        first, self.phase = self.phase is not Phase.WAITING, Phase.WAITING
        self._continuous = False
        left = since + wait_s - now.boot
        self._retry_at = now.boot + max(0.01, min(self._pace, left))
        who = (
            f"another pod holds the Lease as {found.holder}"
            if found.holder
            else f"the Lease was held by {self._rival_name or 'another pod'} and then erased or deleted"
        )
        self.reason = (
            f"{who}; waiting until it releases it or has been silent for {wait_s:.0f} s ({left:.0f} s to go). "
            "Two sidecars must not share one INSTANCE_ID"
        )
        if first or now.boot - self._told_waiting_at >= 60:
            self._told_waiting_at = now.boot
            self._out.note("lease-held-by-another", "warning", reason=self.reason)
        return Outcome.OUSTED


def _explain(reply: LeaseReply, kind: str, identity: Identity) -> str:
    where = f"Lease {identity.namespace}/{identity.name}"
    if reply.status == 0:
        return f"no answer to the {kind} of {where}: {reply.reason}"
    if reply.status == 401:
        return f"the API server does not accept the token (401) for the {kind} of {where}"
    if reply.status == 403 and kind == "create":
        return (
            f"{where} does not exist, and the service account has no verb create on leases.coordination.k8s.io: "
            "waiting for the operator to create it"
        )
    if reply.status == 403:
        verb = "get" if kind == "read" else "update"
        return f"forbidden to {kind} {where}: the service account needs the verb {verb} on leases.coordination.k8s.io"
    if reply.status == 404:
        return f"namespace {identity.namespace} does not exist"
    return f"the {kind} of {where} was answered with {reply.status}: {reply.reason}"
