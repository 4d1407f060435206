"""The question of a round, in arrays: streams of few classes, workers of few kinds, and who has what.

Streams that the same workers can take form a *block*; with their weight they are a *class*. Workers that can take the
same blocks form a *kind*. Everything that is hard about planning is decided between blocks and kinds, of which there
are a few hundred, and only then do streams and workers come in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fingerv7.core.planner.arrays import Bools, Codes, Floats, Ints, code_type, sums
from fingerv7.core.planner.model import MAX_SCORE, MIN_SCORE, Candidate, Policy, Strategy, UnplacedReason
from fingerv7.core.planner.table import StreamTable

NOBODY = -1
"""Owner of a stream that nobody had."""
GONE = -2
"""Owner of a stream whose worker is no candidate any more."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Streams are in order of ids, workers in order of names; S, W, B, K and J are the numbers of streams, workers,
    blocks, kinds and weights.
    """

    table: StreamTable
    candidates: Mapping[str, Candidate]
    ids: Sequence[str]
    index: Mapping[str, int]
    """Id → its place in `ids`."""
    names: Sequence[str]
    policy: Policy
    owner: Codes
    """(S,) worker, `NOBODY` or `GONE`."""
    former: Mapping[str, str]
    """Stream → owner, of those whose worker is gone too."""
    stream_class: Codes
    """(S,) weight rank x B + block, so that heavy classes come first."""
    block: Codes
    """(S,)"""
    weight: Ints
    """(S,)"""
    sizes: Ints
    """(S,) bytes."""
    weights: Ints
    """(J,) descending."""
    bytes_bind: bool
    """Whether bytes can be what an assignment lacks; otherwise nobody counts them."""
    stays_home: Bools
    """(B,) whether the strategy wants them at their own location, and workers there may take them."""
    may_take: Bools
    """(B, K) whether such a worker may be given such a stream."""
    may_keep: Bools
    """(B, K) whether it may keep one."""
    at_home: Bools
    """(B, K) whether it is at the streams' own location."""
    abroad: Bools
    """(B, K) whether they are away from home there though they are wanted there."""
    why_not: Sequence[UnplacedReason]
    """(B,) what to say of streams that found no place."""
    kind: Codes
    """(W,)"""
    is_open: Bools
    """(W,) whether it may be given something new."""
    keeps: Bools
    """(W,)"""
    capacity: Ints
    """(W,) weight, at least 0."""
    byte_capacity: Ints
    strength: Floats
    """(W,) what even shares are proportional to: the capacity, times the score where the strategy asks for it."""
    site: Codes
    """(W,) workers of one site should be equally loaded: of one location where the strategy asks for it, else all."""
    capacity_changed: Bools

    @property
    def blocks(self) -> int:
        return len(self.may_take)

    @property
    def kinds(self) -> int:
        return int(self.may_take.shape[1])

    def after(self, owner: Codes) -> Problem:
        """The problem of the next round, if this one leaves streams with these owners (S,)."""
        current = {self.ids[i]: self.names[w] for i, w in enumerate(owner.tolist()) if w >= 0}
        return pose(self.table, self.candidates, current, self.policy)

    def by_site(self, amounts: Ints) -> Ints:
        """The sum of whole amounts (W,) at each site."""
        return sums(self.site, amounts, int(self.site.max(initial=-1)) + 1).astype(np.int64)


class _Block(NamedTuple):
    trait: int
    pinned_to: str = ""
    kept_from: frozenset[str] = frozenset()
    excluded: bool = False
    returns_to: int = -1
    """A worker that is given nothing new but may have these streams back."""


class _Kind(NamedTuple):
    capabilities: frozenset[str]
    location: str
    is_open: bool
    keeps: bool
    eligible: bool
    """Open, or lacking nothing but capacity for it."""
    worker: int
    """Of a kind that has one worker, since the policy speaks of it; else -1."""


