"""Whether somebody wants this worker emptied, and whether that is still meant.

A kubelet calls a preStop hook when the pod ends, and also when it only restarts the worker, because its liveness
probe found the fence expired. Nothing tells the hook which of the two it is, and to be drained for good after every
outage of the API would cost the fleet its capacity. So a hook's drain does not count when the fence has just expired,
and is void when the pod proves to live on: its worker is back, or its grace has passed.
"""

from __future__ import annotations

import math

from fingerv7_sidecar.clock import Clock
from fingerv7_sidecar.outbox import Outbox
from fingerv7_sidecar.proof import Proof

_KILL_S = 5.0
"""From a failed liveness probe to the hook, at most."""


class Draining:
    """Times on the boot clock."""

    def __init__(self, out: Outbox) -> None:
        self._out = out
        self.asked = False
        self._until = math.inf
        self._was_gone = self._is_back = False

    def request(self, now: Clock, proof: Proof, within_s: float | None) -> None:
        """`within_s`: by when the pod has ended, for a preStop hook."""
        if within_s is None:
            self.begin()
        elif not self.asked and proof.lapsed_within(now, _KILL_S):
            self._out.note("drain-ignored", reason="the fence has expired, so the worker is being restarted")
        else:
            # One that comes during another may be the pod's end after a mere restart: it counts from now.
            earlier = self._until if self.asked else -math.inf
            if not self.asked:
                self.begin()
            self._until = max(earlier, now.boot + within_s)
            self._was_gone = self._is_back = False

    def begin(self) -> None:
        """For good."""
        if not self.asked:
            self._out.note("drain-requested")
        self.asked, self._until = True, math.inf

    def lock_changed(self, *, held: bool) -> None:
        """The worker's lock: one that is freed and taken again belongs to a restarted container."""
        self._is_back = self._is_back or (self._was_gone and held)
        self._was_gone = self._was_gone or not held

    def is_void(self, now: Clock) -> bool:
        """Whether a hook's drain ended just now because the pod did not."""
        if not self.asked or self._until == math.inf or not (self._is_back or now.boot >= self._until):
            return False
        why = "the worker was restarted" if self._is_back else "the pod has not ended in time"
        self._out.note("drain-withdrawn", reason=why)
        self.asked, self._until = False, math.inf
        return True
