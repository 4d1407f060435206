"""What a plan is worth, counted alike for every planner from the world and the owners that it wants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

from benchmarks.planner.worlds import World


@dataclass(frozen=True, kw_only=True)
class Verdict:
    moves: int
    """Streams that had an owner, living or gone, and get another one. Streams that had none are no moves."""
    forced: int
    """Of these, the streams of owners that are gone."""
    placed: int
    """Streams that had no owner and get one."""
    unplaced: int
    spread: float
    """Most minus fewest streams of a worker; in the variant `full` in percent points of its capacity, by weight."""


def judge(world: World, target: Mapping[str, str], *, by_weight: bool) -> Verdict:
    """`target`: stream → worker. Raises AssertionError where no planner may go."""
    placed = {stream: worker for stream, worker in target.items() if stream in world.streams}
    _check(world, placed)
    owned = {stream: world.current[stream] for stream in placed if stream in world.current}
    moved = [stream for stream, worker in owned.items() if placed[stream] != worker]
    return Verdict(
        moves=len(moved),
        forced=sum(owned[stream] not in world.candidates for stream in moved),
        placed=len(placed) - len(owned),
        unplaced=len(world.streams) - len(placed),
        spread=_spread(world, placed, by_weight=by_weight),
    )


def fewest_to_even(world: World) -> int:
    """Fewest moves of streams with a living owner that bring equal workers within one stream of each other.

    Capabilities are left aside, so that it is a bound for `classes` too: it counts what is above a worker's even
    share, and those who have more keep what is left over from dividing.
    """
    held = Counter(owner for stream, owner in world.current.items() if stream in world.streams)
    share, over = divmod(len(world.streams), len(world.candidates))
    above = [held[name] - share for name in world.candidates if held[name] > share]
    return sum(above) - min(over, len(above))


def most_placeable(world: World) -> float:
    """A bound on how many streams can have a place at once, by linear programming: streams may be cut into pieces,
    and workers with the same capabilities are one. Bytes are left aside.
    """
    asked = Counter((stream.capabilities, max(1, stream.weight)) for stream in world.streams.values())
    rooms: Counter[frozenset[str]] = Counter()
    for worker in world.candidates.values():
        rooms[worker.capabilities] += worker.max_streams - worker.reserved_weight
    pairs = [(a, r) for a, (needs, _) in enumerate(asked) for r, offered in enumerate(rooms) if needs <= offered]
    if not pairs:
        return 0.0
    weights = [weight for _, weight in asked]
    rows = [[r for _, r in pairs], [len(rooms) + a for a, _ in pairs]]
    values = [[weights[a] for a, _ in pairs], [1] * len(pairs)]
    columns = np.tile(np.arange(len(pairs)), 2)
    matrix = csr_array((np.ravel(values), (np.ravel(rows), columns)), shape=(len(rooms) + len(asked), len(pairs)))
    found = linprog(-np.ones(len(pairs)), A_ub=matrix, b_ub=[*rooms.values(), *asked.values()])
    assert found.success, found.message
    return -float(found.fun)


def _check(world: World, placed: Mapping[str, str]) -> None:
    used: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for stream_id, name in placed.items():
        stream, worker = world.streams[stream_id], world.candidates[name]
        assert stream.capabilities <= worker.capabilities, f"{stream_id} is on {name}, which cannot take it"
        used[name] += max(1, stream.weight)
        sizes[name] += stream.size
    for name, weight in used.items():
        worker = world.candidates[name]
        room, bytes_room = worker.max_streams - worker.reserved_weight, worker.max_bytes - worker.reserved_bytes
        assert weight <= room, f"{name} has {weight} of {room}"
        assert sizes[name] <= bytes_room, f"{name} has {sizes[name]} of {bytes_room} bytes"


def _spread(world: World, placed: Mapping[str, str], *, by_weight: bool) -> float:
    if not by_weight:
        counts = Counter(placed.values())
        numbers = [counts[name] for name in world.candidates]
        return max(numbers) - min(numbers)
    used: Counter[str] = Counter()
    for stream_id, name in placed.items():
        used[name] += world.streams[stream_id].weight
    loads = [100 * used[name] / worker.max_streams for name, worker in world.candidates.items()]
    return round(max(loads) - min(loads), 2)
