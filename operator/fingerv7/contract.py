"""What operator, sidecar and worker must agree on: names, formats and time rules.

The one module of the operator's package that the sidecar imports, hence standard library only. Everything
here is part of the stored API: a sidecar one version older or newer must read it the same way.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

GROUP: Final = "fingerv7.io"
VERSION: Final = "v1alpha1"

POOL_LABEL: Final = "fingerv7.io/pool"
"""On a worker's Lease: the pool it belongs to."""
APPLIED: Final = "fingerv7.io/applied"
"""On a worker's Lease: the `Acknowledgement`."""
RELEASED: Final = "fingerv7.io/released"
"""On a worker's Lease: the `Release`."""
GONE: Final = "fingerv7.io/gone"
"""On a worker's Lease, beside a release: the incarnation whose worker ended although nobody had asked it to."""
REPORT: Final = "fingerv7.io/report"
"""On a worker's Lease: the worker's statistics, JSON of at most `REPORT_LIMIT` bytes."""
DRAIN: Final = "fingerv7.io/drain"
"""On a worker's Lease: the incarnation that asks to be drained."""
REGISTER: Final = "fingerv7.io/register"
"""On a worker's Lease: JSON with `maxStreams`, `capabilities`, `location` and `version` of an undeclared worker."""
DRAIN_FOR: Final = "fingerv7.io/drain-for"
"""On a FingerWorker of a managed fleet, set by the operator: `DRAIN_FOR_SCALE_DOWN` or `DRAIN_FOR_ROLLOUT`."""
DRAIN_FOR_SCALE_DOWN: Final = "ScaleDown"
DRAIN_FOR_ROLLOUT: Final = "Rollout"
MANAGED_LABEL: Final = "fingerv7.io/managed"
"""`true` on the FingerWorkers that a StreamPool's `spec.workers` asks for, and on their pods."""
REVISION: Final = "fingerv7.io/revision"
"""On a managed worker's pod, an annotation: what it was made from, as a hash."""
FINALIZER: Final = "fingerv7.io/drain"
"""On FingerWorkers and StreamPools: deleting means draining first."""
CONFIRM_SOURCE: Final = "fingerv7.io/confirm-source"
"""On a StreamPool, set by a user: accept the change that `SourceChanged` names (its value is the change's id)."""
APPROVE: Final = "fingerv7.io/approve"
"""On a StreamPool, set by a user: apply the proposal with this id (mode Manual)."""
REBALANCE: Final = "fingerv7.io/rebalance"
"""On a StreamPool, set by a user: balance now, whatever the cooldown says. Each value, such as `now`, works once."""
RELEASE_TAKEOVERS: Final = "fingerv7.io/release-takeovers"
"""On a StreamPool, set by a user: the workers that are silent are dead; the brake lets go. Each value works once."""
END_BACK_OFF: Final = "fingerv7.io/end-back-off"
"""On a StreamPool, set by a user: workers that died may have streams again at once. Each value works once."""
RELEASE_STREAMS: Final = "fingerv7.io/release-streams"
"""On a StreamPool, set by a user: suspected streams may be given to workers again. Each value works once."""

FINGERPRINTING: Final = "audio_fingerprinting"
"""The capability that every worker has, because every stream needs it."""
CAPABILITY_PATTERN: Final = "[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
MAX_CAPABILITIES: Final = 32
"""Of one worker."""
MAX_STREAMS: Final = 1000
"""A worker's capacity at most, and so a stream's weight, which is a part of it."""

REPORT_LIMIT: Final = 4096
_EPOCH_DIGITS: Final = 15
"""What JSON numbers hold exactly; more is a stranger's text."""
CONFIG_VERSION: Final = 1

