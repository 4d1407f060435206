"""The protocol of the sidecar: what has happened goes in, what to do comes out; no I/O, no sleep, no clock.

It must never let a worker run a stream that somebody else may have been given. So everything hangs on one rule of
order. After a start, a fence or an attempted release: (1) a Lease write without acknowledgement and release is
acknowledged, (2) the FingerWorker is read directly, (3) the config is filled. `Mode` is where in that order it is.
None of this begins before a worker that was told to stop has confirmed that it did, or K has passed.

Each event changes the state, then `_reconcile` looks at the whole of it and asks for whatever is missing. Losing an
event therefore costs time, never correctness.
"""

from __future__ import annotations

from fingerv7.contract import Release
from fingerv7_sidecar.assignment import acquired_by
from fingerv7_sidecar.clock import Clock
from fingerv7_sidecar.config_file import ConfigFile
from fingerv7_sidecar.draining import Draining
from fingerv7_sidecar.events import (
    Action,
    ConfigWritten,
    Confirmed,
    DrainRequested,
    Event,
    FenceWritten,
    Finish,
    HealthSeen,
    LeaseReply,
    LockProbed,
    ProbeLock,
    Reported,
    StopRequested,
    VpnSeen,
    WorkerSeen,
    WorkerUnreadable,
)
from fingerv7_sidecar.holding import Holding, LeaseWrite, Outcome, Phase
from fingerv7_sidecar.identity import Found, Identity, Policy, continued_fence
from fingerv7_sidecar.lease import Statement
from fingerv7_sidecar.mirror import Mirror
from fingerv7_sidecar.mode import Mode
from fingerv7_sidecar.outbox import Outbox
from fingerv7_sidecar.problems import problems
from fingerv7_sidecar.proof import Proof
from fingerv7_sidecar.report import with_vpn
from fingerv7_sidecar.suspicion import Suspicion, complaint
from fingerv7_sidecar.times import Times
from fingerv7_sidecar.vitals import Vitals

_WORKING = (Mode.CLEAR, Mode.READ, Mode.MIRROR)


