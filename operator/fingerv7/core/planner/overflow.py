"""Which streams leave a worker that holds more than it can.

A capacity that was lowered, a weight that was raised or longer URLs make a worker over-full. As few streams as
possible leave it, and of those that would do, the ones that are easiest to place elsewhere.
"""

from __future__ import annotations

import numpy as np

from fingerv7.core.planner.arrays import Ints, none, sums
from fingerv7.core.planner.fleet import Fleet


def shed(fleet: Fleet) -> tuple[Ints, int]:
    """Take the overflow off every over-full worker. Answer the streams, and how few would have sufficed at least
    (less than their number only where weight and bytes overflow together).
    """
    p = fleet.problem
    over = fleet.used - p.capacity
    bytes_over = fleet.bytes_used - p.byte_capacity if p.bytes_bind else np.zeros_like(over)
    full = (over > 0) | (bytes_over > 0)
    if not full.any():
        return none(), 0
    reach = p.may_take @ sums(p.kind, p.is_open, p.kinds)
    elsewhere = p.may_take @ sums(p.kind, np.where(p.is_open & ~full, -over, 0), p.kinds)
    held = np.flatnonzero(np.take(np.concatenate((full, [False, False])), fleet.owner))
    held = held[np.argsort(fleet.owner[held], kind="stable")]
    gone: list[Ints] = []
    least = 0
    workers, starts = np.unique(fleet.owner[held], return_index=True)
    for i, those in zip(workers.tolist(), np.split(held, starts[1:]), strict=True):
        blocks = fleet.block_of(those)
        # Strangers to the location go first, then those that many workers can take.
        mine = those[np.lexsort((-reach[blocks], p.at_home[blocks, p.kind[i]]))]
        needed, size_needed = int(over[i]), int(bytes_over[i])
        least += max(len(_fewest(p.weight[mine], needed)), len(_fewest(p.sizes[mine], size_needed)))
        # Those for which there is no room elsewhere stay as long as the others suffice.
        others = mine[elsewhere[fleet.block_of(mine)] >= p.weight[mine]]
        if p.weight[others].sum() >= needed and p.sizes[others].sum() >= size_needed:
            mine = others
        by_weight = _fewest(p.weight[mine], needed)
        still_over = size_needed - int(p.sizes[mine[by_weight]].sum())
        gone.append(mine[by_weight])
        if still_over > 0:
            rest = np.delete(mine, by_weight)
            gone.append(rest[_fewest(p.sizes[rest], still_over)])
    leaving = np.sort(np.concatenate(gone))
    fleet.take(leaving)
    return leaving, least


def _fewest(amounts: Ints, over: int) -> list[int]:
    """As few of these as sum up to at least `over`; the last of them no larger than it must be."""
    chosen: list[int] = []
    if over <= 0:
        return chosen
    order = np.argsort(-amounts, kind="stable")
    for n, i in enumerate(order.tolist()):
        if amounts[i] >= over:
            enough = order[n:][amounts[order[n:]] >= over]
            smallest = amounts[enough].min()
            return [*chosen, int(enough[amounts[enough] == smallest][0])]
        chosen.append(i)
        over -= int(amounts[i])
    return chosen
