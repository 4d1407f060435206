"""From a FingerWorker, as the API returns it, to the config that its worker should run.

Whatever comes from the API is checked before it replaces a config that works: the object's name, the shape of the
assignment, and that its hash is the hash of its content. A refused assignment leaves the last good one in force.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fingerv7.contract import (
    CONFIG_VERSION,
    Timing,
    acquisition,
    assignment_hash,
    config_streams,
    config_token,
    empty_config_hash,
    granted_token,
    parse_duration,
)

_LIVENESS_FIELDS = {
    "renewInterval": "renew_interval_ms",
    "requestTimeout": "request_timeout_ms",
    "fenceAfter": "fence_after_ms",
    "stopTime": "stop_time_ms",
    "takeoverAfter": "takeover_after_ms",
}


@dataclass(frozen=True, slots=True)
class Config:
    """One content of the worker's config file, identified by its hash."""

    hash: str
    worker_uid: str = ""
    """Of the FingerWorker that it mirrors; empty for an emptied config and for one found at the start."""
    epoch: int = 0
    streams: int = 0
    emptied: bool = False
    """Written to stop the worker (a fence, a release), not to mirror an assignment."""
    payload: bytes = field(default=b"", repr=False)
    """The file's content; its URLs may carry credentials."""


@dataclass(frozen=True, slots=True)
class View:
    """A FingerWorker as far as its sidecar needs it."""

    uid: str
    pool: str
    epoch: int
    config: Config | None
    """None when the assignment is refused; `problem` says why."""
    problem: str = ""
    incarnation: str = ""
    """Of the worker that the operator heard last."""
    timing: Timing | None = None
    """The times that the pool asks for, when they are present and valid."""
    timing_problem: str = ""


def emptied_config(pool: str, worker: str, incarnation: str, count: int) -> Config:
    """The `count`-th emptied config of this incarnation; each has a hash, and so a confirmation, of its own."""
    digest = empty_config_hash(incarnation, count)
    return Config(digest, emptied=True, payload=_payload(pool, worker, 0, digest, []))


def found_config(payload: bytes) -> Config:
    """The config that an earlier process left in the folder; one that cannot be read counts as one with streams."""
    try:
        document = json.loads(payload)
        return Config(
            str(document["hash"]), epoch=int(document["epoch"]), streams=len(document["streams"]), payload=payload
        )
    except (ValueError, TypeError, KeyError):
        return Config("unreadable", streams=1, payload=payload)


def written_for(found: Config, worker: str) -> bool:
    """Whether a found config was written for the worker of this name."""
    try:
        return bool(json.loads(found.payload)["worker"] == worker)
    except (ValueError, TypeError, KeyError):
        return False


def belongs_to(found: Config, worker_uid: str) -> bool:
    """Whether a found config is an assignment of this FingerWorker: only then its hash fits its UID."""
    try:
        streams = json.loads(found.payload)["streams"]
        granted = [stream | {"token": granted_token(stream["token"])} for stream in streams]
        return assignment_hash(worker_uid, found.epoch, granted) == found.hash
    except (ValueError, TypeError, KeyError, AttributeError):
        return False


def acquired_by(found: Config) -> int:
    """Under which acquisition of the Lease a found config was written; 0 where it does not tell."""
    try:
        return max(acquisition(stream["token"]) for stream in json.loads(found.payload)["streams"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return 0


def view_of(fingerworker: Mapping[str, Any], name: str, acquired: int) -> View | None:
    """Read a FingerWorker; None when this is not one named `name` at all. `acquired`: see `config_token`."""
    metadata = _mapping(fingerworker.get("metadata"))
    uid = metadata.get("uid")
    if metadata.get("name") != name or not isinstance(uid, str) or not uid:
        return None
    status = _mapping(fingerworker.get("status"))
    pool = str(_mapping(_mapping(fingerworker.get("spec")).get("poolRef")).get("name") or "")
    timing, timing_problem = _timing(_mapping(status.get("liveness")))
    assignment = _mapping(status.get("assignment"))
    epoch = assignment.get("epoch", 0)
    config: Config | None = None
    problem = ""
    if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
        problem, epoch = "status.assignment.epoch is not a whole number; only the operator may write it", 0
    else:
        try:
            config = _config(uid, pool, name, epoch, assignment, acquired)
        except ValueError as error:
            problem = str(error)
    return View(
        uid=uid,
        pool=pool,
        epoch=epoch,
        config=config,
        problem=problem,
        incarnation=str(status.get("incarnation") or ""),
        timing=timing,
        timing_problem=timing_problem,
    )


def _config(uid: str, pool: str, name: str, epoch: int, assignment: Mapping[str, Any], acquired: int) -> Config:
    try:
        streams = config_streams(assignment.get("streams") or [])
        digest = assignment_hash(uid, epoch, streams)
    except (TypeError, KeyError, AttributeError, ValueError):
        raise ValueError(
            f"status.assignment of epoch {epoch} is malformed: every stream needs id, url and token"
        ) from None
    stated = assignment.get("hash") or ""
    # A FingerWorker that was only stamped or never assigned anything carries no hash, and nothing to protect by one.
    if stated != digest and (stated or streams):
        raise ValueError(
            f"status.assignment.hash of epoch {epoch} does not match its content ({stated!r}, computed {digest!r}); "
            "somebody else than the operator edited it"
        )
    ours = [stream | {"token": config_token(stream["token"], acquired)} for stream in streams]
    return Config(digest, uid, epoch, len(streams), payload=_payload(pool, name, epoch, digest, ours))


def _payload(pool: str, worker: str, epoch: int, digest: str, streams: list[dict[str, Any]]) -> bytes:
    document = {
        "version": CONFIG_VERSION,
        "pool": pool,
        "worker": worker,
        "epoch": epoch,
        "hash": digest,
        "streams": streams,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def _timing(liveness: Mapping[str, Any]) -> tuple[Timing | None, str]:
    if not liveness:
        return None, ""
    try:
        given = {
            ours: parse_duration(str(liveness[name])) for name, ours in _LIVENESS_FIELDS.items() if name in liveness
        }
        timing = Timing.derive(given.pop("takeover_after_ms", 20_000), **given)
    except ValueError as error:
        return None, f"status.liveness is ignored: {error}"
    violations = timing.violations()
    return (None, f"status.liveness is ignored: {violations[0]}") if violations else (timing, "")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
