"""Members, pods and rounds of a managed fleet, as short as a table of cases needs them."""

from __future__ import annotations

from fingerv7.contract import FINGERPRINTING, Acknowledgement
from fingerv7.core.managed.model import Member, Pod, Traits, Wanted
from fingerv7.core.managed.round import Crew, Memory, Plan, decide
from fingerv7.core.model import Assignment, Grant, Lease, Stream, Token, Worker

NOW = 1_790_000_000.0
PLAIN = Traits(50, frozenset({FINGERPRINTING}))
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
NEW, OLD = "new", "old"


def wanted(replicas=3, **changes) -> Wanted:
    return Wanted(**{"replicas": replicas, "defaults": PLAIN, "revision": NEW, **changes})


def a_pod(number=1, *, name="", revision=NEW, ready=True, age_s=3600.0, owner="", **changes) -> Pod:
    name = name or f"radio-{number:03}"
    return Pod(
        name=name,
        uid=changes.pop("uid", f"pod-{name}"),
        resource_version=1,
        pool="radio",
        owner=owner or f"uid-{name}",
        revision=revision,
        phase=changes.pop("phase", "Running"),
        ready=ready,
        changed_s=NOW - age_s,
        created_s=NOW - changes.pop("since_s", age_s),
        **changes,
    )


def member(
    number=1, *, streams=0, pod=..., alive=True, drain_for="", deleting=False, score=None, follows=True, **changes
) -> Member:
    name = f"radio-{number:03}"
    grants = {
        f"s{number}-{i}": Grant(Stream(f"s{number}-{i}", "http://radio.example"), Token(1, i)) for i in range(streams)
    }
    worker = Worker(
        name=name,
        uid=f"uid-{name}",
        resource_version=1,
        pool="radio",
        max_streams=changes.pop("max_streams", PLAIN.max_streams),
        capabilities=changes.pop("capabilities", PLAIN.capabilities),
        drain_for=drain_for,
        deleting=deleting,
        managed=True,
        score_percent=score,
        drain=changes.pop("drain", False),
        assignment=Assignment(epoch=1, grants=grants),
        status=READY if alive else {},
    )
    if pod is ...:
        pod = a_pod(number)
    lease = None
    if pod is not None:
        holder = f"{pod.uid}/1"
        applied = Acknowledgement(worker.uid, holder, 1) if follows else None
        lease = Lease(name, f"lease-{name}", 1, "radio", holder, "now", 20_000, applied)
    return Member(worker, number, pod, lease, **changes)


def look(members=(), want=..., memory=None, **changes) -> tuple[Crew, Plan]:
    """What a round sees, and what it decides."""
    crew = Crew(
        "radio", wanted() if want is ... else want, list(members), **{"wall_s": NOW, "now": 1000.0, **changes}
    )
    return crew, decide(crew, memory or Memory())


def three(**changes) -> list[Member]:
    return [member(n, **changes) for n in (1, 2, 3)]
