"""What `fingerv7 uninstall` would do, as a value: printed, asked about, and then carried out as it is.

Deleting a FingerWorker or a StreamPool is a drain, which the operator ends by taking its finalizer off. Without an
operator such objects would stay for ever, and with them the namespace and the CRDs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fingerv7.cli.evidence import duration
from fingerv7.cli.reading import age_s
from fingerv7.contract import FINALIZER

Json = Mapping[str, Any]

ELECTION: Final = "fingerv7-operator"
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Held:
    """An object with our finalizer."""

    kind: str
    namespace: str
    name: str
    uid: str
    deleting: bool
    streams: int = 0
    """In its assignment, confirmed as stopped or not."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An election Lease."""

    namespace: str
    holder: str
    renewed: str
    """As it is written there, so that a renewal is seen whatever the clocks say."""
    age_s: float | None
    lease_s: float

    @property
    def left_s(self) -> float:
        """For how long it has to be seen unchanged until its holder is gone; 0 for one that is."""
        return max(0.0, self.lease_s - self.age_s) if self.holder and self.age_s is not None else 0.0

    def is_among(self, earlier: Sequence[Operator]) -> bool:
        """Whether it has not been written since."""
        return any(
            (each.namespace, each.holder, each.renewed) == (self.namespace, self.holder, self.renewed)
            for each in earlier
        )


@dataclass(frozen=True, slots=True)
class Plan:
    scope: str
    held: Sequence[Held]
    operators: Sequence[Operator]


def held(raw: Json) -> Held | None:
    """None where the object does not carry our finalizer."""
    metadata = raw["metadata"]
    if FINALIZER not in (metadata.get("finalizers") or ()):
        return None
    assignment = (raw.get("status") or {}).get("assignment") or {}
    return Held(
        kind=raw["kind"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        deleting="deletionTimestamp" in metadata,
        streams=len({s["id"] for part in ("streams", "revoking") for s in assignment.get(part) or ()}),
    )


def operator(raw: Json, now: datetime) -> Operator:
    spec = raw.get("spec") or {}
    return Operator(
        namespace=raw["metadata"]["namespace"],
        holder=spec.get("holderIdentity") or "",
        renewed=spec.get("renewTime") or "",
        age_s=age_s(spec.get("renewTime"), now),
        lease_s=float(spec.get("leaseDurationSeconds") or 0),
    )


def without_finalizer(raw: Json) -> dict[str, Any]:
    """The merge patch that takes off our finalizer, and no other, from exactly this state of the object."""
    metadata = raw["metadata"]
    others = [each for each in metadata.get("finalizers") or () if each != FINALIZER]
    return {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": others}}


def last_words(operators: Sequence[Operator]) -> Operator | None:
    """Of those that may still be running, the one that is to be waited for longest."""
    return max((each for each in operators if each.left_s), key=lambda each: each.left_s, default=None)


def renewal(now: Sequence[Operator], earlier: Sequence[Operator]) -> Operator | None:
    """One that is running, as it has written its Lease since."""
    return next((each for each in now if each.holder and not each.is_among(earlier)), None)


def waiting(operator: Operator) -> str:
    ago, at_most = duration(operator.age_s or 0), duration(operator.left_s)
    return (
        f"Lease {operator.namespace}/{ELECTION} was renewed {ago} ago. `helm uninstall` takes an operator's rights "
        f"before it could give its Lease up, so this waits for {at_most} at most to see whether it is renewed again …"
    )


def refusal(running: Operator) -> str:
    return (
        f"the operator is still running ({running.holder} has just renewed Lease {running.namespace}/{ELECTION}) and "
        "would put the finalizers back: stop it first, or give --force"
    )


def explain(plan: Plan) -> Iterator[str]:
    """What will happen, and what it means for the streams."""
    pools = sum(each.kind == "StreamPool" for each in plan.held)
    deleting = sum(each.deleting for each in plan.held)
    yield (
        f"This takes the finalizer {FINALIZER} off {_count(pools, 'StreamPool')} and "
        f"{_count(len(plan.held) - pools, 'FingerWorker')} {plan.scope}."
    )
    if deleting:
        vanish = "is being deleted and vanishes" if deleting == 1 else "are being deleted and vanish"
        yield f"{deleting} of them {vanish} at once, without the drain that was to come first."
    if staying := len(plan.held) - deleting:
        stay = "stays until you delete it" if staying == 1 else "stay until you delete them"
        yield f"{staying} of them {stay}, which will be no drain any more."
    holding = [each for each in plan.held if each.streams]
    if holding:
        shown = ", ".join(f"{each.name} ({each.streams})" for each in holding[:_SHOWN])
        more = f" and {len(holding) - _SHOWN} others" if len(holding) > _SHOWN else ""
        yield f"{_count(len(holding), 'worker')} may still be running streams: {shown}{more}."
        yield (
            "  Each goes on until its sidecar notices that its FingerWorker is gone, or its pod is stopped. Start "
            "these streams nowhere else before that."
        )
    for each in plan.operators:
        state = f"was renewed {duration(each.age_s)} ago" if each.age_s is not None else "was never renewed"
        yield f"Lease {each.namespace}/{ELECTION} {state if each.holder else 'is held by nobody'}."
    if not plan.operators:
        yield f"No operator was found: there is no Lease {ELECTION}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
