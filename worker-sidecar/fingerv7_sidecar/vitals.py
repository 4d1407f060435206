"""What is known of the worker process: provably gone, silent, or well.

Only a lock that the kernel frees proves that no worker lives. A health URL that fails or reports that stop prove
nothing but silence, and a worker that never answered yet is booting, not silent.
"""

from __future__ import annotations


class Vitals:
    """Signs of life, on the boot clock."""

    def __init__(self, *, now: float, has_lock: bool, report_timeout_s: float | None, assume_alive: bool) -> None:
        self._has_lock = has_lock
        self._report_timeout_s = report_timeout_s
        self._expected = assume_alive
        """Whether a worker has to be there: it was seen, or an earlier process left it running."""
        self.lock_held: bool | None = None
        self._free_since: float | None = None
        self._healthy_at: float | None = now if assume_alive else None
        self._reported_at: float | None = now if assume_alive else None
        self._watches_health = False

    def locked(self, now: float, *, held: bool) -> None:
        self.lock_held = held
        if held:
            self._expected = True
            self._free_since = None
        elif self._free_since is None:
            self._free_since = now

    def health(self, now: float, *, ok: bool) -> None:
        self._watches_health = True
        if ok:
            self._healthy_at = now

    def reported(self, now: float) -> None:
        self._reported_at = now

    def expect(self, now: float) -> None:
        """There is something to run: from now on a worker has to be there, after the same grace as a restart."""
        if not self._expected:
            self._expected = True
            if self._free_since is not None:
                self._free_since = now

    def forget(self) -> None:
        """Give a worker that fell silent the patience of one that boots."""
        self._healthy_at = self._reported_at = None

    @property
    def not_started(self) -> bool:
        """Whether there was no worker yet: nobody has been seen with the lock, and there was nothing to run."""
        return self._has_lock and not self._expected

    def gone_at(self, grace_s: float) -> float | None:
        """When the worker counts as gone, unless it comes back; None while it may live."""
        if not self._has_lock or not self._expected or self._free_since is None:
            return None
        return self._free_since + grace_s

    def silent_at(self, grace_s: float) -> tuple[float, str] | None:
        """When the worker counts as unresponsive unless it is heard before, and by which sign."""
        found = []
        if self._watches_health and self._healthy_at is not None:
            found.append((self._healthy_at + grace_s, "its health URL does not answer"))
        if self._report_timeout_s is not None and self._reported_at is not None:
            found.append((self._reported_at + self._report_timeout_s + grace_s, "it posts no reports"))
        return min(found) if found else None
