"""The proof that the worker may run: the last acknowledged renewal, and the fence file that tells others of it.

The file outlives this process: the worker, its liveness probe and a restarted sidecar read in it how long the worker
may go on. So it follows acknowledged renewals only, and says so at once when the worker has to stop.

Who watches the file looks now and then. When a machine stood still for longer than D, the file ran out without being
seen; were it renewed at once, nobody would stop a worker that hangs. So a file that has run out says so for K, unless
the worker is known to have stopped (`told_for`).
"""

from __future__ import annotations

import math

from fingerv7.contract import Fence
from fingerv7_sidecar.clock import Clock
from fingerv7_sidecar.events import WriteFence
from fingerv7_sidecar.outbox import Outbox


class Proof:
    def __init__(self, boot_id: str, out: Outbox, *, had_one: bool) -> None:
        """`had_one`: whether an earlier process of this pod has run here, and so may have left a fence file."""
        self.sent: Clock | None = None
        """When the last acknowledged renewal was sent; None while fenced."""
        self.file_error = ""
        self._lapsed_at: float | None = None
        self._had_one = had_one
        """Without a proof before, nothing can have lapsed."""
        self._expired = False
        self._stopping_since: float | None = None
        """Since when, without a pause, the file has told others to stop the worker and they could see it."""
        self._looked_at = 0.0
        self._failed_since: float | None = None
        self._boot_id = boot_id
        self._out = out

    def continued(self, now: Clock, fence: Fence) -> None:
        """An earlier process of this pod left this file."""
        self.sent = Clock(fence.sent_s, now.wall - (now.boot - fence.sent_s))
        left_s = fence.fence_after_s - (now.boot - fence.sent_s)
        self._out.note("continuing", fence_in_s=round(left_s, 1))

    def renewed(self, sent: Clock, fence_s: float) -> None:
        """A renewal sent then was acknowledged."""
        self.sent, self._expired = sent, False
        self.refresh(fence_s)

    def refresh(self, fence_s: float) -> None:
        """Tell the deadline in force."""
        if self.sent and not self._expired:
            self._had_one = True
            # Rounded down, because the file keeps milliseconds and must never promise more than is true.
            sent = math.floor(self.sent.boot * 1000) / 1000
            self._out.add(WriteFence(Fence(sent, fence_s, self._boot_id)))

    def lost(self) -> None:
        """The worker must stop."""
        self.sent = None
        self.expire()

    def expire(self) -> None:
        self._expired = True
        self._out.add(WriteFence(Fence(0.0, 0.0, self._boot_id)))

    def age_s(self, now: Clock) -> float | None:
        """Since the last acknowledged renewal was sent; None while fenced."""
        return now.since(self.sent) if self.sent else None

    def look(self, now: Clock, fence_s: float, stop_s: float) -> None:
        """Remember when the file told others to stop the worker. It does so up to a second before D has passed,
        because a shell compares whole seconds.

        Who is not asked to look for half of K stood still, and so perhaps did those who watch the file.
        """
        sent, stood_still = self.sent, now.boot - self._looked_at > stop_s / 2
        self._looked_at = now.boot
        if not self._had_one:
            return
        if not self._stopping:
            self._stopping_since = None
        elif self._stopping_since is None or stood_still:
            self._stopping_since = now.boot
        if self._stopping or not sent or math.floor(now.boot) - math.floor(sent.boot) >= math.floor(fence_s):
            self._lapsed_at = now.boot

    @property
    def _stopping(self) -> bool:
        return self._had_one and (self._expired or self.sent is None)

    def told_for(self, now: Clock, seconds: float) -> bool:
        """Whether the file has told others to stop the worker for so long, if it does."""
        since = self._stopping_since
        return not self._stopping or (since is not None and now.boot - since >= seconds)

    def lapsed_within(self, now: Clock, seconds: float) -> bool:
        """Whether the file told others to stop the worker a moment ago."""
        return self._lapsed_at is not None and now.boot - self._lapsed_at < seconds

    def written(self, now: Clock, error: str) -> None:
        if error and not self.file_error:
            self._out.note("fence-file-failed", "error", reason=error)
            self._failed_since = now.boot
        self.file_error = error

    def stale(self, now: Clock, fence_s: float) -> bool:
        """Whether the file could not be renewed for so long that nothing lets the worker run any more."""
        return bool(self.file_error) and self._failed_since is not None and now.boot - self._failed_since >= fence_s
