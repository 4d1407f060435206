"""A worker was given a stream and gave another, of the same weight: its giver can send one where the other went.

Loads are the same with a move less, or two less where the other went to that giver. Such detours come about because
giving and taking go step by step, and what one step brought, the next may take on.
"""

from __future__ import annotations

import numpy as np

from fingerv7.core.planner.arrays import Codes, Ints, counts
from fingerv7.core.planner.fleet import Fleet

_TRIES = 256
"""So many pairs of streams are looked at."""


def shorten(fleet: Fleet, began: Codes) -> None:
    """Save what can be saved of the moves since streams had these owners (S,), where all weigh the same."""
    workers, tries = len(fleet.problem.names), _TRIES
    moved = np.flatnonzero((fleet.owner != began) & (fleet.owner >= 0) & (began >= 0))
    through = (counts(began[moved], workers) > 0) & (counts(fleet.owner[moved], workers) > 0)
    for worker in np.flatnonzero(through).tolist():
        is_here, was_here = fleet.owner[moved] == worker, began[moved] == worker
        taken = moved[is_here & ~was_here].tolist()
        for gone in moved[was_here & ~is_here].tolist():
            some = taken[:tries]
            tries -= len(some)
            came = next((stream for stream in some if _goes_directly(fleet, began, stream, gone)), None)
            if came is not None:
                taken.remove(came)


def _goes_directly(fleet: Fleet, began: Codes, came: int, gone: int) -> bool:
    """Let `came`, or another of the worker that it left, go where `gone` is, and these return; whether one does."""
    p = fleet.problem
    back, there = np.array([came, gone]), int(fleet.owner[gone])
    homes = began[back].astype(np.int64)
    if not fleet.may_take[p.block[back], p.kind[homes]].all():
        return False
    some: Ints = np.append(came, np.flatnonzero((fleet.owner == homes[0]) & (began == homes[0])))
    some = some[fleet.may_take[p.block[some], p.kind[there]]][:1]
    if not len(some):
        return False
    with fleet.attempt() as attempt:
        fleet.take(back)
        fleet.put(back, homes)
        if there != homes[0]:
            fleet.take(some)
            fleet.put(some, np.array([there]))
        return attempt.keep()
