"""A managed worker's pod as the API server stores it → the value that `core.managed` thinks in.

Only what a decision depends on is kept: of five thousand pods the specs would be most of the operator's memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from fingerv7.adapters.kube.api import Json
from fingerv7.adapters.kube.redact import redact_text
from fingerv7.contract import GROUP, POOL_LABEL, REVISION
from fingerv7.core.managed.model import Pod, Waiting

_MESSAGE_LIMIT = 512
_SCAN_LIMIT = 8_192
"""Of which so much is looked at for what is to be redacted."""


def pod_from_json(raw: Json) -> Pod:
    """Raises KeyError or ValueError for what is no pod."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    labels = metadata.get("labels") or {}
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    ready, scheduled = conditions.get("Ready") or {}, conditions.get("PodScheduled") or {}
    unschedulable = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
    deleted = metadata.get("deletionTimestamp")
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=int(metadata["resourceVersion"]),
        pool=labels.get(POOL_LABEL, ""),
        owner=_owner(metadata),
        revision=(metadata.get("annotations") or {}).get(REVISION, ""),
        phase=status.get("phase") or "Pending",
        ready=ready.get("status") == "True",
        changed_s=_seconds(ready.get("lastTransitionTime") or metadata.get("creationTimestamp") or ""),
        created_s=_seconds(metadata.get("creationTimestamp") or ""),
        # The API server writes there when the grace will be over.
        gone_by_s=_seconds(deleted) if deleted else None,
        reason=status.get("reason") or "",
        message=_short(status.get("message")),
        unschedulable=_short(scheduled.get("message")) or "no reason given" if unschedulable else "",
        waiting=tuple(_waiting(status)),
    )


def _owner(metadata: Json) -> str:
    """The UID of the FingerWorker that it belongs to."""
    for each in metadata.get("ownerReferences") or ():
        if each.get("kind") == "FingerWorker" and str(each.get("apiVersion", "")).startswith(f"{GROUP}/"):
            return str(each.get("uid", ""))
    return ""


def _waiting(status: Json) -> Iterator[Waiting]:
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or ():
            state = (container.get("state") or {}).get("waiting")
            if state:
                yield Waiting(str(container.get("name")), str(state.get("reason", "")), _short(state.get("message")))


def _seconds(timestamp: str) -> float:
    """Since the epoch; 0 for what is no timestamp."""
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0.0


def _short(text: Any) -> str:
    return redact_text(str(text or "")[:_SCAN_LIMIT])[:_MESSAGE_LIMIT]  # else half a URL is none any more
