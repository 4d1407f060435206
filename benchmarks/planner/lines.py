"""The line that is printed for a case."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.planner.judge import Verdict


@dataclass(frozen=True, slots=True)
class Case:
    planner: str
    variant: str
    streams: int
    workers: int
    """Both as before the event."""


@dataclass(frozen=True, slots=True)
class Times:
    """Of each run: by the clock, and of the thread on its core."""

    ms: Sequence[float]
    cpu_ms: Sequence[float]


def print_line(
    case: Case,
    event: str,
    times: Times,
    peak_mib: float,
    verdict: Verdict | None = None,
    lower_bound: int | None = None,
    *,
    applied: Times | None = None,
    lp_ratio: float | None = None,
) -> None:
    """`ms` and `cpu_ms` are medians; what has no meaning for an event is null."""
    line = {
        "planner": case.planner,
        "variant": case.variant,
        "event": event,
        "streams": case.streams,
        "workers": case.workers if verdict else None,
        "ms": round(statistics.median(times.ms), 3),
        "ms_min": round(min(times.ms), 3),
        "cpu_ms": round(statistics.median(times.cpu_ms), 3),
        "cpu_ms_min": round(min(times.cpu_ms), 3),
        "apply_ms": round(min(applied.cpu_ms), 3) if applied else None,
        "peak_mib": round(peak_mib, 2),
        "moves": verdict.moves if verdict else None,
        "lower_bound": lower_bound,
        "placed": verdict.placed if verdict else None,
        "unplaced": verdict.unplaced if verdict else None,
        "spread": verdict.spread if verdict else None,
        "lp_ratio": None if lp_ratio is None else round(lp_ratio, 4),
    }
    print(json.dumps(line), flush=True)