class Sidecar:
    """The whole state of one sidecar. `handle` takes an event and returns the actions that follow from it."""

    def __init__(self, identity: Identity, policy: Policy, found: Found, now: Clock) -> None:
        self.identity = identity
        self.policy = policy
        self.mode = Mode.CLEAR
        self.stopping = self.finished = False
        self.awaits_stop = False
        """A renewal was acknowledged, and counts for nothing as long as the worker may not have stopped."""
        self.fences = 0
        continued = continued_fence(found, identity, now)
        runs = found.config is not None and found.config.streams > 0
        self._out = Outbox()
        self.times = Times(policy.timing)
        self.proof = Proof(identity.boot_id, self._out, had_one=found.used)
        self.holding = Holding(
            identity,
            self.times,
            self._out,
            continuous=continued is not None,
            acquired=acquired_by(found.config) if continued and found.config else 0,
        )
        self.config = ConfigFile(identity, found, self._out, confirm_on_write=policy.confirm_on_write)
        self.mirror = Mirror(identity, self.times, self.holding, self.config, self._out)
        self.suspicion = Suspicion()
        self._drain = Draining(self._out)
        self.vitals = Vitals(
            now=now.boot,
            has_lock=policy.has_lock,
            report_timeout_s=policy.report_timeout_s,
            assume_alive=runs,
        )
        self._report = self._said = ""
        """What the Lease is to tell, and what of it the worker itself said."""
        self._vpn: dict[str, str] = {}
        self._registers = policy.register_always
        self._told_apply_limit = False
        self._crashed = False
        """The worker ended although nobody had asked it to: the operator counts that as a death."""
        self._cleared_after = 0
        self._lock_probe = 0
        self._stop_by = 0.0
        if continued:
            self.proof.continued(now, continued)
            self.times.limit_fence(continued.fence_after_s)
        elif found.config and (found.config.epoch or runs):
            self._out.note("emptied-at-start", reason="the fence file does not allow the worker to run")
            self.config.want_emptied()
        if not continued and self._may_still_run(now):
            self.proof.expire()  # it may still hold, for a config that is not gone on with

    # --- the interface

    def handle(self, now: Clock, event: Event) -> list[Action]:
        """What to do about this event, in this order."""
        self.proof.look(now, self.times.fence_s, self.times.stop_s)
        # Before the event: once D has passed others may have the streams, and no answer brings that time back.
        self._fence_if_due(now)
        self._take(now, event)
        # And after it: an answer that came late still says when its request was sent.
        self._fence_if_due(now)
        if not self.finished:
            self._reconcile(now)
        return self._out.take()

    def wake_at(self, now: Clock) -> float:
        """The boot time of the next decision that no event brings, at most a second ahead.

        A suspended machine stops timers but not the clocks that the fence is judged on, hence the limit.
        """
        at: list[float | None] = [now.boot + 1.0, self.config.wake_at(), self.mirror.read_at]
        age_s = self.proof.age_s(now)
        if age_s is not None:
            at.append(now.boot + self.times.fence_s - age_s)
        if self._may_still_run(now):
            at.append(now.boot + self.times.stop_s / 4)
        if self._may_write_lease:
            at.append(self.holding.wake_at(self._statement(now), at_once=self.mode is not Mode.EMPTYING))
        if self.config.unconfirmed_since is not None:
            at.append(self.config.unconfirmed_since + self._apply_timeout_s)
        if self.mode in _WORKING:
            silent = self.vitals.silent_at(self._grace_s)
            at += [silent[0] if silent else None, self.vitals.gone_at(self._grace_s)]
        # Never in the past, or an overdue decision that waits for something else would spin.
        return max(min(each for each in at if each is not None), now.boot + 0.005)

    def _fence_if_due(self, now: Clock) -> None:
        age_s = self.proof.age_s(now)
        if age_s is not None and age_s >= self.times.fence_s:
            why = self.holding.reason or "none sent"
            self._fence(f"no renewal was acknowledged for {self.times.fence_s:g} s: {why}")

    @property
    def fenced(self) -> bool:
        """Nothing proves that the worker may run."""
        return self.proof.sent is None

    @property
    def draining(self) -> bool:
        """Somebody asked for it."""
        return self._drain.asked

    @property
    def drained(self) -> bool:
        """The release is stored, or there is nothing that could be released."""
        if self.mode is not Mode.RELEASED:
            return False
        told = self.holding.told
        return not self.mirror.uid or bool(told and told.released)

    @property
    def applied_epoch(self) -> int | None:
        """The epoch that the stored Lease acknowledges."""
        told, acked = self.holding.told, self.mirror.acked
        return acked.epoch if acked and told and told.applied == str(acked) else None

    @property
    def lease_held(self) -> bool:
        return self.holding.phase is Phase.HELD and not self.fenced

    def problems(self) -> list[str]:
        """Why this worker is not ready; empty when it is."""
        return list(problems(self))

    # --- events

    def _take(self, now: Clock, event: Event) -> None:
        match event:
            case LeaseReply():
                self._lease_answered(now, event)
            case WorkerSeen() if self.mirror.expects(event.serial):
                self.mode = self.mirror.seen(now, event.fingerworker, self.mode)
                if self.mode is Mode.MIRROR and not self.mirror.view:
                    self._registers = bool(self.policy.register)
            case WorkerUnreadable() if self.mirror.expects(event.serial):
                self.mirror.unreadable(event.reason)
            case ConfigWritten():
                if not self.config.written(now, event):
                    self.proof.expire()  # so that whoever watches the fence file stops the worker
            case FenceWritten():
                self.proof.written(now, event.reason)
            case Confirmed():
                self.config.confirm(now, event.hash)
            case LockProbed():
                self._lock_probed(now, event)
            case HealthSeen():
                self.vitals.health(now.boot, ok=event.ok)
            case Reported():
                self.vitals.reported(now.boot)
                self._said = event.report
                self._report = with_vpn(self._said, self._vpn)
            case VpnSeen():
                self._vpn = {key: value for key, value in (("status", event.status), ("ip", event.ip)) if value}
                self._report = with_vpn(self._said, self._vpn)
            case DrainRequested():
                self._drain.request(now, self.proof, event.within_s)
            case StopRequested():
                self._stop(now)
            case _:
                pass  # time has passed, or the answer is to something given up

    def _lease_answered(self, now: Clock, reply: LeaseReply) -> None:
        outcome = self.holding.answered(now, reply)
        recorded = self.holding.recorded
        if recorded:
            # The one place where a predecessor's highest epoch survives; acquiring clears it.
            self.mirror.raise_floor(recorded.worker_uid, recorded.epoch)
        if outcome is Outcome.OUSTED and not (self.fenced and self.config.emptied):
            self._fence("somebody else holds the Lease")
        elif outcome is Outcome.VANISHED:
            self._start_over()
        elif outcome is Outcome.ACKNOWLEDGED and self.holding.last:
            self._acknowledged(now, self.holding.last)

    def _acknowledged(self, now: Clock, write: LeaseWrite) -> None:
        if not self._may_write_lease:
            # Sent before the worker had to stop. Nothing may keep it running until it was told to.
            self.holding.repeat()
            return
        self.times.acknowledged(write.statement.declared_s)
        if self._may_still_run(now):
            # With a fence file that holds again nobody would stop it any more.
            self.awaits_stop = True
            return
        if self.fenced:
            self._out.note("alive", holder=self.identity.incarnation)
        self.proof.renewed(write.sent, self.times.fence_s)
        if self.mode is Mode.CLEAR:
            unsaid = not write.statement.applied and not write.statement.released
            if unsaid and write.serial > self._cleared_after:
                self._read_directly()
            else:
                self.holding.repeat()

    def _lock_probed(self, now: Clock, event: LockProbed) -> None:
        if self.vitals.lock_held is not event.held:
            self._out.note("worker-lock", held=event.held)
            self._drain.lock_changed(held=event.held)
        self.vitals.locked(now.boot, held=event.held)
        if not event.serial or event.serial != self._lock_probe:
            return
        self._lock_probe = 0
        if self.mode is not Mode.EMPTYING or not self.config.emptied:
            return
        if event.held:
            self._crashed = False
            self.mode = Mode.CLEAR
            self._start_over()
        else:
            self.config.clean = True
            self.mode = Mode.RELEASED
            self._out.note("released", reason="the worker process is gone")

    def _stop(self, now: Clock) -> None:
        if self.stopping:
            return
        self.stopping = True
        self._out.note("stopping")
        if self.policy.drain_on_stop:
            self._drain.begin()
        self._stop_by = now.boot + 2 * self.times.request_s + 1
        if self.policy.has_lock:
            self._probe_lock()

    # --- transitions

    def _fence(self, reason: str) -> None:
        self.fences += 1
        self._out.note("fenced", "warning", reason=reason)
        self._stop_worker()

    def _suspect(self, now: Clock, reason: str) -> None:
        self._out.note("worker-unresponsive", "error", reason=reason)
        self.suspicion.begin(now.boot, reason, self.times.takeover_s)
        self.mode = Mode.SUSPECT
        self._stop_worker()

    def _stop_worker(self) -> None:
        self.proof.lost()
        self.holding.interrupted()
        self.config.want_emptied()
        self._start_over()

    def _start_over(self) -> None:
        """Back to the first step of the order, with the config as it is."""
        self.mirror.forget()
        self._cleared_after = self.holding.serial
        self.holding.repeat()
        keeps = self.mode is Mode.RELEASED and (self.draining or self.stopping)
        if self.mode not in (Mode.SUSPECT, Mode.EMPTYING) and not keeps:
            self.mode = Mode.CLEAR

    def _read_directly(self) -> None:
        self.mode = Mode.READ
        self.mirror.read()

    # --- looking at the whole

    def _reconcile(self, now: Clock) -> None:
        self._adopt_times(now)
        if not self.stopping and self._drain.is_void(now) and self.mode is Mode.RELEASED:
            self._start_over()
        self._look_at_worker(now)
        if self.mirror.read_at is not None and now.boot >= self.mirror.read_at:
            self._read_directly()
        if self.mode is Mode.MIRROR and self.suspicion.is_disproved(self.config):
            self.mirror.follow()
        written = self.config.write(now)
        if written and written.streams:
            self.vitals.expect(now.boot)
        mirrors = self.mode is Mode.MIRROR
        self.config.watch_confirmation(now, owed=mirrors, prove=self.suspicion.must_prove)
        if mirrors and self.mirror.acknowledge():
            self.suspicion.forget()
        self._release()
        self.config.await_confirmation()
        if self.awaits_stop and not self._may_still_run(now):
            self.awaits_stop = False
            self.holding.repeat()
        self._write_lease(now)
        self._finish(now)

    def _adopt_times(self, now: Clock) -> None:
        before = self.times.active
        asked_s, most_s = self.policy.apply_timeout_s, self._apply_timeout_s
        if asked_s is not None and asked_s > most_s and not self._told_apply_limit:
            self._told_apply_limit = True
            self._out.note("apply-timeout-capped", "warning", asked_s=asked_s, takeover_after_s=most_s)
        if self.times.adopt_shorter(self.proof.age_s(now) or 0.0) and self.times.active != before:
            self._out.note("times", fence_after_s=self.times.fence_s, takeover_after_s=self.times.takeover_s)
            self.proof.refresh(self.times.fence_s)

    def _look_at_worker(self, now: Clock) -> None:
        gone = self.vitals.gone_at(0.0 if self.stopping and not self._lock_probe else self._grace_s)
        if gone is not None and gone <= now.boot and self.mode not in (Mode.EMPTYING, Mode.RELEASED):
            self._crashed = not (self.stopping or self.draining)
            self._out.note("worker-gone", "warning", asked_to=not self._crashed)
            self.mode = Mode.EMPTYING
            self.suspicion.must_prove = False
            self.config.want_emptied()
            self._start_over()
        if self.mode is Mode.EMPTYING and self.config.emptied and not self._lock_probe:
            self._probe_lock()
        if self.mode is Mode.RELEASED and self.vitals.lock_held and not (self.draining or self.stopping):
            self._out.note("worker-back")
            self._crashed = False
            self._start_over()
        if self.mode in _WORKING and not self.stopping:
            limits = {"grace_s": self._grace_s, "apply_timeout_s": self._apply_timeout_s}
            reason = complaint(now.boot, self.vitals, self.config, **limits)
            if not reason and self.proof.stale(now, self.times.fence_s) and not self.config.nothing_wanted:
                reason = f"the fence file cannot be written: {self.proof.file_error}"
            if reason:
                self._suspect(now, reason)
        if self.mode is Mode.SUSPECT:
            self._reconsider_suspect(now)

    def _reconsider_suspect(self, now: Clock) -> None:
        if self.config.on_disk is None or not self.config.emptied:
            return
        silent = self.vitals.silent_at(self._grace_s)
        follows = self.config.is_confirmed and not (silent and silent[0] <= now.boot)
        # A worker whose fence file cannot be written may not run, however well it follows.
        follows = follows and not self.proof.file_error
        if self.suspicion.is_over(now.boot, follows=follows):
            if not follows:
                self.vitals.forget()
            self.mode = Mode.CLEAR
            self.holding.look_again()
            self._start_over()
            self._out.note("starting-over", worker="follows again" if follows else "has to prove itself")

    def _release(self) -> None:
        """A drain, or the end of the process, with a worker that provably runs nothing.

        Or one that has not started, perhaps because its image is still on its way: what it were given now would be on
        nobody for as long. It is released until it holds the lock.
        """
        view, acked = self.mirror.view, self.mirror.acked
        not_started = self.vitals.not_started and view is not None
        if self.mode is not Mode.MIRROR or not (self.draining or self.stopping or not_started):
            return
        nothing_assigned = view is None or (acked is not None and acked.epoch == view.epoch)
        if nothing_assigned and self.config.nothing_runs and self.config.due is None:
            why = "stopping with nothing assigned" if self.stopping else "the worker has not started yet"
            self._out.note("released", reason="drained" if self.draining else why)
            self._start_over()
            self.mode, self._crashed = Mode.RELEASED, False

    def _may_still_run(self, now: Clock) -> bool:
        """Whether the worker was told to stop, did not confirm it, and the fence file has not said so for K yet."""
        proven = self.config.nothing_runs and not self.policy.confirm_on_write
        return not proven and not self.proof.told_for(now, self.times.stop_s)

    @property
    def _may_write_lease(self) -> bool:
        """A renewal keeps the worker running, so none while it should stop but was not told."""
        return self.mode is not Mode.SUSPECT and (self.config.emptied or not self.config.must_stop)

    def _write_lease(self, now: Clock) -> None:
        if self._may_write_lease:
            # While emptying, the release follows in a moment and clears the acknowledgement as well.
            at_once = self.mode is not Mode.EMPTYING
            self.holding.request(now, self._statement(now), at_once=at_once, report=self._report)

    def _statement(self, now: Clock) -> Statement:
        uid, acked = self.mirror.uid, self.mirror.acked
        # Whoever holds the Lease speaks for all that may be running under it.
        released = self.mode is Mode.RELEASED and bool(uid) and self.mirror.settled_at(None) <= now.boot
        return Statement(
            applied=str(acked) if acked else "",
            released=str(Release(uid, self.identity.incarnation)) if released else "",
            gone=self.identity.incarnation if released and self._crashed else "",
            drain=self.identity.incarnation if self.draining else "",
            # Who is about to go does not come back as a new FingerWorker when its own is deleted meanwhile.
            register=self.policy.register if self._registers and not (self.draining or self.stopping) else "",
            declared_s=self.times.declared_s,
        )

    def _finish(self, now: Clock) -> None:
        if not self.stopping:
            return
        released = self.mode is Mode.RELEASED
        waits = bool(self._lock_probe) or self.mode is Mode.EMPTYING or (released and not self.drained)
        overdue = now.boot >= self._stop_by and not self.draining
        if not self.lease_held or overdue or not (waits or (self.draining and not self.drained)):
            self.finished = True
            self._out.note("stopped", released=self.drained, drained=self.draining and self.drained)
            self._out.add(Finish())

    # --- small things

    @property
    def _grace_s(self) -> float:
        return self.times.renew_s if self.policy.worker_grace_s is None else self.policy.worker_grace_s

    @property
    def _apply_timeout_s(self) -> float:
        """Never above T: for (T + K) · 1.05 / 0.95 the operator reckons with a worker that does not follow."""
        takeover_s = self.times.takeover_s
        return takeover_s if self.policy.apply_timeout_s is None else min(self.policy.apply_timeout_s, takeover_s)

    def _probe_lock(self) -> None:
        self._lock_probe = self._out.next_serial()
        self._out.add(ProbeLock(self._lock_probe))
