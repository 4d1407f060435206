"""How few moves could do, counted without looking at what the planner did.

Only moves of streams that had a live owner who could have kept them count: everything else has to move anyway.
"""

from __future__ import annotations

import numpy as np

from fingerv7.core.planner.arrays import Codes, Ints, counts
from fingerv7.core.planner.fairness import Fair
from fingerv7.core.planner.problem import Problem


def fewest_to_balance(problem: Problem, owner: Codes, used: Ints, reached: Ints, fair: Fair) -> int:
    """Moves without which no plan can make the loads as even as `reached`, or as the fair parts where it is better.

    `owner` (S,) and `used` (W,) weight are the state before balancing. Every worker above its bound has to give so
    many streams, counted by its heaviest; and the workers below theirs have to be given so many, counted by the
    heaviest that others could give without falling below theirs. The larger number counts.
    """
    is_open = problem.is_open
    most = np.where(is_open, np.maximum(fair.most, np.minimum(reached, used)), used)
    least = np.where(is_open, np.minimum(fair.least, np.maximum(reached, used)), used)
    most, least = np.maximum(most, reached), np.minimum(least, reached)
    over, short = np.maximum(used - most, 0), int(np.maximum(least - used, 0).sum())
    may_give = np.maximum(used - least, 0)
    gives = 0
    supply = np.zeros(int(problem.weights[0]) + 1, np.int64)
    """How many moves of which weight the workers could make."""
    placed = np.flatnonzero(owner >= 0)
    ranks = problem.stream_class[placed] // problem.blocks
    for rank, weight in enumerate(problem.weights.tolist()):
        held = counts(owner[placed[ranks == rank]], len(used))
        held = np.where(weight <= used - least, held, 0)
        gives += int(np.minimum(held, -(-over // weight)).sum())
        over = np.maximum(over - held * weight, 0)
        whole = np.minimum(held, may_give // weight)
        supply[weight] += int(whole.sum())
        may_give = may_give - whole * weight
        part = np.where(held > whole, may_give, 0)
        supply += counts(part[part > 0], len(supply))
        may_give = np.where(held > whole, 0, may_give)
    return max(gives, _fewest(supply, short))


def _fewest(supply: Ints, wanted: int) -> int:
    """So many of the heaviest sum up to what is wanted, or to all there is."""
    moves = 0
    for weight in range(len(supply) - 1, 0, -1):
        if wanted <= 0:
            break
        step = min(int(supply[weight]), -(-wanted // weight))
        moves += step
        wanted -= step * weight
    return moves
