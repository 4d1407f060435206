"""What the checker found, as values: each finding names stream, workers and times, so that a log can be searched."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class Overlap:
    """One stream processed by two runs at once, from `started` until `ended`."""

    stream: str
    first_worker: str
    second_worker: str
    first_token: str
    second_token: str
    started: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """One stream processed by nobody for longer than allowed, until `ended`, when the second worker started it."""

    stream: str
    first_worker: str
    second_worker: str
    started: datetime
    ended: datetime
    seconds: float
    allowed_s: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """A start that the sink refused because it had seen a newer token."""

    stream: str
    worker: str
    token: str
    seen: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Window:
    """Gaps that touch this period are judged by its own limit: an outage that the test caused, for instance."""

    start: datetime
    end: datetime
    allowed_gap_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    overlaps: list[Overlap]
    gaps: list[Gap]
    missing: list[str]
    """Expected and not running now."""
    extra: list[str]
    """Running now and not expected."""
    refusals: list[Refusal]
    longest_gap_s: float
    """Of all gaps, the allowed ones too."""
    intervals: int
    refusals_allowed: bool = False

    @property
    def ok(self) -> bool:
        bad = self.overlaps or self.gaps or self.missing or self.extra
        return not bad and (self.refusals_allowed or not self.refusals)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: counts in full, examples of each kind shortened."""
        return {
            "ok": self.ok,
            "intervals": self.intervals,
            "longestGapSeconds": round(self.longest_gap_s, 3),
            **{
                kind: {"count": len(found), "examples": [_json(each) for each in found[:_EXAMPLES]]}
                for kind, found in (
                    ("overlaps", self.overlaps),
                    ("gaps", self.gaps),
                    ("missing", self.missing),
                    ("extra", self.extra),
                    ("refusals", self.refusals),
                )
            },
        }


@dataclass(frozen=True, slots=True)
class GapFigures:
    """How long streams were on nobody between two workers, in seconds; None where there was no gap."""

    count: int
    p50_s: float | None
    p99_s: float | None
    max_s: float | None


def allowed_gap_s(started: datetime, ended: datetime, windows: Sequence[Window], *, otherwise_s: float) -> float:
    """How long this gap may be: by the most generous of the windows that it touches."""
    touched = [each.allowed_gap_s for each in windows if started <= each.end and ended >= each.start]
    return max(touched, default=otherwise_s)


def _json(found: object) -> object:
    if isinstance(found, str):
        return found
    assert dataclasses.is_dataclass(found)  # noqa: S101 - the caller passes ours
    assert not isinstance(found, type)  # noqa: S101
    values = dataclasses.asdict(found)
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in values.items()}
