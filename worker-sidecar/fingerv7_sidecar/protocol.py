"""The protocol of the sidecar: what has happened goes in, what to do comes out; no I/O, no sleep, no clock.

It must never let a worker run a stream that somebody else may have been given. So everything hangs on one rule of
order. After a start, a fence or an attempted release: (1) a Lease write without acknowledgement and release is
acknowledged, (2) the FingerWorker is read directly, (3) the config is filled. `Mode` is where in that order it is.

Each event changes the state, then `_reconcile` looks at the whole of it and asks for whatever is missing. Losing an
event therefore costs time, never correctness.
"""

from __future__ import annotations

import enum
import math
from dataclasses import replace

from fingerv7.contract import Acknowledgement, Fence, Release
from fingerv7_sidecar.assignment import Config, View, belongs_to, emptied_config, view_of
from fingerv7_sidecar.clock import Clock
from fingerv7_sidecar.events import (
    Action,
    AwaitConfirmation,
    ConfigWritten,
    Confirmed,
    DrainRequested,
    Event,
    FenceWritten,
    Finish,
    HealthSeen,
    LeaseReply,
    LockProbed,
    Note,
    ProbeLock,
    ReadWorker,
    Reported,
    StopRequested,
    Tick,
    WorkerSeen,
    WorkerUnreadable,
    WriteConfig,
    WriteFence,
)
from fingerv7_sidecar.holding import Holding, LeaseWrite, Outcome, Phase
from fingerv7_sidecar.identity import Found, Identity, Policy, continued_fence
from fingerv7_sidecar.lease import Statement
from fingerv7_sidecar.times import Times
from fingerv7_sidecar.vitals import Vitals

_WRITE_RETRY_S = 1.0
_LONGEST_SILENCE_S = 600.0


class Mode(enum.Enum):
    CLEAR = "clear"
    """Wants a Lease write without acknowledgement and release acknowledged."""
    READ = "read"
    """Wants the FingerWorker read directly."""
    MIRROR = "mirror"
    """The config follows the FingerWorker."""
    EMPTYING = "emptying"
    """The worker is gone: the config is emptied and the lock looked at again, before the release."""
    RELEASED = "released"
    """Runs nothing and says so."""
    SUSPECT = "suspect"
    """The worker does not follow: nothing is renewed, so that T takes its streams away."""


