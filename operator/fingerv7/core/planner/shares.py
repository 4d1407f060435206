"""How much of the work is each worker's fair part.

Where every worker can take every stream, fair means the same load everywhere: `weight / capacity`. Where capabilities
tie some streams to some workers, these may have to run at a higher load than the rest; fair then means that the
highest load is as low as it can be, then the second highest, and so on. These loads are unique, and a divide and
conquer over minimum cuts finds them (S. Fujishige, "Lexicographically optimal base of a polymatroid with respect to
a weight vector", 1980): share everything evenly if a flow allows it, else the cut separates the classes that are too
much for the workers they can go to, and each side is solved for itself.

Whole streams are then handed out by largest remainder, so that everybody is within one of its fair part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fingerv7.core.planner.fleet import Fleet

_MAX_EDGES = 20_000
"""Above this the flows would take seconds; ties between classes and workers are then left out of the fair part."""


@dataclass(frozen=True, slots=True)
class Shares:
    """By worker; 0 for those that are not open."""

    loads: list[float]
    """Fair weight / capacity, at most 1."""
    floors: list[int]
    """Fair weight, rounded down."""
    quotas: list[int]
    """Fair weight in whole streams: its floor, or one more."""
    ceilings: list[int]


def fair_shares(fleet: Fleet, demand: Sequence[int], *, spare: bool = True) -> Shares:
    """Share `demand` (weight by class) among the open workers.

    Rounded parts differ by one stream at most, and `spare` lets who has that stream already keep it, so that it need
    not move; otherwise it goes strictly by largest remainder, and nothing but the quota counts as fair.
    """
    by_kinds: dict[frozenset[int], int] = {}
    for c, weight in enumerate(demand):
        kinds = frozenset(k for k in fleet.classes[c].kinds if k < fleet.open_kinds)
        if kinds and weight:
            by_kinds[kinds] = by_kinds.get(kinds, 0) + weight
    capacity = [sum(fleet.capacity[i] for i in members) for members in fleet.members[: fleet.open_kinds]]
    n = len(fleet.names)
    shares = Shares([0.0] * n, [0] * n, [0] * n, [0] * n)
    for kinds, weight in levels(by_kinds, capacity):
        _round(fleet, shares, [i for k in sorted(kinds) for i in fleet.members[k]], weight, spare)
    if not spare:
        return Shares(shares.loads, shares.quotas, shares.quotas, shares.quotas)
    return shares


def _round(fleet: Fleet, shares: Shares, workers: list[int], weight: int, spare: bool) -> None:
    """Largest remainder over workers that share `weight` at one load, in multiples of what all weights share."""
    total = sum(fleet.capacity[i] for i in workers)
    weight = min(weight, total)
    unit, capacity = fleet.unit, fleet.capacity
    left = weight // unit
    remainders = {}
    for i in workers:
        floor, remainder = divmod(weight * capacity[i], total * unit)
        shares.loads[i] = weight / total
        shares.floors[i] = shares.quotas[i] = shares.ceilings[i] = floor * unit
        left -= floor
        if remainder and (floor + 1) * unit <= capacity[i]:
            remainders[i] = remainder
            shares.ceilings[i] += unit
    if left > 0:
        used, floors = fleet.used, shares.floors
        ranking = sorted(remainders, key=lambda i: (spare and used[i] <= floors[i], -remainders[i], i))
        for i in ranking[:left]:
            shares.quotas[i] += unit


def levels(demand: Mapping[frozenset[int], int], capacity: Sequence[int]) -> list[tuple[frozenset[int], int]]:
    """Split kinds 0..n-1 (each with a capacity > 0) into groups that share a weight evenly: (kinds, weight).

    `demand` maps the set of kinds that can take some streams to their weight > 0.
    """
    solved: list[tuple[frozenset[int], int]] = []
    work = [(dict(demand), frozenset(range(len(capacity))))]
    while work:
        classes, kinds = work.pop()
        if not kinds:
            continue
        weight = sum(classes.values())
        tight, crowded = _crowded(classes, kinds, capacity, weight)
        if not tight:
            solved.append((kinds, weight))
            continue
        work.append(({c: classes[c] for c in tight}, crowded))
        rest: dict[frozenset[int], int] = {}
        for c, amount in classes.items():
            if c not in tight:
                rest[c - crowded] = rest.get(c - crowded, 0) + amount
        work.append((rest, kinds - crowded))
    return solved


def _crowded(
    classes: Mapping[frozenset[int], int], kinds: frozenset[int], capacity: Sequence[int], weight: int
) -> tuple[set[frozenset[int]], frozenset[int]]:
    """The classes that do not fit when every kind takes `weight` in proportion to its capacity, and the kinds that
    they can go to; nothing where all fit. All amounts are multiplied by the total capacity, to stay whole.
    """
    total = sum(capacity[k] for k in kinds)
    order = sorted(classes, key=lambda c: (len(c), sorted(c)))
    if all(c == kinds for c in order) or sum(map(len, order)) > _MAX_EDGES:
        return set(), frozenset()
    room = {k: capacity[k] * weight for k in kinds}
    left = {}
    flow: dict[int, dict[frozenset[int], int]] = {k: {} for k in kinds}
    for c in order:
        left[c] = classes[c] * total
        for k in sorted(c):
            if pushed := min(left[c], room[k]):
                left[c] -= pushed
                room[k] -= pushed
                flow[k][c] = pushed
    while True:
        came_from: dict[frozenset[int], tuple[frozenset[int], int] | None] = {c: None for c in order if left[c]}
        via: dict[int, frozenset[int]] = {}
        end = _search(came_from, via, flow, room)
        if end is None:
            return set(came_from), frozenset(via)
        _push(end, came_from, via, flow, room, left)


def _search(
    came_from: dict[frozenset[int], tuple[frozenset[int], int] | None],
    via: dict[int, frozenset[int]],
    flow: Mapping[int, Mapping[frozenset[int], int]],
    room: Mapping[int, int],
) -> int | None:
    """Breadth first from the classes in `came_from` to a kind with room. Fills in what was reached, and how."""
    queue = list(came_from)
    for c in queue:
        for k in sorted(c):
            if k in via:
                continue
            via[k] = c
            if room[k]:
                return k
            for other in flow[k]:
                if other not in came_from:
                    came_from[other] = c, k
                    queue.append(other)
    return None


def _push(
    end: int,
    came_from: Mapping[frozenset[int], tuple[frozenset[int], int] | None],
    via: Mapping[int, frozenset[int]],
    flow: dict[int, dict[frozenset[int], int]],
    room: dict[int, int],
    left: dict[frozenset[int], int],
) -> None:
    """Send as much as the path to `end` can carry."""
    path: list[tuple[frozenset[int], int, frozenset[int]]] = []
    c = via[end]
    while (step := came_from[c]) is not None:
        path.append((step[0], step[1], c))
        c = step[0]
    amount = min([left[c], room[end], *(flow[k][gives] for _, k, gives in path)])
    left[c] -= amount
    room[end] -= amount
    _add(flow[end], via[end], amount)
    for takes, k, gives in path:
        _add(flow[k], takes, amount)
        _add(flow[k], gives, -amount)


def _add(flows: dict[frozenset[int], int], c: frozenset[int], amount: int) -> None:
    flows[c] = flows.get(c, 0) + amount
    if not flows[c]:
        del flows[c]
