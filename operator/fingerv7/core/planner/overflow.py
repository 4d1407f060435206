"""Which streams leave a worker that holds more than it can.

A capacity that was lowered, a weight that was raised or longer URLs make a worker over-full. As few streams as
possible leave it, and of those that would do, the ones that are easiest to place elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

from fingerv7.core.planner.fleet import Fleet


def shed(fleet: Fleet) -> tuple[list[str], int]:
    """Take the overflow off every over-full worker. Answer the ids, sorted, and how few would have sufficed at least
    (less than their number only where weight and bytes overflow together).
    """
    full = {
        i
        for i in range(len(fleet.names))
        if fleet.used[i] > fleet.capacity[i] or fleet.bytes_used[i] > fleet.byte_capacity[i]
    }
    if not full:
        return [], 0
    gone: list[str] = []
    least = 0

    def size(stream_id: str) -> int:
        return fleet.streams[stream_id].size

    is_open = set(fleet.open)
    for i, ids in sorted(fleet.held_by(full).items()):
        if i not in is_open:
            fleet.let_return(i, ids)
        over = fleet.used[i] - fleet.capacity[i]
        bytes_over = fleet.bytes_used[i] - fleet.byte_capacity[i]
        ids.sort(key=lambda stream_id: _reluctance(fleet, i, stream_id))
        least += max(len(_fewest(ids, over, fleet.weight)), len(_fewest(ids, bytes_over, size)))
        leaving = _fewest(ids, over, fleet.weight)
        bytes_over -= sum(size(stream_id) for stream_id in leaving)
        if bytes_over > 0:
            gone_already = set(leaving)
            leaving += _fewest([stream_id for stream_id in ids if stream_id not in gone_already], bytes_over, size)
        for stream_id in leaving:
            fleet.take(stream_id)
            if i not in is_open:
                # It looks for an open worker now, like everything else that counts as demand.
                fleet.demand[fleet.class_of(stream_id)] += fleet.weight(stream_id)
        gone += leaving
    return sorted(gone), least


def _reluctance(fleet: Fleet, worker: int, stream_id: str) -> tuple[bool, int, str]:
    """Strangers to the location go first, then those that many workers can take."""
    stream = fleet.streams[stream_id]
    at_home = bool(stream.location) and stream.location == fleet.workers[worker].location
    return at_home, -fleet.classes[fleet.class_of(stream_id)].reach, stream_id


def _fewest(ids: list[str], over: int, amount: Callable[[str], int]) -> list[str]:
    """As few ids as sum up to at least `over`; the last of them no larger than it must be."""
    chosen: list[str] = []
    if over <= 0:
        return chosen
    ids = sorted(ids, key=amount, reverse=True)
    for n, stream_id in enumerate(ids):
        if amount(stream_id) >= over:
            smallest = min(amount(other) for other in ids[n:] if amount(other) >= over)
            return [*chosen, next(other for other in ids[n:] if amount(other) == smallest)]
        chosen.append(stream_id)
        over -= amount(stream_id)
    return chosen
