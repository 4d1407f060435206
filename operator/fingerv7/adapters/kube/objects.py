"""FingerWorkers and Leases as the API server stores them ↔ the values that `core` thinks in.

The CRD has validated what it stores, so these readers check only what a decision depends on. An unreadable
assignment is refused whole rather than read in part: a stream overlooked in it would be given to a second worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from fingerv7.adapters.kube.api import Json
from fingerv7.contract import (
    APPLIED,
    DRAIN,
    DRAIN_FOR,
    FINALIZER,
    GONE,
    MANAGED_LABEL,
    POOL_LABEL,
    REGISTER,
    RELEASED,
    REPORT,
    Acknowledgement,
    Release,
    assignment_hash,
)
from fingerv7.core.model import Assignment, Grant, Lease, Stream, Token, Worker
from fingerv7.core.size import stream_size

CREATED_BY: Final = "fingerv7.io/created-by"
CREATED_BY_OPERATOR: Final = "operator"
"""On a FingerWorker that the operator made from a Lease's registration, and may delete again."""

_UNASSIGNED: Final = Assignment()


def worker_from_json(raw: Json) -> Worker:
    """A FingerWorker. Its `status` is the stored one, except that `assignment` keeps only its scalars.

    Raises ValueError with a sentence when the object cannot be understood.
    """
    with _readable(raw, "FingerWorker"):
        metadata, spec, status = raw["metadata"], raw["spec"], raw.get("status") or {}
        stored = status.get("assignment")
        labels = metadata.get("labels") or {}
        return Worker(
            name=metadata["name"],
            uid=metadata["uid"],
            resource_version=int(metadata["resourceVersion"]),
            pool=spec["poolRef"]["name"],
            max_streams=int(spec["maxStreams"]),
            capabilities=frozenset(spec.get("capabilities") or ()),
            location=spec.get("location") or "",
            score_percent=spec.get("performanceScorePercent"),
            drain=bool(spec.get("drain")),
            drain_for=(metadata.get("annotations") or {}).get(DRAIN_FOR, ""),
            managed=labels.get(MANAGED_LABEL) == "true",
            deleting="deletionTimestamp" in metadata,
            finalizer=FINALIZER in metadata.get("finalizers", ()),
            generation=int(metadata.get("generation", 1)),
            created_by_operator=labels.get(CREATED_BY) == CREATED_BY_OPERATOR,
            assignment=assignment_from_json(stored) if stored else _UNASSIGNED,
            tampered=_is_tampered(metadata["uid"], stored) if stored else False,
            # The lists are in `assignment` already; kept twice, they would be most of the operator's memory.
            status={**status, "assignment": _scalars(stored)} if stored else status,
        )


def _is_tampered(uid: str, stored: Mapping[str, Any]) -> bool:
    """Whether the content is not what its hash says; one without a hash was never given anything."""
    streams = stored.get("streams") or ()
    if not stored.get("hash"):
        return bool(streams)
    return bool(stored["hash"] != assignment_hash(uid, int(stored.get("epoch", 0)), streams))


def finalizer_patch(raw: Json, *, present: bool) -> Json:
    """The merge patch that sets or removes our finalizer on the object as it was read, and on no later state."""
    others = [each for each in raw["metadata"].get("finalizers", []) if each != FINALIZER]
    return {
        "metadata": {
            "resourceVersion": raw["metadata"]["resourceVersion"],
            "finalizers": [*others, FINALIZER] if present else others,
        }
    }


def assignment_from_json(raw: Mapping[str, Any]) -> Assignment:
    """`status.assignment`. Of an id that a stranger listed twice, the entry with the newer token counts."""
    grants: dict[str, Grant] = {}
    for entry in raw.get("streams") or ():
        grant = Grant(_stream(entry), Token.parse(entry["token"]))
        known = grants.get(grant.stream.id)
        if known is None or known.token < grant.token:
            grants[grant.stream.id] = grant
    return Assignment(
        epoch=int(raw.get("epoch", 0)),
        leader_epoch=int(raw.get("leaderEpoch", 0)),
        grants=grants,
        revoking={entry["id"]: int(entry["epoch"]) for entry in raw.get("revoking") or ()},
    )


def assignment_to_json(assignment: Assignment, *, worker_uid: str) -> Json:
    """What `status.assignment` of that FingerWorker says; lists in the order of ids, defaults left out."""
    streams = [
        _stream_to_json(grant.stream, str(grant.token))
        for _, grant in sorted(assignment.grants.items(), key=lambda item: item[0])
    ]
    return {
        "epoch": assignment.epoch,
        "leaderEpoch": assignment.leader_epoch,
        "hash": assignment_hash(worker_uid, assignment.epoch, streams),
        "streams": streams,
        "revoking": [{"id": stream_id, "epoch": epoch} for stream_id, epoch in sorted(assignment.revoking.items())],
    }


def lease_from_json(raw: Json) -> Lease:
    """A worker's Lease. Text in an annotation that is no acknowledgement or release counts as none.

    Raises ValueError with a sentence when the object cannot be understood.
    """
    with _readable(raw, "Lease"):
        metadata, spec = raw["metadata"], raw.get("spec") or {}
        annotations = metadata.get("annotations") or {}
        return Lease(
            name=metadata["name"],
            uid=metadata["uid"],
            resource_version=int(metadata["resourceVersion"]),
            pool=(metadata.get("labels") or {}).get(POOL_LABEL, ""),
            holder=spec.get("holderIdentity") or "",
            renew_time=spec.get("renewTime") or "",
            duration_ms=int(spec.get("leaseDurationSeconds") or 0) * 1000,
            applied=Acknowledgement.parse(annotations.get(APPLIED)),
            released=Release.parse(annotations.get(RELEASED)),
            gone=annotations.get(GONE, ""),
            drain=annotations.get(DRAIN, ""),
            report=annotations.get(REPORT, ""),
            register=annotations.get(REGISTER, ""),
        )


def _stream(raw: Mapping[str, Any]) -> Stream:
    identity, url, name = raw["id"], raw["url"], raw.get("name") or ""
    weight, location = raw.get("weight") or 1, raw.get("location") or ""
    capabilities, metadata = raw.get("capabilities") or (), raw.get("metadata") or {}
    return Stream(
        id=identity,
        url=url,
        name=name,
        weight=weight,
        location=location,
        capabilities=frozenset(capabilities),
        metadata=metadata,
        size=stream_size(
            identity, url, name, weight=weight, location=location, capabilities=capabilities, metadata=metadata
        ),
    )


def _stream_to_json(stream: Stream, token: str) -> Json:
    entry: Json = {"id": stream.id, "url": stream.url, "name": stream.name, "token": token}
    if stream.metadata:
        entry["metadata"] = dict(stream.metadata)
    if stream.weight != 1:
        entry["weight"] = stream.weight
    if stream.capabilities:
        entry["capabilities"] = sorted(stream.capabilities)
    if stream.location:
        entry["location"] = stream.location
    return entry


def _scalars(assignment: Mapping[str, Any]) -> Json:
    return {key: value for key, value in assignment.items() if not isinstance(value, list)}


@contextmanager
def _readable(raw: Json, kind: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        metadata = raw.get("metadata") if isinstance(raw, dict) else None
        name = metadata.get("name", "?") if isinstance(metadata, dict) else "?"
        missing = f"the field {error} is missing" if isinstance(error, KeyError) else str(error)
        # A cause would carry a stream's URL, and with it credentials, into a traceback.
        raise ValueError(f"the {kind} {name} cannot be read: {missing}") from None
