"""From JSON to `facts`: only what is needed, and tolerant of what another version of the operator wrote.

This is the one place where URLs are taken from objects, and they leave it redacted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fingerv7.adapters.kube.redact import redact_url
from fingerv7.cli.facts import Grant, Holder, Pool, Said, Sidecar
from fingerv7.contract import APPLIED, RELEASED, Acknowledgement, Release

Json = Mapping[str, Any]


def holder(raw: Json, stream: str, sidecar: Sidecar | None) -> Holder | None:
    """What a FingerWorker says of the stream; None where it does not hold it."""
    status = raw.get("status") or {}
    assignment = status.get("assignment") or {}
    granted = next((s for s in assignment.get("streams") or () if s["id"] == stream), None)
    revoking = next((r for r in assignment.get("revoking") or () if r["id"] == stream), None)
    if granted is None and revoking is None:
        return None
    return Holder(
        worker=raw["metadata"]["name"],
        uid=raw["metadata"]["uid"],
        epoch=int(assignment.get("epoch") or 0),
        grant=Grant(granted["token"], redact_url(granted["url"]), granted.get("name") or "") if granted else None,
        revoked_at=int(revoking["epoch"]) if revoking else None,
        phase=status.get("phase") or "",
        ready=_conditions(status).get("Ready"),
        takeover_after=(status.get("liveness") or {}).get("takeoverAfter") or "",
        sidecar=sidecar,
    )


def sidecar(raw: Json, now: datetime) -> Sidecar:
    """A worker's Lease, looked at when the API server's clock showed `now`."""
    spec, annotations = raw.get("spec") or {}, raw["metadata"].get("annotations") or {}
    return Sidecar(
        holder=spec.get("holderIdentity") or "",
        age_s=age_s(spec.get("renewTime"), now),
        duration_s=float(spec.get("leaseDurationSeconds") or 0),
        applied=Acknowledgement.parse(annotations.get(APPLIED)),
        released=Release.parse(annotations.get(RELEASED)),
    )


def pool(raw: Json) -> Pool:
    status = raw.get("status") or {}
    unassigned, quarantined = _examples(status, "unassigned"), _examples(status, "quarantined")
    counted = sum((status.get(kind) or 0) for kind in ("unassigned", "quarantined"))
    named = sum(len(ids) for ids in (*unassigned.values(), *quarantined.values()))
    return Pool(
        name=raw["metadata"]["name"],
        streams=status.get("streams"),
        conditions=_conditions(status),
        unassigned=unassigned,
        quarantined=quarantined,
        unnamed=max(0, counted - named),
    )


def age_s(written: str | None, now: datetime) -> float | None:
    """Seconds since a Lease's `renewTime`; None where there is none, or it is no time."""
    try:
        return max(0.0, (now - datetime.fromisoformat(written)).total_seconds()) if written else None
    except (ValueError, TypeError):
        return None


def _conditions(status: Json) -> dict[str, Said]:
    return {
        each["type"]: Said(each["status"], each["reason"], each.get("message") or "")
        for each in status.get("conditions") or ()
    }


def _examples(status: Json, kind: str) -> dict[str, tuple[str, ...]]:
    return {reason: tuple(ids) for reason, ids in (status.get(f"{kind}Examples") or {}).items()}
