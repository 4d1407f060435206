"""Why a stream is where it is, and why it is not elsewhere, in sentences.

Derived from what went into a plan and what came out of it, without a look into the planner: the same sentences hold
whatever made the plan, and asking for one costs a planning round nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fingerv7.contract import FINGERPRINTING
from fingerv7.core.model import Stream
from fingerv7.core.planner.model import (
    MAX_SCORE,
    MIN_SCORE,
    Alternative,
    Candidate,
    Explanation,
    Move,
    Plan,
    Policy,
    Strategy,
    Trigger,
    Unplaced,
    UnplacedReason,
)

_COMMON = frozenset({FINGERPRINTING})
"""What every worker can do and nobody needs to be told."""
_NAMES = 3
"""As many workers are named where a reason is the same for several."""


def explain(
    stream_id: str,
    streams: Mapping[str, Stream],
    candidates: Mapping[str, Candidate],
    current: Mapping[str, str],
    plan: Plan,
    policy: Policy,
    *,
    at_most: int = 8,
) -> Explanation:
    """`streams` to `policy` are what the plan was made from. Takes time in proportion to all streams."""
    stream = streams.get(stream_id)
    if stream is None:
        return Explanation(stream_id, None, "it is not among the streams", ())
    case = _case(stream, streams, candidates, current, plan, policy)
    others = sorted((place for place in case.places.values() if place is not case.here), key=_emptiest_first)
    return Explanation(
        stream=stream_id,
        worker=case.here.name if case.here else None,
        why=_why(case),
        alternatives=_grouped(((place.name, _why_not(case, place)) for place in others), at_most),
    )


def because(
    move: Move, streams: Mapping[str, Stream], candidates: Mapping[str, Candidate], policy: Policy, plan: Plan
) -> str:
    """Why the plan moves it, as a sentence; the same that `move.trigger` says in a word."""
    source = move.source or "its worker"
    match move.trigger:
        case Trigger.NewStream:
            return "nobody had it"
        case Trigger.WorkerLost:
            return f"{source} is gone"
        case Trigger.WorkerIneligible:
            return _unfit(move, streams[move.stream], candidates.get(source), policy)
        case Trigger.OverCapacity:
            owner = candidates.get(source)
            return f"{source} holds more than its {owner.max_streams if owner else ''}".rstrip()
        case Trigger.MakingRoom:
            return "its place is needed by a stream that finds no other"
        case Trigger.Imbalance:
            return f"the loads are {plan.imbalance_before_percent:.0f} points from even"
        case Trigger.NewWorker:
            return f"{move.target} had nothing"
        case Trigger.CapacityChanged:
            changed = [n for n in (source, move.target) if n in candidates and candidates[n].capacity_changed]
            return f"the capacity of {' and '.join(changed) or 'a worker'} changed"
        case Trigger.ComingHome:
            return f"its own location ({streams[move.stream].location}) has room again"
        case Trigger.Rotation:
            return f"its time on {source} is over"


def _unfit(move: Move, stream: Stream, owner: Candidate | None, policy: Policy) -> str:
    source = move.source or "its worker"
    if owner is None or not owner.keeps:
        return f"{source} is draining"
    if lacking := stream.capabilities - owner.capabilities:
        return f"{source} lacks {', '.join(sorted(lacking))}"
    if policy.pins.get(stream.id, source) != source:
        return f"the policy pins it to {policy.pins[stream.id]}"
    return f"the policy excludes it from {source}"


# --- the case ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """A worker, and how full the plan leaves it."""

    worker: Candidate
    weight: int = 0
    size: int = 0

    @property
    def name(self) -> str:
        return self.worker.name

    @property
    def capacity(self) -> int:
        return self.worker.max_streams - self.worker.reserved_weight

    @property
    def load(self) -> float:
        return self._share(self.weight)

    def load_with(self, stream: Stream) -> float:
        return self._share(self.weight + max(1, stream.weight))

    def _share(self, weight: int) -> float:
        return 100 * weight / self.capacity if self.capacity > 0 else 100.0


@dataclass(frozen=True, slots=True)
class _Case:
    stream: Stream
    places: Mapping[str, _Place]
    here: _Place | None
    move: Move | None
    unplaced: Unplaced | None
    streams: Mapping[str, Stream]
    plan: Plan
    policy: Policy

    def candidates(self) -> dict[str, Candidate]:
        return {name: place.worker for name, place in self.places.items()}

    def pressure(self, load: float, place: _Place) -> float:
        """The load as the strategy compares it."""
        if self.policy.strategy is not Strategy.Performance:
            return load
        return 100 * load / min(MAX_SCORE, max(MIN_SCORE, place.worker.score_percent))

    def at_score(self, place: _Place) -> str:
        score = place.worker.score_percent
        return f" at a score of {score}" if self.policy.strategy is Strategy.Performance else ""


def _case(
    stream: Stream,
    streams: Mapping[str, Stream],
    candidates: Mapping[str, Candidate],
    current: Mapping[str, str],
    plan: Plan,
    policy: Policy,
) -> _Case:
    weights: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for stream_id, name in plan.target.items():
        each = streams[stream_id]
        weights[name] = weights.get(name, 0) + max(1, each.weight)
        sizes[name] = sizes.get(name, 0) + each.size
    places = {n: _Place(candidates[n], weights.get(n, 0), sizes.get(n, 0)) for n in sorted(candidates)}
    target = plan.target.get(stream.id)
    source = current.get(stream.id)
    move = None
    if target is not None and target != source:
        move = next((each for each in plan.moves if each.stream == stream.id), None)
    unplaced = next((each for each in plan.unplaced if each.stream == stream.id), None) if target is None else None
    return _Case(stream, places, places[target] if target else None, move, unplaced, streams, plan, policy)


def _emptiest_first(place: _Place) -> tuple[float, str]:
    return (place.load, place.name)


# --- why here ---------------------------------------------------------------------------------------------


def _why(case: _Case) -> str:
    if case.here is None:
        return _why_nowhere(case)
    pinned = case.policy.pins.get(case.stream.id) == case.here.name
    if case.move is None:
        return f"kept: it was here and {'the policy pins it here' if pinned else 'nothing asked for a move'}"
    cause = because(case.move, case.streams, case.candidates(), case.policy, case.plan)
    return f"{cause}; here: {'the policy pins it here' if pinned else _choice(case, case.here)}"


def _choice(case: _Case, here: _Place) -> str:
    """What speaks for this worker."""
    able = [place for place in case.places.values() if not _unable(case, place)]
    roomy = [place for place in able if place is here or not _no_room(case, place)]
    wanted = case.stream.capabilities - _COMMON
    which = f" with {', '.join(sorted(wanted))}" if wanted else ""
    home = ""
    if case.policy.strategy is Strategy.Location and case.stream.location:
        if here.worker.location == case.stream.location:
            roomy = [place for place in roomy if place.worker.location == case.stream.location]
            which += f" in {case.stream.location}, its own location"
        else:
            own = case.stream.location
            there = any(place.worker.location == own for place in able)
            home = f"{own}, its own location, has no room; " if there else f"no such worker is in {own}; "
    if len(able) == 1:
        return f"{home}the only worker{which}"
    if len(roomy) == 1:
        return f"{home}the only worker{which} that has room"
    before = replace(here, weight=here.weight - max(1, case.stream.weight))
    mine = case.pressure(before.load, here)
    lowest = all(mine <= case.pressure(place.load, place) + 1e-9 for place in roomy)
    if lowest:
        return f"{home}the lowest load of {len(roomy)} workers{which}"
    return f"{home}one of {len(roomy)} workers{which} with room; at {_percent(here.load)} it has its fair share"


def _why_nowhere(case: _Case) -> str:
    stream, reason = case.stream, case.unplaced.reason if case.unplaced else None
    wanted = sorted(stream.capabilities - _COMMON)
    able = sum(not _unable(case, place) for place in case.places.values())
    what = f" with {', '.join(wanted)}" if wanted else ""
    if reason is UnplacedReason.NoCapableWorker:
        return f"on no worker: none has {' and '.join(wanted) or 'what it requires'}"
    if reason is UnplacedReason.NoEligibleWorker:
        return f"on no worker: none{what} may be given anything now"
    if reason is UnplacedReason.Excluded:
        pin = case.policy.pins.get(stream.id)
        if stream.id not in case.policy.excluded_streams and pin is not None:
            there = case.places.get(pin)
            return (
                f"on no worker: the policy pins it to {pin}, where it cannot be ({_why_not(case, there)})"
                if there
                else f"on no worker: the policy pins it to {pin}, which is not there"
            )
        return "on no worker: the policy excludes it from all that could take it"
    if reason is UnplacedReason.NoCapacity:
        weighs = f" for its weight of {stream.weight}" if stream.weight > 1 else ""
        number = "the only worker" if able == 1 else f"each of the {able} workers"
        return (
            f"on no worker: {number}{what} is full{weighs}" if not weighs else f"on no worker: none has room{weighs}"
        )
    return "on no worker"


# --- why not there ----------------------------------------------------------------------------------------


def _why_not(case: _Case, place: _Place) -> str:
    for rule in _RULES:
        if answer := rule(case, place):
            return answer
    return _fuller(case, place)


def _unable(case: _Case, place: _Place) -> str:
    """What no amount of room would change."""
    stream, worker, policy = case.stream, place.worker, case.policy
    if policy.pins.get(stream.id, worker.name) != worker.name:
        return f"the policy pins it to {policy.pins[stream.id]}"
    if stream.id in policy.excluded_streams or (stream.id, worker.name) in policy.excluded_pairs:
        return "excluded by the policy"
    if lacking := stream.capabilities - worker.capabilities:
        return f"lacks {', '.join(sorted(lacking))}"
    if not worker.keeps:
        return "draining"
    if not worker.eligible:
        return "may be given nothing now"
    if worker.name in policy.excluded_workers:
        return "the policy gives it nothing new"
    return ""


def _came_from(case: _Case, place: _Place) -> str:
    if case.move is None or case.move.source != place.name:
        return ""
    return f"it was here; {because(case.move, case.streams, case.candidates(), case.policy, case.plan)}"


def _no_room(case: _Case, place: _Place) -> str:
    weight = max(1, case.stream.weight)
    if place.weight + weight > place.capacity:
        taken = f"no room: {place.weight} of {place.capacity} taken"
        return taken if weight == 1 else f"{taken}, and it weighs {weight}"
    if place.size + case.stream.size > place.worker.max_bytes - place.worker.reserved_bytes:
        return "no room: its assignment would be too large to store"
    return ""


def _above_target(case: _Case, place: _Place) -> str:
    target = case.policy.target_load_percent
    if target >= 100 or place.load_with(case.stream) <= target + 1e-9 or not case.here or case.here.load > target:
        return ""
    if place.load >= target:
        return f"load {_percent(place.load)} is at or above the target of {target} %"
    return f"load {_percent(place.load_with(case.stream))} with it would be above the target of {target} %"


def _abroad(case: _Case, place: _Place) -> str:
    own = case.stream.location
    if case.policy.strategy is not Strategy.Location or not own or not case.here:
        return ""
    if case.here.worker.location != own or place.worker.location == own:
        return ""
    return f"another location ({place.worker.location or 'none'}) while {own} has room"


_RULES: tuple[Callable[[_Case, _Place], str], ...] = (_unable, _came_from, _no_room, _above_target, _abroad)


def _fuller(case: _Case, place: _Place) -> str:
    """It could be there as well: what speaks against it is the load, or that nothing moves without need."""
    here, policy = case.here, case.policy
    if here is None:
        return "has room, but not without moving others"
    score = case.at_score(place)
    there, at_home = f"{_percent(place.load)}{score}", f"{_percent(here.load)}{case.at_score(here)}"
    own = case.stream.location
    home = policy.strategy is Strategy.Location and own and place.worker.location == own != here.worker.location
    with_it = case.pressure(place.load_with(case.stream), place)
    if with_it >= case.pressure(here.load, here) - 1e-9 and not home:
        if case.pressure(place.load, place) >= case.pressure(here.load, here) - 1e-9:
            equal = f"{there}" == f"{at_home}"
            return f"no emptier: load {there}" if equal else f"fuller: load {there} against {at_home}"
        return f"would be fuller: load {_percent(place.load_with(case.stream))}{score} with it, against {at_home}"
    emptier = f"its own location ({own})" if home else f"emptier (load {there} against {at_home})"
    if case.move is not None:
        return f"{emptier}, but the loads are within tolerance" if case.plan.balanced else f"{emptier}, for now"
    if not policy.may_balance:
        return f"{emptier}, but nothing moves for balance now"
    if case.plan.balanced:
        return (
            f"{emptier}, but within the tolerance of {policy.imbalance_threshold_percent} points and "
            f"{policy.max_stream_difference} streams"
        )
    return f"{emptier}, but this round moves others first"


def _percent(value: float) -> str:
    return f"{value:.0f} %"


def _grouped(pairs: Iterable[tuple[str, str]], at_most: int) -> tuple[Alternative, ...]:
    groups: dict[str, list[str]] = {}
    for name, reason in pairs:
        groups.setdefault(reason, []).append(name)
    shown = list(groups.items())[:at_most]
    return tuple(Alternative(_listed(names), reason) for reason, names in shown)


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: _NAMES - 1])} and {len(names) - _NAMES + 1} others"
