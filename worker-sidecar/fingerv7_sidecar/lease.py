"""The own Lease as the API stores it: reading a stranger's, writing our own.

Every write replaces the whole object with the resourceVersion it was read at, so a write that somebody else
overtook fails instead of undoing theirs. Labels and annotations that are not ours are written back as they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fingerv7.contract import APPLIED, DRAIN, GONE, POOL_LABEL, REGISTER, RELEASED, REPORT, Acknowledgement, Release
from fingerv7_sidecar.clock import rfc3339_micro


@dataclass(frozen=True, slots=True)
class Statement:
    """What a Lease write states about this worker; a changed one is written at once."""

    applied: str = ""
    released: str = ""
    gone: str = ""
    drain: str = ""
    register: str = ""
    declared_s: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """What the sidecar reads in a Lease."""

    holder: str
    renew_time: str
    acquire_time: str
    duration_s: int
    transitions: int
    released: Release | None
    applied: Acknowledgement | None

    @property
    def never_held(self) -> bool:
        """Made in advance for this worker: nobody can be running under it."""
        return not self.holder and not self.renew_time and not self.transitions

    @property
    def shows_release(self) -> bool:
        return bool(self.holder and self.released and self.released.incarnation == self.holder)


def stored(lease: Mapping[str, Any]) -> Stored:
    spec = lease.get("spec") or {}
    annotations = (lease.get("metadata") or {}).get("annotations") or {}
    return Stored(
        holder=str(spec.get("holderIdentity") or ""),
        renew_time=str(spec.get("renewTime") or ""),
        acquire_time=str(spec.get("acquireTime") or ""),
        duration_s=int(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
        released=Release.parse(annotations.get(RELEASED)),
        applied=Acknowledgement.parse(annotations.get(APPLIED)),
    )


def blank(name: str, namespace: str, pool: str) -> dict[str, Any]:
    """A Lease that does not exist yet."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace, "labels": {POOL_LABEL: pool}},
        "spec": {},
    }


def renewed(
    lease: Mapping[str, Any], *, holder: str, pool: str, wall: float, statement: Statement, report: str
) -> dict[str, Any]:
    """The Lease with a new renewTime and what we state; acquires it where `holder` is not its holder yet."""
    metadata = {key: value for key, value in lease["metadata"].items() if key != "managedFields"}
    ours = {
        APPLIED: statement.applied,
        RELEASED: statement.released,
        GONE: statement.gone,
        DRAIN: statement.drain,
        REGISTER: statement.register,
        REPORT: report,
    }
    others = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in ours}
    metadata["annotations"] = others | {key: value for key, value in ours.items() if value}
    now = rfc3339_micro(wall)
    spec = dict(lease.get("spec") or {}) | {"renewTime": now, "leaseDurationSeconds": max(1, statement.declared_s)}
    if spec.get("holderIdentity") != holder:
        spec |= {
            "holderIdentity": holder,
            "acquireTime": now,
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1,
        }
        if pool:
            # Only here: a label that somebody edits while we hold the Lease is theirs.
            metadata["labels"] = {POOL_LABEL: pool} | (metadata.get("labels") or {})
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": spec,
    }
