"""How few moves could do, counted without looking at what the planner did.

Only moves of streams that had a live owner who could have kept them count: everything else has to move anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

from fingerv7.core.planner.fleet import Fleet
from fingerv7.core.planner.model import Policy
from fingerv7.core.planner.shares import Shares


def fewest_to_balance(fleet: Fleet, shares: Shares, kept: Sequence[int], placed: int, policy: Policy) -> int:
    """Moves that bring every worker to its fair part, rounded either way, or use up the budget.

    `kept` is the weight by worker once repairs have taken off what must go, `placed` the number of streams that look
    for a place anyway and can fill gaps. With weights, a worker counts as fair within one of the heaviest streams.
    """
    heaviest = max((c.weight for c in fleet.classes), default=1)
    slack = heaviest - fleet.unit
    above = sum(-(-max(0, kept[i] - shares.ceilings[i] - slack) // heaviest) for i in fleet.open)
    below = sum(-(-max(0, shares.floors[i] - kept[i] - slack) // heaviest) for i in fleet.open)
    return min(max(above, below - placed), budget(fleet, policy))


def budget(fleet: Fleet, policy: Policy) -> int:
    """How many balancing moves a round may make."""
    return max(1, len(fleet.streams) * policy.max_moves_per_round_percent // 100)
