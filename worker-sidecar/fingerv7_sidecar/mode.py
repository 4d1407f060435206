"""Where a sidecar is in the order of things: Lease, then FingerWorker, then config."""

from __future__ import annotations

import enum


class Mode(enum.Enum):
    CLEAR = "clear"
    """Wants a Lease write without acknowledgement and release acknowledged."""
    READ = "read"
    """Wants the FingerWorker read directly, now or when no other pod can be running any more."""
    MIRROR = "mirror"
    """The config follows the FingerWorker."""
    EMPTYING = "emptying"
    """The worker is gone: the config is emptied and the lock looked at again, before the release."""
    RELEASED = "released"
    """Runs nothing and says so."""
    SUSPECT = "suspect"
    """The worker does not follow: nothing is renewed, so that T takes its streams away."""