CLOCK_RATE_PERCENT: Final = 5
"""ρ: how far the rate of any two clocks may differ (design section 5)."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The statement that the worker runs exactly `epoch` of the FingerWorker `worker_uid`.

    An incarnation contains one slash itself (`<pod UID>/<nonce>`), so the text has four parts.
    """

    worker_uid: str
    incarnation: str
    epoch: int

    def __str__(self) -> str:
        return f"{self.worker_uid}/{self.incarnation}/{self.epoch}"

    @classmethod
    def parse(cls, text: str | None) -> Acknowledgement | None:
        """None for anything that is not an acknowledgement: a stranger's text proves nothing."""
        parts = (text or "").split("/")
        if len(parts) != 4 or not all(parts) or not _is_epoch(parts[3]):
            return None
        return cls(parts[0], f"{parts[1]}/{parts[2]}", int(parts[3]))


def _is_epoch(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _EPOCH_DIGITS


@dataclass(frozen=True, slots=True)
class Release:
    """The proof that the worker of this incarnation runs nothing of the FingerWorker `worker_uid`."""

    worker_uid: str
    incarnation: str

    def __str__(self) -> str:
        return f"{self.worker_uid}/{self.incarnation}"

    @classmethod
    def parse(cls, text: str | None) -> Release | None:
        parts = (text or "").split("/")
        if len(parts) != 3 or not all(parts):
            return None
        return cls(parts[0], f"{parts[1]}/{parts[2]}")


# --- durations and the time rules -------------------------------------------------------------------------

DURATION_PATTERN: Final = r"^([0-9]+(ms|s|m|h))+$"
_DURATION_PART = re.compile(r"([0-9]+)(ms|s|m|h)")
_UNIT_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


@functools.lru_cache(maxsize=1024)
def parse_duration(text: str) -> int:
    """Milliseconds of a Go-style duration such as `1h30m` or `500ms`.

    Raises ValueError for anything that does not match `DURATION_PATTERN`.
    """
    if not re.fullmatch(DURATION_PATTERN, text):
        msg = f"{text!r} is not a duration; write whole numbers with units, such as 500ms, 30s or 1h30m"
        raise ValueError(msg)
    return sum(int(number) * _UNIT_MS[unit] for number, unit in _DURATION_PART.findall(text))


@functools.lru_cache(maxsize=1024)
def format_duration(milliseconds: int) -> str:
    """The shortest exact Go-style duration: 90000 → `1m30s`, 0 → `0s`."""
    if milliseconds == 0:
        return "0s"
    parts = []
    for unit in ("h", "m", "s", "ms"):
        count, milliseconds = divmod(milliseconds, _UNIT_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class Timing:
    """The five times of design section 5, in milliseconds."""

    renew_interval_ms: int = 5_000
    request_timeout_ms: int = 2_000
    fence_after_ms: int = 12_000
    stop_time_ms: int = 6_000
    takeover_after_ms: int = 20_000

    @classmethod
    def derive(
        cls,
        takeover_after_ms: int = 20_000,
        *,
        renew_interval_ms: int | None = None,
        request_timeout_ms: int | None = None,
        fence_after_ms: int | None = None,
        stop_time_ms: int | None = None,
    ) -> Timing:
        """Fill what is left out from `takeover_after_ms`; 20 s gives exactly the defaults.

        The CRD's CEL rules repeat this arithmetic in integers, so keep both the same:
        K = min(6 s, 3T/10), D = 9T/10 - K, R = min(10 s, 5D/12), q = min(5 s, D/6).
        """
        stop = min(6_000, takeover_after_ms * 3 // 10) if stop_time_ms is None else stop_time_ms
        fence = max(0, takeover_after_ms * 9 // 10 - stop) if fence_after_ms is None else fence_after_ms
        renew = min(10_000, fence * 5 // 12) if renew_interval_ms is None else renew_interval_ms
        request = min(5_000, fence // 6) if request_timeout_ms is None else request_timeout_ms
        return cls(renew, request, fence, stop, takeover_after_ms)

    def violations(self) -> list[str]:
        """What is wrong with these times, in sentences; empty when they keep both inequalities."""
        found = []
        if min(self.renew_interval_ms, self.request_timeout_ms, self.fence_after_ms, self.stop_time_ms) <= 0:
            found.append("every time must be greater than zero")
        slow, fast = 100 + CLOCK_RATE_PERCENT, 100 - CLOCK_RATE_PERCENT
        if (self.fence_after_ms + self.stop_time_ms) * slow > self.takeover_after_ms * fast:
            found.append(
                "safety: (fenceAfter + stopTime) * 1.05 must be at most takeoverAfter * 0.95, or a worker "
                "could still run when its streams are given away"
            )
        if self.renew_interval_ms + 2 * self.request_timeout_ms > self.fence_after_ms:
            found.append(
                "liveness: renewInterval + 2 * requestTimeout must be at most fenceAfter, or one lost "
                "request fences a healthy worker"
            )
        return found


# --- tokens, hashes, the config ---------------------------------------------------------------------------


def format_token(leader_epoch: int, sequence: int) -> str:
    """A grant's token; fixed width, so that tokens order as plain text in any sink."""
    return f"{leader_epoch:016d}-{sequence:010d}"


def parse_token(text: str) -> tuple[int, int]:
    """Raises ValueError for what `format_token` did not write."""
    leader_epoch, _, sequence = text.partition("-")
    return int(leader_epoch), int(sequence)


def config_token(granted: str, acquired: int) -> str:
    """The token in a worker's config: the grant's, and under which acquisition of the worker's Lease it is used.

    A pod that was frozen wakes up with what its successor of the same name was given under the very same grant; only
    that tells a sink which of them is older. `acquired`: the Lease's resourceVersion when the pod had acquired it.
    """
    return f"{granted}-{acquired:016d}"


def granted_token(text: str) -> str:
    """The grant's part of a `config_token`."""
    return text.rpartition("-")[0]


def acquisition(text: str) -> int:
    """The other part of a `config_token`. Raises ValueError for what is none."""
    _leader_epoch, _sequence, acquired = text.split("-")
    return int(acquired)


def config_streams(streams: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What of `status.assignment.streams` reaches the worker, in the order of ids."""
    return sorted(
        (
            {
                "id": stream["id"],
                "url": stream["url"],
                "name": stream.get("name", ""),
                "token": stream["token"],
                "metadata": dict(stream.get("metadata") or {}),
            }
            for stream in streams
        ),
        key=lambda stream: stream["id"],
    )


def assignment_hash(worker_uid: str, epoch: int, streams: Iterable[Mapping[str, Any]]) -> str:
    """The hash of `status.assignment` and of the config that mirrors it; 32 hex digits.

    The epoch is part of it: were two epochs with the same streams to share a hash, a confirmation left over
    from the older one would acknowledge the newer one while the worker still runs what came in between.
    """
    return _digest(["assignment", worker_uid, epoch, config_streams(streams)])


def empty_config_hash(incarnation: str, count: int) -> str:
    """The hash of the `count`-th emptied config of this incarnation, so that each needs its own confirmation."""
    return _digest(["empty", incarnation, count])


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


# --- the fence file ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fence:
    """Until when a worker may run: one line `<sent> <fence_after> <boot id>`, times in seconds of boot time.

    `sent_s` is CLOCK_BOOTTIME when the last acknowledged renewal was sent. A shell can compare the first two
    words with /proc/uptime, which is the same clock.
    """

    sent_s: float
    fence_after_s: float
    boot_id: str

    def __str__(self) -> str:
        return f"{self.sent_s:.3f} {self.fence_after_s:.3f} {self.boot_id}\n"

    @classmethod
    def parse(cls, text: str) -> Fence | None:
        """None for a torn or foreign file, which a reader must treat as fenced."""
        words = text.split()
        try:
            return cls(float(words[0]), float(words[1]), words[2])
        except (IndexError, ValueError):
            return None

    def holds(self, *, now_s: float, boot_id: str) -> bool:
        """Whether the worker may run at boot time `now_s`; a file from before a reboot never allows it."""
        return boot_id == self.boot_id and 0 <= now_s - self.sent_s < self.fence_after_s
