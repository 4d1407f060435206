"""Who this sidecar is and what it was asked to watch: the part of the settings that the protocol decides by."""

from __future__ import annotations

from dataclasses import dataclass

from fingerv7.contract import Fence, Timing
from fingerv7_sidecar.assignment import Config, acquired_by, written_for
from fingerv7_sidecar.clock import Clock


@dataclass(frozen=True, slots=True)
class Identity:
    name: str
    """Of the FingerWorker and of the Lease."""
    namespace: str
    pool: str
    """Empty: it cannot create a Lease, only use one that exists."""
    pod_uid: str
    nonce: str
    boot_id: str

    @property
    def incarnation(self) -> str:
        return f"{self.pod_uid}/{self.nonce}"


@dataclass(frozen=True, slots=True)
class Policy:
    timing: Timing
    worker_grace_s: float | None = None
    """How long the worker may be gone or silent, for instance while it restarts; None: R."""
    apply_timeout_s: float | None = None
    """How long an epoch may be unconfirmed, at most T; None: T."""
    has_lock: bool = False
    report_timeout_s: float | None = None
    confirm_on_write: bool = False
    register: str = ""
    """The registration's JSON; empty: this worker cannot register itself."""
    register_always: bool = False
    """False: only when its FingerWorker does not exist."""
    drain_on_stop: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What an earlier process of this pod left in the config folder."""

    config: Config | None = None
    """One that cannot be read counts as one with streams."""
    applied: str = ""
    fence: Fence | None = None
    used: bool = False
    """Any trace of an earlier life: a missing config proves nothing then."""


def continued_fence(found: Found, identity: Identity, now: Clock) -> Fence | None:
    """The fence file, if it proves that no other pod can have run this worker since; None otherwise.

    It holds only when less than D passed since an earlier process of this pod held the Lease, and a mirrored
    config beside it tells that this process had no doubt about other pods any more.
    """
    config, fence = found.config, found.fence
    if not config or not config.epoch or not written_for(config, identity.name):
        return None
    if config.streams and not acquired_by(config):
        return None  # by a sidecar whose tokens did not tell: none of its own may be lower than what others had
    return fence if fence and fence.holds(now_s=now.boot, boot_id=identity.boot_id) else None
