"""What the protocol is told and what it asks for: values only, so that a simulation can stand in for the world.

Requests carry a serial number that their answer repeats. An answer to a request that was given up in the meantime
is recognised by its number and ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fingerv7.contract import Fence
from fingerv7_sidecar.assignment import Config

# --- events -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class LeaseReply:
    """The answer to `SendLease`; status 0 when none came, and then the outcome is unknown."""

    serial: int
    status: int
    body: Mapping[str, Any] | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """The FingerWorker; None when it does not exist.

    The first one after `ReadWorker` is the answer of a direct, consistent read; later ones with the same serial
    number come from the watch that follows it.
    """

    serial: int
    fingerworker: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class WorkerUnreadable:
    """The FingerWorker could not be read; it is tried again without being asked."""

    serial: int
    reason: str


@dataclass(frozen=True, slots=True)
class ConfigWritten:
    """The answer to `WriteConfig`. `unlinked`: writing failed and the file was removed instead."""

    serial: int
    outcome: Literal["written", "unlinked", "failed"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FenceWritten:
    """The fence file was written, or `reason` says why not."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The worker says that it runs the config of this hash."""

    hash: str


@dataclass(frozen=True, slots=True)
class LockProbed:
    """Whether a process holds the worker's lock; serial 0 for the periodic look."""

    serial: int
    held: bool


@dataclass(frozen=True, slots=True)
class HealthSeen:
    """The worker's health URL answered well, or did not."""

    ok: bool


@dataclass(frozen=True, slots=True)
class Reported:
    """The worker posted statistics (validated JSON)."""

    report: str


@dataclass(frozen=True, slots=True)
class VpnSeen:
    """The VPN beside the worker, as its control server describes it: `status` and `ip`, either may be empty."""

    status: str
    ip: str = ""


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """Somebody local wants this worker emptied in an orderly way."""

    within_s: float | None = None
    """For a preStop hook: by when its pod has ended. None: whoever asks means it until the process ends."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """SIGTERM."""


Event = (
    Tick
    | LeaseReply
    | WorkerSeen
    | WorkerUnreadable
    | ConfigWritten
    | FenceWritten
    | Confirmed
    | LockProbed
    | HealthSeen
    | Reported
    | VpnSeen
    | DrainRequested
    | StopRequested
)

# --- actions ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendLease:
    """Send one request for the own Lease; never two at a time."""

    serial: int
    method: Literal["GET", "POST", "PUT"]
    body: Mapping[str, Any] | None
    timeout_s: float


@dataclass(frozen=True, slots=True)
class ReadWorker:
    """Read the FingerWorker directly, then watch it from there; ends the read and watch before it."""

    serial: int


@dataclass(frozen=True, slots=True)
class WriteConfig:
    """Replace the config file durably; one that stops the worker is unlinked when it cannot be written."""

    serial: int
    config: Config
    unlink_on_failure: bool


@dataclass(frozen=True, slots=True)
class WriteFence:
    fence: Fence


@dataclass(frozen=True, slots=True)
class AwaitConfirmation:
    """Look for the worker's confirmation of this config; None when none is awaited."""

    config: Config | None


@dataclass(frozen=True, slots=True)
class ProbeLock:
    serial: int


Level: TypeAlias = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Note:
    """One structured log line."""

    event: str
    fields: Mapping[str, object]
    level: Level = "info"


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is left to do before the process may end."""


Action = SendLease | ReadWorker | WriteConfig | WriteFence | AwaitConfirmation | ProbeLock | Note | Finish
