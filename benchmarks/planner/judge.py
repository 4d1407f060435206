"""What a plan is worth, counted alike for every planner from the world and the owners that it wants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

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


def _check(world: World, placed: Mapping[str, str]) -> None:
    used: Counter[str] = Counter()
    for stream_id, name in placed.items():
        stream, worker = world.streams[stream_id], world.candidates[name]
        assert stream.capabilities <= worker.capabilities, f"{stream_id} is on {name}, which cannot take it"
        used[name] += stream.weight
    for name, weight in used.items():
        room = world.candidates[name].max_streams
        assert weight <= room, f"{name} has {weight} of {room}"


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
