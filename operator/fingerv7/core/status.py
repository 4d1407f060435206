"""The status that people read: phases, conditions and counts, derived from the facts and never a trigger.

Everything here answers plain JSON values, ready to be compared with the stored status and written where they
differ. `lastTransitionTime` moves only when a condition's status does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fingerv7.contract import Timing, format_duration
from fingerv7.core.liveness import Verdict
from fingerv7.core.model import Assignment, Worker
from fingerv7.core.standing import Facts, Standing

Json = dict[str, Any]

LARGEST = 2**53
TEXT_LIMIT = 63
REPORT_COUNTS = ("currentStreams", "processedCount", "errorCount")
REPORT_PERCENTAGES = ("cpuPercent", "memoryPercent")
REPORT_TEXTS = ("lastActivity", "lastDbWrite", "version")
READY_STANDINGS = frozenset({"Active", "Late", "Recovering", "NotAcknowledged", "Draining", "BackingOff"})
"""Standings in which a heard worker counts as ready to run what it has."""


@dataclass(frozen=True, slots=True)
class Condition:
    type: str
    status: bool
    reason: str
    message: str


def worker_status(
    facts: Facts, standing: Standing, *, share: int | None, timing: Timing, score: int | None = None
) -> Json:
    """The derived part of a FingerWorker's status, conditions without times.

    `share` is the number of streams that the plan wants on it, None where there is no plan yet; `score` the
    performance score that the plan uses, if any.
    """
    worker, lease = facts.worker, facts.lease
    applied = lease.acknowledged_epoch(worker) if lease else None
    status: Json = {
        "observedGeneration": worker.generation,
        "phase": phase(facts, standing, share),
        "liveness": liveness_status(timing),
        **assigned_status(worker, worker.assignment),
    }
    if applied is not None:
        status["appliedEpoch"] = applied
    if lease and lease.holder:
        status["incarnation"] = lease.holder
    if lease and lease.renew_time:
        status["lastHeartbeatTime"] = lease.renew_time
    report = parse_report(lease.report if lease else "")
    if report:
        status["report"] = report
    if score is not None or "performanceScorePercent" in worker.status:
        status["performanceScorePercent"] = score  # null takes it out
    status["conditions"] = [
        _ready(facts, standing, status["phase"]),
        _applied(facts, applied),
        _draining(standing),
    ]
    return status


def assigned_status(worker: Worker, assignment: Assignment) -> Json:
    """The counts that go with an assignment."""
    weight = sum(grant.stream.weight for grant in assignment.grants.values())
    return {"assignedStreams": len(assignment.grants), "loadPercent": round(100 * weight / worker.max_streams)}


def phase(facts: Facts, standing: Standing, share: int | None) -> str:
    """The worker's phase (design section 5)."""
    verdict, held = facts.health.verdict, len(facts.worker.assignment.grants)
    if standing.reason == "Drained":
        return "Drained"
    if standing.stop or verdict is Verdict.SILENT:
        return "Inactive"
    if standing.draining:
        return "Draining"
    if verdict is Verdict.ABSENT:
        return "Pending"
    if verdict is Verdict.LATE:
        return "Warning"
    was = facts.worker.status.get("phase")
    if was in {"Inactive", "Recovering"} and share is not None and held < share:
        return "Recovering"
    return "Active" if held else "Registered"


def liveness_status(timing: Timing) -> Json:
    """The pool's times as the sidecar reads them."""
    return {
        "renewInterval": format_duration(timing.renew_interval_ms),
        "requestTimeout": format_duration(timing.request_timeout_ms),
        "fenceAfter": format_duration(timing.fence_after_ms),
        "stopTime": format_duration(timing.stop_time_ms),
        "takeoverAfter": format_duration(timing.takeover_after_ms),
    }


def _ready(facts: Facts, standing: Standing, phase_: str) -> Condition:
    alive = facts.health.verdict in {Verdict.ALIVE, Verdict.LATE} and standing.reason in READY_STANDINGS
    if alive and standing.reason == "Active":
        if phase_ == "Recovering":
            return Condition("Ready", True, "Recovering", "heard again; its share comes back step by step")
        longer = facts.lease.duration_ms / 1000 if facts.lease else 0
        if longer > facts.takeover_s:
            return Condition("Ready", True, "LeaseDurationLonger", f"its sidecar runs under {longer:.0f} s")
        return Condition("Ready", True, "Active", "heard in time")
    return Condition("Ready", alive, standing.reason, standing.message)


