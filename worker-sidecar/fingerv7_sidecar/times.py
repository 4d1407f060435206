"""Which of the pool's times are in force, and when a change of them may be.

A sidecar that fences later than its Lease declares is taken over while its worker runs. So a shorter fence deadline
is adopted before the Lease declares the shorter takeover time, and a longer one only after the Lease declared the
longer takeover time and that write was acknowledged. The operator waits for the longer of its own and the declared
time, so either order leaves no gap.
"""

from __future__ import annotations

from fingerv7.contract import Timing


class Times:
    """The times in force (`active`) and those asked for (`wanted`)."""

    def __init__(self, initial: Timing) -> None:
        self.initial = initial
        self.active = initial
        self.wanted = initial

    @property
    def renew_s(self) -> float:
        return self.active.renew_interval_ms / 1000

    @property
    def request_s(self) -> float:
        return self.active.request_timeout_ms / 1000

    @property
    def fence_s(self) -> float:
        return self.active.fence_after_ms / 1000

    @property
    def stop_s(self) -> float:
        return self.active.stop_time_ms / 1000

    @property
    def takeover_s(self) -> float:
        return max(self.active.takeover_after_ms, self.wanted.takeover_after_ms) / 1000

    @property
    def shortening(self) -> bool:
        return self.wanted.fence_after_ms < self.active.fence_after_ms

    def limit_fence(self, fence_s: float) -> None:
        """Go on under the shorter deadline that an earlier process of this pod ran under."""
        if fence_s * 1000 < self.active.fence_after_ms:
            shorter = max(1, int(fence_s * 1000))
            self.active = Timing(
                min(self.active.renew_interval_ms, shorter),
                min(self.active.request_timeout_ms, shorter),
                shorter,
                self.active.stop_time_ms,
                self.active.takeover_after_ms,
            )

    def propose(self, timing: Timing | None) -> None:
        """The pool asks for these times; None: for none, so the settings of the environment count again."""
        self.wanted = timing or self.initial

    def adopt_shorter(self, age_s: float) -> bool:
        """Adopt shorter times if the last acknowledged renewal, `age_s` ago, is fresh enough under them."""
        same = self.wanted.fence_after_ms == self.active.fence_after_ms and self.wanted != self.active
        if same or (self.shortening and age_s * 1000 <= self.wanted.renew_interval_ms):
            self.active = self.wanted
            return True
        return False

    @property
    def declared_s(self) -> int:
        """The `leaseDurationSeconds` of the next Lease write: whole seconds, rounded up."""
        timing = self.active if self.shortening else self.wanted
        return -(-timing.takeover_after_ms // 1000)

    def acknowledged(self, declared_s: int) -> None:
        """A Lease write that declared `declared_s` was acknowledged."""
        if not self.shortening and declared_s * 1000 >= self.wanted.takeover_after_ms:
            self.active = self.wanted