def pose(
    table: StreamTable, candidates: Mapping[str, Candidate], current: Mapping[str, str], policy: Policy
) -> Problem:
    """The problem of sharing the table's streams among the candidates."""
    names = sorted(candidates)
    workers = [candidates[name] for name in names]
    index = {name: i for i, name in enumerate(names)}
    owner = _owners(table, index, current)
    capacity = np.array([max(0, w.max_streams - w.reserved_weight) for w in workers], np.int64)
    byte_capacity = np.array([max(0, w.max_bytes - w.reserved_bytes) for w in workers], np.int64)
    keeps = np.array([w.keeps for w in workers], bool)
    excluded = np.array([name in policy.excluded_workers for name in names], bool)
    eligible = np.array([w.eligible for w in workers], bool) & keeps & ~excluded
    is_open = eligible & (capacity > 0)
    strength = capacity.astype(np.float64)
    if policy.strategy is Strategy.Performance:
        strength *= np.clip([w.score_percent for w in workers], MIN_SCORE, MAX_SCORE) / 100

    bytes_bind = bool(np.any(capacity * table.largest > byte_capacity))
    shut = np.flatnonzero(keeps & ~is_open & (capacity > 0))
    returning = _overfull(table, owner, shut, capacity, byte_capacity) if len(shut) else []
    blocks, block_of = _blocks(table, policy, owner, returning)
    # A worker that something speaks of in particular is a kind of its own.
    named = {*policy.pins.values(), *(worker for _, worker in policy.excluded_pairs)}
    single = {index[name] for name in named if name in index} | set(returning)
    traits = [
        _Kind(w.capabilities, w.location, is_open_, keeps_, eligible_, i if i in single else -1)
        for i, (w, is_open_, keeps_, eligible_) in enumerate(
            zip(workers, is_open.tolist(), keeps.tolist(), eligible.tolist(), strict=True)
        )
    ]
    kinds = list(dict.fromkeys(traits))
    code = {kind: k for k, kind in enumerate(kinds)}
    # The capability sets of workers that may be given something new, the policy's exclusions apart.
    offered = frozenset(w.capabilities for w in workers if w.eligible and w.keeps)
    may_take, may_keep, at_home, why_not = _suitability(table, blocks, kinds, names, offered)
    first, same = _alike(may_take, may_keep, at_home, why_not)
    if len(first) < len(blocks):
        may_take, may_keep, at_home = may_take[first], may_keep[first], at_home[first]
        why_not, block_of = [why_not[b] for b in first], same[block_of]
    stays_home = np.zeros(len(first), bool)
    if policy.strategy is Strategy.Location:
        stays_home[:] = (may_take & at_home).any(axis=1)
    return Problem(
        table=table,
        candidates=candidates,
        ids=table.ids,
        index=table.index,
        names=names,
        policy=policy,
        owner=owner,
        former=current,
        stream_class=(table.rank * len(first) + block_of).astype(code_type(len(table.weights) * len(first))),
        block=block_of.astype(code_type(len(first))),
        weight=table.weights[table.rank],
        sizes=table.sizes,
        weights=table.weights,
        bytes_bind=bytes_bind,
        stays_home=stays_home,
        may_take=may_take,
        may_keep=may_keep,
        at_home=at_home,
        abroad=stays_home[:, None] & ~at_home & may_take.any(axis=0),
        why_not=why_not,
        kind=np.array([code[trait] for trait in traits], code_type(len(kinds))),
        is_open=is_open,
        keeps=keeps,
        capacity=capacity,
        byte_capacity=byte_capacity,
        strength=strength,
        site=_sites(workers, policy),
        capacity_changed=np.array([w.capacity_changed for w in workers], bool),
    )


def _sites(workers: Sequence[Candidate], policy: Policy) -> Codes:
    if policy.strategy is not Strategy.Location:
        return np.zeros(len(workers), np.int16)
    locations: dict[str, int] = {}
    codes = [locations.setdefault(w.location, len(locations)) for w in workers]
    return np.array(codes, code_type(len(locations)))


def _owners(table: StreamTable, index: dict[str, int], current: Mapping[str, str]) -> Codes:
    owners: Codes = np.full(len(table), NOBODY, code_type(len(index) + 1))
    if current:
        places: dict[str | None, int] = {None: NOBODY}
        places.update(index)
        owners[:] = [places.get(owner, GONE) for owner in map(current.get, table.ids)]
    return owners