def _applied(facts: Facts, applied: int | None) -> Condition:
    worker = facts.worker
    epoch = worker.assignment.epoch
    if applied is None:
        return Condition("Applied", False, "NotAcknowledged", "the Lease's holder has acknowledged nothing yet")
    if epoch == 0:
        return Condition("Applied", True, "NothingAssigned", "nothing was ever assigned")
    if applied < epoch:
        return Condition("Applied", False, "WaitingForWorker", f"epoch {epoch} is assigned, {applied} is confirmed")
    return Condition("Applied", True, "Applied", f"the worker runs exactly epoch {applied}")


def _draining(standing: Standing) -> Condition:
    if standing.reason == "Draining":
        return Condition("Draining", True, "Draining", standing.message)
    if standing.reason == "Drained":
        return Condition("Draining", True, "Drained", standing.message)
    return Condition("Draining", False, "NotRequested", "")


def parse_report(text: str) -> Json:
    """The known figures of a report; what is no JSON object is ignored, since a worker wrote it."""
    try:
        raw = json.loads(text) if text else {}
    except ValueError:
        return {}
    if not isinstance(raw, dict):
        return {}
    report: Json = {}
    for key in REPORT_COUNTS:
        if isinstance(value := raw.get(key), int) and not isinstance(value, bool) and 0 <= value <= LARGEST:
            report[key] = value
    for key in REPORT_PERCENTAGES:
        if isinstance(value := raw.get(key), int | float) and 0 <= value <= LARGEST:
            report[key] = round(value)
    for key in REPORT_TEXTS:
        if isinstance(value := raw.get(key), str) and value:
            report[key] = _printable(value)
    if isinstance(vpn := raw.get("vpn"), dict):
        report["vpn"] = {key: _printable(str(vpn[key])) for key in ("status", "ip") if key in vpn}
    return report


def _printable(text: str) -> str:
    """At most as long as the CRD allows, and without halves of surrogate pairs, which no JSON can carry."""
    return text.encode("utf-8", "replace").decode()[:TEXT_LIMIT]


def dated(conditions: list[Condition], stored: object, *, generation: int, now: str) -> list[Json]:
    """Conditions as they are written: a time moves only when the status did."""
    before: Mapping[str, Json] = {}
    if isinstance(stored, list):
        before = {c["type"]: c for c in stored if isinstance(c, dict) and "type" in c}
    written = []
    for condition in conditions:
        status = "True" if condition.status else "False"
        old = before.get(condition.type, {})
        since = old.get("lastTransitionTime", now) if old.get("status") == status else now
        written.append(
            {
                "type": condition.type,
                "status": status,
                "reason": condition.reason,
                "message": condition.message[:1024],
                "observedGeneration": generation,
                "lastTransitionTime": since,
            }
        )
    return written


def replacing(status: Mapping[str, Any], stored: Mapping[str, Any]) -> Json:
    """A merge patch after which each object in `status` is exactly that, with nothing left standing in it."""
    return {key: _exactly(value, stored.get(key)) for key, value in status.items()}


def _exactly(value: Any, stored: Any) -> Any:
    if not isinstance(value, Mapping) or not isinstance(stored, Mapping):
        return value
    gone = dict.fromkeys(stored.keys() - value.keys())
    return {**gone, **{key: _exactly(child, stored.get(key)) for key, child in value.items()}}


def significant(status: Json) -> Json:
    """What of a status is worth a write at once: all but the figures that move with every heartbeat."""
    kept = {k: v for k, v in status.items() if k not in {"report", "lastHeartbeatTime"}}
    conditions = status.get("conditions") or []
    kept["conditions"] = {c["type"]: (c["status"], c["reason"], c.get("observedGeneration")) for c in conditions}
    # This message names the change that an annotation has to confirm: an old one would confirm nothing.
    kept["change"] = [c.get("message") for c in conditions if c["type"] == "SourceChanged"]
    return kept
