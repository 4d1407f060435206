"""Stored objects as the operator and a sidecar write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from fingerv7.cli import reading
from fingerv7.cli.facts import Holder
from fingerv7.cli.verdict import Verdict, decide

Json = dict[str, Any]

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
URL = "https://user:hidden@radio.example/live?key=hidden"


def worker(
    name: str = "w1",
    *,
    streams: Sequence[str] = (),
    revoking: Sequence[tuple[str, int]] = (),
    epoch: int = 7,
    token: str = "0000000000000005-0000000042",
) -> Json:
    return {
        "kind": "FingerWorker",
        "metadata": {"name": name, "namespace": "radio", "uid": f"uid-{name}"},
        "spec": {"poolRef": {"name": "radio"}},
        "status": {
            "phase": "Active",
            "liveness": {"takeoverAfter": "20s"},
            "conditions": [condition("Ready", "True", "Active", "heard in time")],
            "assignment": {
                "epoch": epoch,
                "streams": [{"id": i, "url": URL, "name": "Radio One", "token": token} for i in streams],
                "revoking": [{"id": i, "epoch": at} for i, at in revoking],
            },
        },
    }


def lease(
    name: str = "w1", *, applied: int | None = 7, age_s: float = 3, holder: str = "pod/a", released: bool = False
) -> Json:
    annotations = {}
    if applied is not None:
        annotations["fingerv7.io/applied"] = f"uid-{name}/pod/a/{applied}"
    if released:
        annotations["fingerv7.io/released"] = f"uid-{name}/pod/a"
    renewed = (NOW - timedelta(seconds=age_s)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 20},
    }


def pool(*conditions: Json, **status: Any) -> Json:
    """A pool that serves 12 streams, all of them, unless told otherwise."""
    usual = [
        condition("Ready", "True", "Serving", "12 streams on 3 workers"),
        condition("SourceReachable", "True", "Reachable", ""),
        condition("Paused", "False", "NotRequested", ""),
    ]
    given = {each["type"] for each in conditions}
    kept = [each for each in usual if each["type"] not in given]
    counts = {"streams": 12, "unassigned": 0, "quarantined": 0}
    return {"metadata": {"name": "radio"}, "status": {**counts, "conditions": [*kept, *conditions], **status}}


def condition(kind: str, status: str, reason: str, message: str) -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def holders(*pairs: tuple[Json, Json | None], stream: str = "4711") -> list[Holder]:
    found = []
    for raw, its_lease in pairs:
        held = reading.holder(raw, stream, reading.sidecar(its_lease, NOW) if its_lease else None)
        if held:
            found.append(held)
    return found


@pytest.fixture
def stored() -> SimpleNamespace:
    """The builders above."""
    return SimpleNamespace(worker=worker, lease=lease, pool=pool, condition=condition, holders=holders, now=NOW)


@pytest.fixture
def judge() -> Callable[..., Verdict]:
    """`judge((worker, lease), …, of=pool)` for the stream 4711."""

    def run(*pairs: tuple[Json, Json | None], of: Json | None = None) -> Verdict:
        return decide("4711", "radio", reading.pool(of or pool()), holders(*pairs))

    return run
