"""Which streams may live on which workers: between *blocks*, streams that the same workers can take, and *kinds*,
workers that can take the same streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fingerv7.core.planner.arrays import Bools, Codes, Ints, code_type
from fingerv7.core.planner.model import UnplacedReason
from fingerv7.core.planner.table import Trait
from fingerv7.core.planner.workers import WorkerTable


class Block(NamedTuple):
    trait: int
    pinned_to: str = ""
    kept_from: frozenset[str] = frozenset()
    excluded: bool = False
    returns_to: int = -1
    """A worker that is given nothing new but may have these streams back."""


class Kinds:
    """The kinds of a fleet, in the order in which their first workers come."""

    def __init__(
        self, workers: WorkerTable, is_open: Bools, keeps: Bools, eligible: Bools, single: Sequence[int]
    ) -> None:
        """By worker: `eligible` is who is open, or lacks nothing but capacity for it. `single`: the places of those
        that the policy speaks of, each a kind of its own.
        """
        values = workers.capability_codes * len(workers.locations) + workers.location_codes
        for flag in (is_open, keeps, eligible):
            values = values * 2 + flag
        values[single] = -1 - np.arange(len(single))
        first, self.of_worker = by_appearance(values)
        self.is_open, self.keeps, self.eligible = is_open[first], keeps[first], eligible[first]
        self.capabilities, self.location = workers.capability_codes[first], workers.location_codes[first]
        self.worker: Ints = np.where(np.isin(first, single), first, -1)
        """(K,) of a kind that is a worker of its own; else -1."""


@dataclass(frozen=True, eq=False)
class Suitability:
    """Arrays are (B, K)."""

    may_take: Bools
    may_keep: Bools
    at_home: Bools
    why_not: Sequence[UnplacedReason]
    """(B,) what to say of streams that found no place."""

    def merged(self) -> tuple[Suitability, Codes]:
        """One block for all that this fleet can do the same with, and for each block which of these it is."""
        rows = [row.tobytes() for row in np.concatenate((self.may_take, self.may_keep, self.at_home), axis=1)]
        code: dict[tuple[bytes, UnplacedReason], int] = {}
        same = [code.setdefault(key, len(code)) for key in zip(rows, self.why_not, strict=True)]
        first: list[int] = np.unique(same, return_index=True)[1].tolist()
        why_not = [self.why_not[b] for b in first]
        merged = Suitability(self.may_take[first], self.may_keep[first], self.at_home[first], why_not)
        return merged, np.array(same, code_type(len(code)))


def suitability(
    traits: Sequence[Trait], blocks: Sequence[Block], workers: WorkerTable, kinds: Kinds, may_have: Bools
) -> Suitability:
    """`may_have`: (W,) workers that may be given something new, the policy's exclusions apart."""
    needs = {capabilities: n for n, capabilities in enumerate(dict.fromkeys(t.capabilities for t in traits))}
    suits = np.array([need <= offered for need in needs for offered in workers.capabilities], np.bool_)
    suits = suits.reshape(len(needs), len(workers.capabilities))
    trait = np.array([block.trait for block in blocks], np.int64)
    need = np.array([needs[t.capabilities] for t in traits], np.int64)[trait]
    home = np.array([workers.locations.get(t.location, -1) if t.location else -1 for t in traits], np.int64)[trait]

    able = suits[need][:, kinds.capabilities]
    allowed = able.copy()
    returns = np.zeros_like(able)
    for b, block in enumerate(blocks):
        if block.excluded:
            allowed[b] = False
        if block.pinned_to:
            allowed[b] &= np.isin(kinds.worker, places(workers, [block.pinned_to]))
        if block.kept_from:
            allowed[b] &= ~np.isin(kinds.worker, places(workers, block.kept_from))
        if block.returns_to >= 0:
            returns[b] = kinds.worker == block.returns_to
    may_keep = allowed & kinds.keeps

    offered = suits[:, np.unique(workers.capability_codes[may_have])][need]
    why_not = [
        UnplacedReason.NoCapacity
        if is_wanted
        else UnplacedReason.Excluded
        if is_kept_away or block.excluded
        else UnplacedReason.NoEligibleWorker
        if is_able or not len(workers)
        else UnplacedReason.NoCapableWorker
        for block, is_wanted, is_kept_away, is_able in zip(
            blocks, _any(allowed & kinds.eligible), _any(offered), _any(able), strict=True
        )
    ]
    return Suitability(
        may_take=(allowed & kinds.is_open) | (may_keep & returns),
        may_keep=may_keep,
        at_home=home[:, None] == kinds.location,
        why_not=why_not,
    )


def _any(rows: Bools) -> list[bool]:
    """Of each row, whether something in it is true."""
    found: list[bool] = np.logical_or.reduce(rows, axis=1).tolist()
    return found


def places(workers: WorkerTable, names: Iterable[str]) -> list[int]:
    """Where these workers stand; strangers left out."""
    return [workers.index[name] for name in names if name in workers.index]


def by_appearance(values: Ints) -> tuple[Ints, Codes]:
    """The first item of each value that occurs, in their order; and for each item which of them it is like."""
    _, first, like = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), code_type(len(order)))
    place[order] = np.arange(len(order))
    return first[order], place[like]