class Sidecar:
    """The whole state of one sidecar. `handle` takes an event and returns the actions that follow from it."""

    def __init__(self, identity: Identity, policy: Policy, found: Found, now: Clock) -> None:
        self.identity = identity
        self.policy = policy
        self.times = Times(policy.timing)
        continues = continued_fence(found, identity, now)
        self.holding = Holding(identity, self.times, continuous=continues is not None)
        self.mode = Mode.CLEAR
        self.sent: Clock | None = None
        """When the last acknowledged renewal was sent; None while fenced."""
        self.view: View | None = None
        """In MIRROR: the FingerWorker, or None when there is none."""
        self.wanted: Config | None = found.config
        self.on_disk: Config | None = found.config
        self.confirmed = found.applied
        self.acked: Acknowledgement | None = None
        self.draining = self.stopping = self.finished = False
        self.fences = 0
        self.refused = self.read_error = self.write_error = self.fence_error = self.suspicion = ""
        self.confirm_latency_s: float | None = None
        self.clean = (
            not found.used
            if found.config is None
            else (found.config.streams == 0 and found.config.hash == found.applied)
        )
        """Whether the worker provably runs nothing of ours."""
        self._actions: list[Action] = []
        self._floors: dict[str, int] = {}
        self._uid = ""
        self._report = ""
        self._registers = policy.register_always
        self._serial = 0
        self._reading = 0
        self._writing: tuple[int, Config] | None = None
        self._write_retry_at = 0.0
        self._awaited = ""
        self._issued: list[str] = []
        self._unconfirmed_since: float | None = None
        self._written_at = 0.0
        self._cleared_after = 0
        self._lock_probe = 0
        self._empties = 0
        self._suspect_since = 0.0
        self._silence_s: float | None = None
        self._prove = False
        self._settled_read_at: float | None = None
        self._stop_by = 0.0
        runs = found.config is not None and found.config.streams > 0
        self.vitals = Vitals(
            now=now.boot,
            has_lock=policy.has_lock,
            report_timeout_s=policy.report_timeout_s,
            assume_alive=runs,
        )
        if continues:
            self.sent = Clock(continues.sent_s, now.wall - (now.boot - continues.sent_s))
            self.times.limit_fence(continues.fence_after_s)
            self._note("continuing", fence_in_s=round(continues.fence_after_s - (now.boot - continues.sent_s), 1))
        elif found.config and (found.config.epoch or runs):
            self._note("emptied-at-start", reason="the fence file does not allow the worker to run")
            self._want_emptied()

    # --- the interface

    def handle(self, now: Clock, event: Event) -> list[Action]:
        """What to do about this event, in this order."""
        self._take(now, event)
        # After the event: an answer that came late still says when its request was sent.
        self._judge_deadline(now)
        self._reconcile(now)
        actions, self._actions = self._actions, []
        return actions

    def wake_at(self, now: Clock) -> float:
        """The boot time of the next decision that no event brings, at most a second ahead.

        A suspended machine stops timers but not the clocks that the fence is judged on, hence the limit.
        """
        grace, at = self._grace_s, [now.boot + 1.0]
        if self.sent:
            at.append(now.boot + self.times.fence_s - now.since(self.sent))
        if self._may_write_lease:
            due = self.holding.wake_at(self._statement(now), at_once=self.mode is not Mode.EMPTYING)
            at += [] if due is None else [due]
        if self._unconfirmed_since is not None:
            at.append(self._unconfirmed_since + self._apply_timeout_s)
        if self._write_due is not None and not self._writing:
            at.append(self._write_retry_at)
        silent, gone = self.vitals.silent_at(grace), self.vitals.gone_at(grace)
        if self.mode in (Mode.CLEAR, Mode.READ, Mode.MIRROR):
            at += [silent[0]] if silent else []
            at += [gone] if gone is not None else []
        if self._settled_read_at is not None:
            at.append(self._settled_read_at)
        # Never in the past, or an overdue decision that waits for something else would spin.
        return max(min(at), now.boot + 0.005)

    @property
    def emptied(self) -> bool:
        """Whether the config on disk stops the worker: emptied, or gone."""
        return (
            self._writing is None
            and (self.on_disk is None or (self.wanted is not None and self.on_disk.hash == self.wanted.hash))
            and (self.wanted is None or self.wanted.emptied)
        )

    @property
    def drained(self) -> bool:
        """The release is stored, or there is nothing that could be released."""
        if self.mode is not Mode.RELEASED:
            return False
        told = self.holding.told
        return not self._uid or bool(told and told.released)

    @property
    def applied_epoch(self) -> int | None:
        """The epoch that the stored Lease acknowledges."""
        told = self.holding.told
        return self.acked.epoch if self.acked and told and told.applied == str(self.acked) else None

    @property
    def lease_held(self) -> bool:
        return self.holding.phase is Phase.HELD and self.sent is not None

    def problems(self) -> list[str]:
        """Why this worker is not ready; empty when it is."""
        found = []
        if self.holding.reason:
            found.append(self.holding.reason)
        if self.mode is Mode.SUSPECT:
            found.append(f"not renewing: {self.suspicion}")
        elif self.sent is None:
            found.append("fenced: no acknowledged renewal proves that this worker may run")
        if self.write_error:
            found.append(f"the config cannot be written: {self.write_error}")
        if self.fence_error:
            found.append(f"the fence file cannot be written: {self.fence_error}")
        if self.mode is Mode.EMPTYING:
            found.append("the worker process is gone")
        if self.mode is Mode.RELEASED:
            found.append("drained" if self.draining else "released: the worker process is gone")
        if self.read_error:
            found.append(self.read_error)
        if self.refused:
            found.append(f"the assignment is refused: {self.refused}")
        if self.mode is Mode.READ and self._settled_read_at is not None:
            found.append("waiting until a worker that ran under this name before must have stopped")
        if self.mode is Mode.MIRROR and not self.refused:
            if self.view is None:
                found.append(
                    f"FingerWorker {self.identity.namespace}/{self.identity.name} does not exist; create it"
                    + (" or let the pool accept registrations" if self.policy.register else " or set MAX_STREAMS")
                )
            elif self.applied_epoch != self.view.epoch:
                found.append(f"epoch {self.view.epoch} is not confirmed by the worker yet")
            if self.view and self.identity.pool and self.view.pool != self.identity.pool:
                found.append(f"POOL is {self.identity.pool} but the FingerWorker belongs to {self.view.pool}")
            if self.view and self.view.timing_problem:
                found.append(self.view.timing_problem)
        return found

    # --- events

    def _take(self, now: Clock, event: Event) -> None:
        match event:
            case Tick():
                pass
            case LeaseReply():
                self._lease_answered(now, event)
            case WorkerSeen() if event.serial == self._reading:
                self._worker_seen(now, event)
            case WorkerUnreadable() if event.serial == self._reading:
                if event.reason != self.read_error:
                    self._note("worker-unreadable", "warning", reason=event.reason)
                self.read_error = event.reason
            case ConfigWritten():
                self._config_written(now, event)
            case FenceWritten():
                if event.reason and not self.fence_error:
                    self._note("fence-file-failed", "error", reason=event.reason)
                self.fence_error = event.reason
            case Confirmed():
                self._confirmed(now, event.hash)
            case LockProbed():
                self._lock_probed(now, event)
            case HealthSeen():
                self.vitals.health(now.boot, ok=event.ok)
            case Reported():
                self.vitals.reported(now.boot)
                self._report = event.report
            case DrainRequested():
                if not self.draining:
                    self._note("drain-requested")
                self.draining = True
            case StopRequested():
                self._stop(now)
            case _:
                pass  # the answer to something given up

    def _lease_answered(self, now: Clock, reply: LeaseReply) -> None:
        outcome = self.holding.answered(now, reply)
        self._actions += self.holding.notes
        self.holding.notes.clear()
        recorded = self.holding.recorded
        if recorded:
            # The one place where a predecessor's highest epoch survives; acquiring clears it.
            self._raise_floor(recorded.worker_uid, recorded.epoch)
        if outcome is Outcome.OUSTED:
            if self.sent or not self.emptied:
                self._fence("somebody else holds the Lease")
                self._expire_fence_file()
        elif outcome is Outcome.VANISHED:
            self._start_over()
        elif outcome is Outcome.ACKNOWLEDGED and self.holding.last:
            self._acknowledged(self.holding.last)

    def _acknowledged(self, write: LeaseWrite) -> None:
        if not self._may_write_lease:
            # Sent before the worker had to stop. Nothing may keep it running until it was told to.
            self.holding.repeat()
            return
        self.times.acknowledged(write.statement.declared_s)
        if self.sent is None:
            self._note("alive", holder=self.identity.incarnation)
        self.sent = write.sent
        self._refresh_fence_file()
        if self.mode is Mode.CLEAR:
            unsaid = not write.statement.applied and not write.statement.released
            if unsaid and write.serial > self._cleared_after:
                self._read_directly()
            else:
                self.holding.repeat()

    def _worker_seen(self, now: Clock, event: WorkerSeen) -> None:
        view = None if event.fingerworker is None else view_of(event.fingerworker, self.identity.name)
        if event.fingerworker is not None and view is None:
            self.read_error = "the API server answered with another object than the own FingerWorker"
            return
        self.read_error = ""
        if self.mode not in (Mode.READ, Mode.MIRROR):
            return
        if view and self.holding.doubt_since is not None:
            settled = self._settled_at(view)
            if settled > now.boot:
                self.mode, self.view = Mode.READ, None
                self._settled_read_at = settled
                self._reading = 0  # what counts is a read after that
                return
            self.holding.doubt_since = None
        self.mode = Mode.MIRROR
        before, self.view = self.view, view
        if (before.uid if before else "") != (view.uid if view else ""):
            what = "worker-deleted" if not view else "worker-recreated" if before else "worker-seen"
            self._note(what, uid=view.uid if view else "")
        if view:
            self._uid = view.uid
            if not view.timing_problem:
                self.times.propose(view.timing)
            if view.timing_problem and (not before or before.timing_problem != view.timing_problem):
                self._note("times-refused", "warning", reason=view.timing_problem)
        elif not self._registers and self.policy.register:
            self._registers = True

    def _settled_at(self, view: View | None) -> float:
        """Until when another pod of this name may be running although the Lease that we hold tells nothing of it.

        A Lease can be deleted, so only a FingerWorker that never had anything to give proves that nobody runs. T
        after we acquired the Lease, a pod that was cut off has fenced, and one that was not has noticed us before.
        """
        since = self.holding.doubt_since
        untouched = view and view.config and not view.epoch and not view.config.streams
        if since is None or (
            view and untouched and view.incarnation.partition("/")[0] in ("", self.identity.pod_uid)
        ):
            return 0.0
        asked_s = view.timing.takeover_after_ms / 1000 if view and view.timing else 0.0
        return since + max(self.times.takeover_s, self.holding.declared_s, asked_s)

    def _config_written(self, now: Clock, event: ConfigWritten) -> None:
        if not self._writing or event.serial != self._writing[0]:
            return
        config, self._writing = self._writing[1], None
        if event.outcome == "written":
            self.on_disk, self._written_at = config, now.boot
            if self.write_error:
                self._note("config-writable-again")
            self.write_error = ""
            self._note("config-written", epoch=config.epoch, hash=config.hash, streams=config.streams)
            if self.policy.confirm_on_write:
                self._confirmed(now, config.hash)
            return
        if event.reason != self.write_error:
            self._note("config-write-failed", "error", reason=event.reason, unlinked=event.outcome == "unlinked")
        self.write_error = event.reason
        self._write_retry_at = now.boot + _WRITE_RETRY_S
        if event.outcome == "unlinked":
            self.on_disk = None
        elif config.emptied:
            # The worker cannot be told to stop, so whoever watches the fence file has to stop it.
            self._expire_fence_file()

    def _confirmed(self, now: Clock, digest: str) -> None:
        if digest == self.confirmed:
            return
        self.confirmed = digest
        if digest in self._issued:
            self._unconfirmed_since = None  # it follows, even if a newer config came meanwhile
        if self.on_disk and digest == self.on_disk.hash:
            self.confirm_latency_s = now.boot - self._written_at

    def _lock_probed(self, now: Clock, event: LockProbed) -> None:
        before = self.vitals.lock_held
        self.vitals.locked(now.boot, held=event.held)
        if before is not event.held:
            self._note("worker-lock", held=event.held)
        if event.serial and event.serial == self._lock_probe:
            self._lock_probe = 0
            if self.mode is Mode.EMPTYING and self.emptied:
                if event.held:
                    self.mode = Mode.CLEAR
                    self._start_over()
                else:
                    self.clean = True
                    self.mode = Mode.RELEASED
                    self._note("released", reason="the worker process is gone")

    def _stop(self, now: Clock) -> None:
        if self.stopping:
            return
        self.stopping = True
        self._note("stopping")
        self.draining = self.draining or self.policy.drain_on_stop
        self._stop_by = now.boot + 2 * self.times.request_s + 1
        if self.policy.has_lock:
            self._probe_lock()

    # --- transitions

    def _judge_deadline(self, now: Clock) -> None:
        if self.sent and now.since(self.sent) >= self.times.fence_s:
            self._fence(
                f"no renewal was acknowledged for {self.times.fence_s:g} s: {self.holding.reason or 'none sent'}"
            )

    def _fence(self, reason: str) -> None:
        self.fences += 1
        self.sent = None
        self.holding.interrupted()
        self._note("fenced", "warning", reason=reason)
        self._want_emptied()
        self._start_over()

    def _start_over(self) -> None:
        """Back to the first step of the order, with the config as it is."""
        self.acked = None
        self.view = None
        self._reading = 0
        self._settled_read_at = None
        self._cleared_after = self.holding.serial
        self.holding.repeat()
        keeps = self.mode is Mode.RELEASED and (self.draining or self.stopping)
        if self.mode not in (Mode.SUSPECT, Mode.EMPTYING) and not keeps:
            self.mode = Mode.CLEAR

    def _read_directly(self) -> None:
        self.mode = Mode.READ
        self._serial += 1
        self._reading = self._serial
        self._settled_read_at = None
        self._actions.append(ReadWorker(self._reading))

    def _suspect(self, now: Clock, reason: str) -> None:
        self._note("worker-unresponsive", "error", reason=reason)
        self.suspicion = reason
        self.mode = Mode.SUSPECT
        self.sent = None
        self.holding.interrupted()
        self._suspect_since = now.boot
        self._silence_s = self._silence_s or self.times.takeover_s
        self._want_emptied()
        self._start_over()
        self._expire_fence_file()

    def _reconsider_suspect(self, now: Clock) -> None:
        """A worker that follows again starts over.

        So does one that was silent for T: its streams are gone by then, and in a pod only a fresh fence file lets
        a restarted worker boot. It must confirm the emptied config before it is given anything.
        """
        if self.on_disk is None or not self.emptied:
            return
        silent = self.vitals.silent_at(self._grace_s)
        follows = self.confirmed == self.on_disk.hash and not (silent and silent[0] <= now.boot)
        if follows or now.boot - self._suspect_since >= (self._silence_s or 0.0):
            if not follows:
                self.vitals.forget()
                self._silence_s = min(_LONGEST_SILENCE_S, 2 * (self._silence_s or 0.0))
            self._prove = not follows
            self.mode = Mode.CLEAR
            self.holding.look_again()
            self._start_over()
            self._note("starting-over", worker="follows again" if follows else "has to prove itself")

    def _want_emptied(self) -> None:
        if self.wanted is not None and self.wanted.emptied and (not self._writing or self._writing[1].emptied):
            return
        if self.wanted is None and self.on_disk is None and not self._writing:
            return  # nothing to empty
        self._empties += 1
        self.wanted = emptied_config(self.identity.pool, self.identity.name, self.identity.incarnation, self._empties)
        self._write_retry_at = 0.0

    # --- looking at the whole

    def _reconcile(self, now: Clock) -> None:
        if self.finished:
            return
        self._adopt_times(now)
        self._look_at_worker(now)
        if self.mode is Mode.READ and self._settled_read_at is not None and now.boot >= self._settled_read_at:
            self._read_directly()
        if self.mode is Mode.MIRROR:
            self._mirror()
        self._write_config(now)
        self._acknowledge(now)
        self._release()
        self._await_confirmation()
        self._write_lease(now)
        self._finish(now)

    def _adopt_times(self, now: Clock) -> None:
        age = now.since(self.sent) if self.sent else 0.0
        before = self.times.active
        if self.times.adopt_shorter(age) and self.times.active != before:
            self._note("times", fence_after_s=self.times.fence_s, takeover_after_s=self.times.takeover_s)
            if self.sent:
                self._refresh_fence_file()

    def _look_at_worker(self, now: Clock) -> None:
        grace = 0.0 if self.stopping and not self._lock_probe else self._grace_s
        gone = self.vitals.gone_at(grace)
        if gone is not None and gone <= now.boot and self.mode not in (Mode.EMPTYING, Mode.RELEASED):
            self._note("worker-gone", "warning")
            self.mode = Mode.EMPTYING
            self._prove = False
            self._want_emptied()
            self._start_over()
        if self.mode is Mode.EMPTYING and self.emptied and not self._lock_probe:
            self._probe_lock()
        if self.mode is Mode.RELEASED and self.vitals.lock_held and not (self.draining or self.stopping):
            self._note("worker-back")
            self.mode = Mode.CLEAR
            self._start_over()
        if self.mode in (Mode.CLEAR, Mode.READ, Mode.MIRROR) and not self.stopping:
            silent = self.vitals.silent_at(self._grace_s)
            overdue = self._unconfirmed_since
            if silent and silent[0] <= now.boot and self.vitals.gone_at(0) is None:
                self._suspect(now, f"the worker is unresponsive: {silent[1]}")
            elif overdue is not None and now.boot - overdue >= self._apply_timeout_s:
                what = (
                    "the emptied config"
                    if self.wanted is None or self.wanted.emptied
                    else f"epoch {self.wanted.epoch}"
                )
                self._suspect(now, f"the worker did not confirm {what} within {self._apply_timeout_s:g} s")
        if self.mode is Mode.SUSPECT:
            self._reconsider_suspect(now)

    def _mirror(self) -> None:
        view = self.view
        found = self.wanted
        if view and found and not found.worker_uid and not found.emptied and belongs_to(found, view.uid):
            # What an earlier process left behind is this FingerWorker's.
            self.wanted = self.on_disk = replace(found, worker_uid=view.uid)
            self._raise_floor(view.uid, found.epoch)
        if self._prove:
            if self.on_disk is None or self.on_disk.hash != self.confirmed:
                return
            self._prove = False
        if self.acked and (view is None or self.acked.worker_uid != view.uid):
            self.acked = None
        refused = ""
        if view is None:
            self._want_emptied()
        elif view.config is None:
            refused = view.problem
        elif view.epoch < self._floors.get(view.uid, 0):
            # Restored from a backup. What runs stays acknowledged: only there the operator sees which epoch to pass.
            floor = self._floors[view.uid]
            refused = f"epoch {view.epoch} is older than what this worker ran; waiting for an epoch above {floor}"
        elif self._other_content(view.config):
            refused = f"the content of epoch {view.epoch} changed without a new epoch"
        else:
            if self.wanted is None or self.wanted.hash != view.config.hash:
                self._write_retry_at = 0.0
            self.wanted = view.config
            self._raise_floor(view.uid, view.epoch)
        if refused and refused != self.refused:
            self._note("assignment-refused", "error", reason=refused)
        self.refused = refused
        if refused and view and self.wanted and self.wanted.worker_uid != view.uid:
            self._want_emptied()  # the last good one was another FingerWorker's

    def _other_content(self, config: Config) -> bool:
        last = self.wanted
        return bool(
            last and last.worker_uid == config.worker_uid and last.epoch == config.epoch and last.hash != config.hash
        )

    @property
    def _write_due(self) -> Config | None:
        """The config that is not on disk but should be."""
        if self.wanted is None or (self.on_disk and self.on_disk.hash == self.wanted.hash):
            return None
        return self.wanted

    def _write_config(self, now: Clock) -> None:
        config = self._write_due
        if config is None or self._writing or now.boot < self._write_retry_at:
            return
        if config.streams:
            self.clean = False
            self.vitals.expect(now.boot)
        self._serial += 1
        self._writing = (self._serial, config)
        self._issued = [*self._issued[-7:], config.hash]
        self._actions.append(WriteConfig(self._serial, config, unlink_on_failure=config.emptied))

    def _acknowledge(self, now: Clock) -> None:
        disk = self.on_disk
        current = disk is not None and self.wanted is not None and disk.hash == self.wanted.hash and not self._writing
        confirmed = disk is not None and self.confirmed == disk.hash
        if current and disk and confirmed and not disk.streams:
            self.clean = True
        if self.mode is not Mode.MIRROR:
            self._unconfirmed_since = None
            return
        nothing_runs = self.clean and not (self.wanted and self.wanted.streams)
        unconfirmed = self.wanted is not None and self.wanted.hash != self.confirmed and not nothing_runs
        if self._prove:
            unconfirmed = True
        if not unconfirmed:
            self._unconfirmed_since = None
        elif self._unconfirmed_since is None:
            self._unconfirmed_since = now.boot
        view = self.view
        ours = disk if disk and view and disk.worker_uid == view.uid else None
        if ours and view and ours.epoch == view.epoch and not (view.config and view.config.hash == ours.hash):
            self.acked = None  # somebody edited the FingerWorker: the epoch no longer says what runs
        elif ours and current and (confirmed or nothing_runs):
            acked = Acknowledgement(ours.worker_uid, self.identity.incarnation, ours.epoch)
            if acked != self.acked:
                self._note("applied", epoch=ours.epoch, hash=ours.hash, streams=ours.streams)
            self.acked = acked
            if confirmed:
                self._silence_s = None

    def _release(self) -> None:
        """A drain, or the end of the process, with a worker that provably runs nothing."""
        if self.mode is not Mode.MIRROR or not (self.draining or self.stopping) or not self.clean:
            return
        nothing_assigned = self.view is None or (self.acked is not None and self.acked.epoch == self.view.epoch)
        if nothing_assigned and (self.wanted is None or not self.wanted.streams) and self._write_due is None:
            self.mode = Mode.RELEASED
            self._note("released", reason="drained" if self.draining else "stopping with nothing assigned")
            self._start_over()

    def _await_confirmation(self) -> None:
        awaited = self.on_disk if self.on_disk and self.on_disk.hash != self.confirmed else None
        if self.policy.confirm_on_write or (awaited.hash if awaited else "") == self._awaited:
            return
        self._awaited = awaited.hash if awaited else ""
        self._actions.append(AwaitConfirmation(awaited))

    @property
    def _may_write_lease(self) -> bool:
        """A renewal keeps the worker running, so none while it should stop but was not told."""
        must_stop = self.wanted is not None and self.wanted.emptied
        return self.mode is not Mode.SUSPECT and (self.emptied or not must_stop)

    def _write_lease(self, now: Clock) -> None:
        if not self._may_write_lease:
            return
        # While emptying, the release follows in a moment and clears the acknowledgement as well.
        at_once = self.mode is not Mode.EMPTYING
        send = self.holding.request(now, self._statement(now), at_once=at_once, report=self._report)
        self._actions += self.holding.notes
        self.holding.notes.clear()
        if send:
            self._actions.append(send)

    def _statement(self, now: Clock) -> Statement:
        # Whoever holds the Lease speaks for all that may be running under it.
        released = self.mode is Mode.RELEASED and bool(self._uid) and self._settled_at(None) <= now.boot
        return Statement(
            applied=str(self.acked) if self.acked else "",
            released=str(Release(self._uid, self.identity.incarnation)) if released else "",
            drain=self.identity.incarnation if self.draining else "",
            register=self.policy.register if self._registers else "",
            declared_s=self.times.declared_s,
        )

    def _finish(self, now: Clock) -> None:
        if not self.stopping:
            return
        waits = (
            bool(self._lock_probe) or self.mode is Mode.EMPTYING or (self.mode is Mode.RELEASED and not self.drained)
        )
        overdue = now.boot >= self._stop_by and not self.draining
        if not self.lease_held or overdue or not (waits or (self.draining and not self.drained)):
            self.finished = True
            self._note("stopped", released=self.drained, drained=self.draining and self.drained)
            self._actions.append(Finish())

    # --- small things

    @property
    def _grace_s(self) -> float:
        return self.times.renew_s if self.policy.worker_grace_s is None else self.policy.worker_grace_s

    @property
    def _apply_timeout_s(self) -> float:
        return self.times.takeover_s if self.policy.apply_timeout_s is None else self.policy.apply_timeout_s

    def _raise_floor(self, uid: str, epoch: int) -> None:
        self._floors[uid] = max(epoch, self._floors.get(uid, 0))

    def _probe_lock(self) -> None:
        self._serial += 1
        self._lock_probe = self._serial
        self._actions.append(ProbeLock(self._serial))

    def _refresh_fence_file(self) -> None:
        if self.sent:
            # Rounded down, because the file keeps milliseconds and must never promise more than is true.
            sent = math.floor(self.sent.boot * 1000) / 1000
            self._actions.append(WriteFence(Fence(sent, self.times.fence_s, self.identity.boot_id)))

    def _expire_fence_file(self) -> None:
        self._actions.append(WriteFence(Fence(0.0, 0.0, self.identity.boot_id)))

    def _note(self, event: str, level: str = "info", **fields: object) -> None:
        self._actions.append(Note(event, fields, level))  # type: ignore[arg-type]
