"""How well a worker performs, in percent of an ordinary one of its pool: what the strategy Performance weighs with.

A worker that recognises as much per stream as the median of its pool, with as few errors and as little CPU, has 100.
Reports are noisy, and every change of a score moves streams, so three things stand between them: a score is bounded,
smoothed over minutes, and used in steps of ten that change only when it has clearly left the present one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from fingerv7.core.model import Lease, Worker
from fingerv7.core.planner.model import MAX_SCORE, MIN_SCORE
from fingerv7.core.status import parse_report

ORDINARY = 100
MEASURE_EVERY_S = 60.0
"""Shorter spans hold too few recognised pieces to tell anything."""
SMOOTHING_S = 600.0
"""A lasting change has taken two thirds of its effect after this time."""
STEP = 10
BAND = 18
"""How far the smoothed score may be from the one in use; more than `STEP`, so that no border is crossed twice."""


def settled(used: int, smooth: float) -> int:
    """The score to use from now on, given the one in use and the smoothed one."""
    if abs(smooth - used) <= BAND:
        return used
    return int(_bounded(STEP * round(smooth / STEP)))


def smoothed(smooth: float, raw: float, elapsed_s: float) -> float:
    """Moves from `smooth` towards `raw`, the further the more time has passed."""
    return smooth + (_bounded(raw) - smooth) * -math.expm1(-elapsed_s / SMOOTHING_S)


class _Figures(NamedTuple):
    """What one worker did lately; None where it does not say."""

    pieces: float | None
    """Recognised for each stream in a second."""
    success: float | None
    """The share of pieces that were no errors."""
    cpu: float | None
    """Percent of a core for each stream."""


@dataclass(slots=True)
class _Measured:
    incarnation: str
    at: float
    processed: int | None
    errors: int | None
    smooth: float
    used: int
    figures: _Figures | None = None


@dataclass(slots=True)
class Scores:
    """The scores of one pool's workers. Times are seconds, monotonic."""

    _known: dict[str, _Measured] = field(default_factory=dict)
    """By FingerWorker UID."""

    def look(self, workers: Mapping[str, Worker], leases: Mapping[str, Lease], now: float) -> dict[str, int]:
        """Worker → score in percent; `spec.performanceScorePercent` where it is given, else measured."""
        known = {worker.uid: self._known.get(worker.uid) or _first(worker, now) for worker in workers.values()}
        self._known = known
        fresh: list[tuple[_Measured, float]] = []
        for name, worker in workers.items():
            measured, lease = known[worker.uid], leases.get(name)
            elapsed_s = now - measured.at
            if worker.score_percent is None and lease and elapsed_s >= MEASURE_EVERY_S:
                _measure(measured, worker, lease, now)
                if measured.figures:
                    fresh.append((measured, elapsed_s))
        if fresh:
            ordinary = _median([each.figures for each in known.values() if each.figures])
            for measured, elapsed_s in fresh:
                if measured.figures:
                    raw = _score(measured.figures, ordinary)
                    measured.smooth = smoothed(measured.smooth, raw, min(elapsed_s, 2 * MEASURE_EVERY_S))
                    measured.used = settled(measured.used, measured.smooth)
        return {
            name: known[worker.uid].used if worker.score_percent is None else int(_bounded(worker.score_percent))
            for name, worker in workers.items()
        }


def _first(worker: Worker, now: float) -> _Measured:
    """A new leader goes on with the score that the last one used."""
    shown = worker.status.get("performanceScorePercent")
    used = int(_bounded(shown)) if isinstance(shown, int) else ORDINARY
    # Due at once: the first look is what later ones are compared with.
    return _Measured("", now - MEASURE_EVERY_S, None, None, smooth=float(used), used=used)


def _measure(measured: _Measured, worker: Worker, lease: Lease, now: float) -> None:
    """Compare the report with the last one of the same process; who runs nothing shows nothing."""
    report = parse_report(lease.report)
    processed, errors, cpu = (report.get(key) for key in ("processedCount", "errorCount", "cpuPercent"))
    streams, elapsed_s = len(worker.assignment.grants), now - measured.at
    same = measured.incarnation == lease.holder
    pieces = _growth(measured.processed, processed) if same else None
    failed = _growth(measured.errors, errors) if same else None
    measured.incarnation, measured.at = lease.holder, now
    measured.processed, measured.errors = processed, errors
    if not streams:
        measured.figures = None
        return
    figures = _Figures(
        pieces=None if pieces is None else pieces / elapsed_s / streams,
        success=pieces / (pieces + failed) if pieces is not None and failed is not None and pieces + failed else None,
        cpu=cpu / streams if cpu else None,
    )
    measured.figures = figures if any(each is not None for each in figures) else None


def _growth(before: int | None, after: int | None) -> int | None:
    """None where a counter is missing, or began anew."""
    return after - before if before is not None and after is not None and after >= before else None


def _median(figures: list[_Figures]) -> _Figures:
    columns = ([value for value in column if value is not None] for column in zip(*figures, strict=True))
    return _Figures(*(median(column) if column else None for column in columns))


def _score(own: _Figures, ordinary: _Figures) -> float:
    return (
        ORDINARY
        * _ratio(own.pieces, ordinary.pieces)
        * _ratio(own.success, ordinary.success)
        * _ratio(ordinary.cpu, own.cpu)
    )


def _ratio(above: float | None, below: float | None) -> float:
    """What is not known, or nothing everywhere, makes no difference."""
    return 1.0 if above is None or not below else above / below


def _bounded(score: float) -> float:
    return min(float(MAX_SCORE), max(float(MIN_SCORE), score))