def _overfull(table: StreamTable, owner: Codes, shut: Ints, capacity: Ints, byte_capacity: Ints) -> list[int]:
    """Workers that are given nothing new and hold more than they can: whichever of their streams finds a place
    elsewhere should leave, so that all of them have to be asked.
    """
    held = np.where(owner >= 0, owner, len(capacity))
    weight = sums(held, table.weights[table.rank], len(capacity) + 1)[shut]
    size = sums(held, table.sizes, len(capacity) + 1)[shut]
    found: list[int] = shut[(weight > capacity[shut]) | (size > byte_capacity[shut])].tolist()
    return found


def _blocks(table: StreamTable, policy: Policy, owner: Codes, returning: Sequence[int]) -> tuple[list[_Block], Codes]:
    """The blocks, and the block of each stream."""
    blocks = [_Block(n) for n in range(len(table.traits))]
    of_stream: Codes = table.trait
    kept_from: dict[str, set[str]] = {}
    for stream, worker in policy.excluded_pairs:
        kept_from.setdefault(stream, set()).add(worker)
    special: dict[int, _Block] = {}
    for name in sorted({*policy.pins, *kept_from, *policy.excluded_streams} & table.index.keys()):
        i = table.index[name]
        special[i] = _Block(
            int(table.trait[i]),
            policy.pins.get(name, ""),
            frozenset(kept_from.get(name, ())),
            name in policy.excluded_streams,
        )
    for shut in returning:
        for i in np.flatnonzero(owner == shut).tolist():
            special[i] = special.get(i, blocks[int(of_stream[i])])._replace(returns_to=shut)
    if special:
        of_stream = of_stream.copy()
        code: dict[_Block, int] = {}
        for i, block in sorted(special.items()):
            of_stream[i] = code.setdefault(block, len(blocks) + len(code))
        blocks += code
    return blocks, of_stream


def _suitability(
    table: StreamTable,
    blocks: Sequence[_Block],
    kinds: Sequence[_Kind],
    names: Sequence[str],
    offered: frozenset[frozenset[str]],
) -> tuple[Bools, Bools, Bools, list[UnplacedReason]]:
    """Which kinds may take, may keep, and are at home for which blocks, and why some have none."""
    shape = len(blocks), len(kinds)
    may_take, may_keep, at_home = np.zeros(shape, bool), np.zeros(shape, bool), np.zeros(shape, bool)
    why_not: list[UnplacedReason] = []
    is_open, keeps, given = (np.array([kind[n] for kind in kinds], bool) for n in (2, 3, 4))
    single = np.array([kind.worker for kind in kinds], np.int64)
    host = [names[kind.worker] if kind.worker >= 0 else "" for kind in kinds]
    for b, block in enumerate(blocks):
        needs, location = table.traits[block.trait]
        able = np.array([needs <= kind.capabilities for kind in kinds], bool)
        allowed = able & (not block.excluded)
        if block.pinned_to:
            allowed &= np.array([name == block.pinned_to for name in host], bool)
        if block.kept_from:
            allowed &= np.array([name not in block.kept_from for name in host], bool)
        at_home[b] = np.array([bool(location) and kind.location == location for kind in kinds], bool)
        may_keep[b] = allowed & keeps
        may_take[b] = allowed & is_open
        if block.returns_to >= 0:
            may_take[b] |= may_keep[b] & (single == block.returns_to)
        if (allowed & given).any():
            why_not.append(UnplacedReason.NoCapacity)
        elif block.excluded or any(needs <= capabilities for capabilities in offered):
            why_not.append(UnplacedReason.Excluded)
        elif able.any() or not kinds:
            why_not.append(UnplacedReason.NoEligibleWorker)
        else:
            why_not.append(UnplacedReason.NoCapableWorker)
    return may_take, may_keep, at_home, why_not


def _alike(
    may_take: Bools, may_keep: Bools, at_home: Bools, why_not: Sequence[UnplacedReason]
) -> tuple[list[int], Codes]:
    """The first of all blocks that this fleet can do the same with, and for each block which of these it is."""
    rows = [row.tobytes() for row in np.concatenate((may_take, may_keep, at_home), axis=1)]
    code: dict[tuple[bytes, UnplacedReason], int] = {}
    same = [code.setdefault(key, len(code)) for key in zip(rows, why_not, strict=True)]
    first: list[int] = np.unique(same, return_index=True)[1].tolist()
    return first, np.array(same, code_type(len(code)))
