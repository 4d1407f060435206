"""From the FingerWorker as it was read to the config that is wanted and the epoch that is acknowledged.

A wrong acknowledgement gives a stream to two workers, so everything here is doubted first: whether the object is the
own one, whether its epoch goes forward and its content is what the operator wrote, and whether another pod of this
name may still be running what it gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fingerv7.contract import Acknowledgement
from fingerv7_sidecar.assignment import View, view_of
from fingerv7_sidecar.clock import Clock
from fingerv7_sidecar.config_file import ConfigFile
from fingerv7_sidecar.events import ReadWorker
from fingerv7_sidecar.holding import Holding
from fingerv7_sidecar.identity import Identity
from fingerv7_sidecar.mode import Mode
from fingerv7_sidecar.outbox import Outbox
from fingerv7_sidecar.times import Times


class Mirror:
    def __init__(self, identity: Identity, times: Times, holding: Holding, config: ConfigFile, out: Outbox) -> None:
        self.view: View | None = None
        """In MIRROR: the FingerWorker, or None when there is none."""
        self.acked: Acknowledgement | None = None
        self.uid = ""
        """Of the FingerWorker that was seen last."""
        self.refused = ""
        """Why the assignment is not followed."""
        self.read_error = ""
        self.read_at: float | None = None
        """In READ: until when another pod may be running; the FingerWorker is read again then."""
        self._identity = identity
        self._times = times
        self._holding = holding
        self._config = config
        self._out = out
        self._floors: dict[str, int] = {}
        self._reading = 0

    # --- reading

    def forget(self) -> None:
        """What was read before the Lease was acquired counts for nothing."""
        self.acked = self.view = self.read_at = None
        self._reading = 0

    def read(self) -> None:
        """Read directly, then watch."""
        self._reading = self._out.next_serial()
        self.read_at = None
        self._out.add(ReadWorker(self._reading))

    def expects(self, serial: int) -> bool:
        return serial == self._reading

    def unreadable(self, reason: str) -> None:
        if reason != self.read_error:
            self._out.note("worker-unreadable", "warning", reason=reason)
        self.read_error = reason

    def seen(self, now: Clock, fingerworker: Mapping[str, Any] | None, mode: Mode) -> Mode:
        """The mode that follows from it."""
        view = None if fingerworker is None else view_of(fingerworker, self._identity.name, self._holding.acquired)
        if fingerworker is not None and view is None:
            self.read_error = "the API server answered with another object than the own FingerWorker"
            return mode
        self.read_error = ""
        if view and self._holding.doubt_since is not None:
            settled_at = self.settled_at(view)
            if settled_at > now.boot:
                self.forget()  # what counts is a read after that
                self.read_at = settled_at
                return Mode.READ
            self._holding.doubt_since = None
        before, self.view = self.view, view
        if (before.uid if before else "") != (view.uid if view else ""):
            what = "worker-deleted" if not view else "worker-recreated" if before else "worker-seen"
            self._out.note(what, uid=view.uid if view else "")
        if view:
            self.uid = view.uid
            if not view.timing_problem:
                self._times.propose(view.timing)
            elif not before or before.timing_problem != view.timing_problem:
                self._out.note("times-refused", "warning", reason=view.timing_problem)
        return Mode.MIRROR

    def settled_at(self, view: View | None) -> float:
        """Until when another pod of this name may be running although the Lease that we hold tells nothing of it.

        A Lease can be deleted, so only a FingerWorker that never had anything to give proves that nobody runs. T
        after we acquired the Lease, a pod that was cut off has fenced, and one that was not has noticed us before.
        """
        since = self._holding.doubt_since
        if since is None or (view and _never_gave(view, self._identity.pod_uid)):
            return 0.0
        asked_s = view.timing.takeover_after_ms / 1000 if view and view.timing else 0.0
        return since + max(self._times.takeover_s, self._holding.declared_s, asked_s)

    # --- following

    def raise_floor(self, uid: str, epoch: int) -> None:
        """Nothing below this epoch of this FingerWorker is followed any more."""
        self._floors[uid] = max(epoch, self._floors.get(uid, 0))

    def follow(self) -> None:
        """Decide which config is wanted."""
        view, config = self.view, self._config
        if self.acked and (view is None or self.acked.worker_uid != view.uid):
            self.acked = None
        if view is None:
            config.want_emptied()
            self.refused = ""
            return
        found_epoch = config.claim(view.uid)
        if found_epoch is not None:
            self.raise_floor(view.uid, found_epoch)
        refused = self._refusal(view)
        if refused and refused != self.refused:
            self._out.note("assignment-refused", "error", reason=refused)
        self.refused = refused
        if not refused and view.config:
            config.want(view.config)
            self.raise_floor(view.uid, view.epoch)
        elif config.wanted and config.wanted.worker_uid != view.uid:
            config.want_emptied()  # the last good one was another FingerWorker's
        elif not config.wanted and view.epoch < self._floors.get(view.uid, 0):
            config.want_emptied(to_confirm=True)  # a new pod has none: without it, it could acknowledge nothing

    def _refusal(self, view: View) -> str:
        floor, last = self._floors.get(view.uid, 0), self._config.wanted
        if view.config is None:
            return view.problem
        if view.epoch < floor:
            # Restored from a backup. What runs stays acknowledged: only there the operator sees which epoch to pass.
            return f"epoch {view.epoch} is older than what this worker ran; waiting for an epoch above {floor}"
        same = last and last.worker_uid == view.uid and last.epoch == view.epoch
        if same and last and last.hash != view.config.hash:
            return f"the content of epoch {view.epoch} changed without a new epoch"
        return ""

    def acknowledge(self) -> bool:
        """State what the worker runs; whether that is because it confirmed it."""
        view, config, disk = self.view, self._config, self._config.on_disk
        floor = self._floors.get(view.uid, 0) if view else 0
        if view and view.epoch < floor and not (disk and disk.streams):
            # Restored from a backup, and fenced meanwhile: nothing runs, and only here the operator can see which
            # epoch it has to pass.
            if config.current and (config.is_confirmed or config.nothing_runs):
                self.acked = Acknowledgement(view.uid, self._identity.incarnation, floor)
            return False
        if not view or not disk or disk.worker_uid != view.uid:
            return False
        if disk.epoch == view.epoch and not (view.config and view.config.hash == disk.hash):
            self.acked = None  # somebody edited the FingerWorker: the epoch no longer says what runs
            return False
        if not config.current or not (config.is_confirmed or config.nothing_runs):
            return False
        acked = Acknowledgement(disk.worker_uid, self._identity.incarnation, disk.epoch)
        if acked != self.acked:
            self._out.note("applied", epoch=disk.epoch, hash=disk.hash, streams=disk.streams)
        self.acked = acked
        return config.is_confirmed


def _never_gave(view: View, pod_uid: str) -> bool:
    """Whether no pod but this one can have got anything from this FingerWorker."""
    empty = view.config is not None and not view.epoch and not view.config.streams
    return empty and view.incarnation.partition("/")[0] in ("", pod_uid)
