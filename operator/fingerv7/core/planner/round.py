"""The order of a round: keep, shed, place, balance, place again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fingerv7.core.model import Stream
from fingerv7.core.planner.balance import balance, tolerable
from fingerv7.core.planner.bound import fewest_to_balance
from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.gathering import Gathering
from fingerv7.core.planner.model import Candidate, Move, Plan, Policy, Trigger, Unplaced
from fingerv7.core.planner.overflow import shed
from fingerv7.core.planner.placement import Placement
from fingerv7.core.planner.shares import fair_shares
from fingerv7.core.planner.squeeze import squeeze


def plan(
    streams: Mapping[str, Stream],
    candidates: Mapping[str, Candidate],
    current: Mapping[str, str],
    policy: Policy,
) -> Plan:
    """Who should run what.

    `current` maps a stream to the worker that has it, or is about to get it: hand-overs in flight count as done. Ids
    that are not in `streams` are ignored, owners that are not in `candidates` have lost what they had. A worker's
    load is weight / capacity, with capacity = `max_streams` - `reserved_weight`; mean load and imbalance are taken
    over the workers that may be given something, and over what these hold.
    """
    fleet = Fleet(streams, candidates)
    homeless = fleet.keep(current)
    triggers = {stream_id: _trigger(stream_id, candidates, current) for stream_id in homeless}
    before = _held_now(fleet, current, homeless)
    overflow, forced = shed(fleet)
    forced += sum(
        trigger is Trigger.WorkerIneligible and _is_kept(stream_id, candidates, current)
        for stream_id, trigger in triggers.items()
    )
    triggers.update(dict.fromkeys(overflow, Trigger.OverCapacity))
    kept = fleet.used.copy()

    waiting = _in_order([*homeless, *overflow], current)
    left = _place(fleet, current, waiting, triggers)
    placed = len(waiting) - len(left)
    balancing = balance(fleet, current, policy, _placed_demand(fleet, left))
    if balancing:
        forced += fewest_to_balance(fleet, balancing.shares, kept, placed, policy)
        _label(fleet, current, balancing.moved, triggers)
        left = _place(fleet, current, left, triggers)
    forced -= sum(_is_kept(stream_id, candidates, current) for stream_id in left)

    names, owner = fleet.names, fleet.owner
    target = {stream_id: names[i] for stream_id, i in owner.items()}
    moves = [
        Move(stream_id, current.get(stream_id), target[stream_id], triggers[stream_id])
        for stream_id in sorted(triggers)
        if stream_id in target and current.get(stream_id) != target[stream_id]
    ]
    return Plan(
        target=target,
        moves=tuple(moves),
        unplaced=tuple(Unplaced(stream_id, fleet.why_not(stream_id)) for stream_id in sorted(left)),
        imbalance_before_percent=100 * fleet.spread(before)[0],
        imbalance_after_percent=100 * fleet.spread(fleet.used)[0],
        balanced=tolerable(fleet, policy, _placed_demand(fleet, left)),
        lower_bound=max(0, forced),
    )


def _trigger(stream_id: str, candidates: Mapping[str, Candidate], current: Mapping[str, str]) -> Trigger:
    """Why a stream without a place has none."""
    if stream_id not in current:
        return Trigger.NewStream
    return Trigger.WorkerIneligible if current[stream_id] in candidates else Trigger.WorkerLost


def _is_kept(stream_id: str, candidates: Mapping[str, Candidate], current: Mapping[str, str]) -> bool:
    """Whether the stream has an owner that may keep what it has."""
    owner = candidates.get(current.get(stream_id, ""))
    return owner is not None and owner.keeps


def _in_order(ids: Iterable[str], current: Mapping[str, str]) -> list[str]:
    """Who had a worker comes before who is new."""
    ids = sorted(ids)
    return [s for s in ids if s in current] + [s for s in ids if s not in current]


def _held_now(fleet: Fleet, current: Mapping[str, str], homeless: Sequence[str]) -> list[int]:
    """Weight by worker before anything moves; to be asked after `keep`."""
    held = fleet.used.copy()
    for stream_id in homeless:
        if (worker := fleet.index.get(current.get(stream_id, ""))) is not None:
            held[worker] += fleet.weight(stream_id)
    return held


def _placed_demand(fleet: Fleet, left: Sequence[str]) -> list[int]:
    """Weight by class on open workers."""
    demand = fleet.demand.copy()
    for stream_id in left:
        demand[fleet.class_of(stream_id)] -= fleet.weight(stream_id)
    return demand


def _place(
    fleet: Fleet, current: Mapping[str, str], waiting: Sequence[str], triggers: dict[str, Trigger]
) -> list[str]:
    """Place what can be placed; answer the others.

    Exact bytes are known only afterwards and may show room for another try; a try that places nothing changes
    nothing, so that the next round finds nothing to do either.
    """
    while waiting:
        shares = fair_shares(fleet, fleet.demand)
        placement = Placement(fleet, shares, current, waiting)
        left = squeeze(fleet, shares, placement.within_capacity())
        made_room = placement.made_room
        if left and len(fleet.classes) > 1:
            gathering = Gathering(fleet, shares)
            left = gathering.place(left)
            made_room |= gathering.made_room
        for stream_id, cause in made_room.items():
            triggers.setdefault(stream_id, triggers[cause])
        if len(left) == len(waiting):
            return left
        waiting = _in_order(left, current)
    return []


def _label(fleet: Fleet, current: Mapping[str, str], moved: Iterable[str], triggers: dict[str, Trigger]) -> None:
    """Note the reason of balancing moves; streams that were placed just now keep theirs."""
    busy = {owner for stream_id, owner in current.items() if stream_id in fleet.streams}
    for stream_id in moved:
        name = fleet.names[fleet.owner[stream_id]]
        triggers.setdefault(stream_id, Trigger.Imbalance if name in busy or not busy else Trigger.NewWorker)
