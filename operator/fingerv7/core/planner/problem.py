"""The question of a round, in arrays: streams of few classes, workers of few kinds, and who has what.

Streams that the same workers can take form a *block*; with their weight they are a *class*. Workers that can take the
same blocks form a *kind*. Everything that is hard about planning is decided between blocks and kinds, of which there
are a few hundred, and only then do streams and workers come in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fingerv7.core.planner.arrays import Bools, Codes, Floats, Ints, code_type, sums
from fingerv7.core.planner.model import MAX_SCORE, MIN_SCORE, Candidate, Policy, Strategy, UnplacedReason
from fingerv7.core.planner.owners import GONE, NOBODY, Owners
from fingerv7.core.planner.suitability import Block, Kinds, by_appearance, places, suitability
from fingerv7.core.planner.table import StreamTable
from fingerv7.core.planner.workers import WorkerTable

__all__ = ["GONE", "NOBODY", "Problem", "pose"]


@dataclass(frozen=True, eq=False)
class Problem:
    """Streams are in order of ids, workers in order of names; S, W, B, K and J are the numbers of streams, workers,
    blocks, kinds and weights.
    """

    table: StreamTable
    workers: WorkerTable
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
    rank: Codes
    """(S,) the weight's place in `weights`."""
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
        return pose(self.table, self.workers, Owners(self.table, self.names, owner.copy()), self.policy)

    def by_site(self, amounts: Ints) -> Ints:
        """The sum of whole amounts (W,) at each site."""
        return sums(self.site, amounts, int(self.site.max(initial=-1)) + 1).astype(np.int64)


def pose(
    table: StreamTable, candidates: Mapping[str, Candidate], current: Mapping[str, str], policy: Policy
) -> Problem:
    """The problem of sharing the table's streams among the candidates; soonest of a `WorkerTable` and of `Owners` for
    that very table.
    """
    workers = candidates if isinstance(candidates, WorkerTable) else WorkerTable(candidates)
    names = workers.names
    owner = Owners.of(table, current).among(workers)
    capacity = np.maximum(workers.numbers("max_streams") - workers.numbers("reserved_weight"), 0)
    byte_capacity = np.maximum(workers.numbers("max_bytes") - workers.numbers("reserved_bytes"), 0)
    keeps = workers.numbers("keeps") > 0
    may_have = keeps & (workers.numbers("eligible") > 0)
    eligible = may_have.copy()
    eligible[places(workers, policy.excluded_workers)] = False
    is_open = eligible & (capacity > 0)
    strength = capacity.astype(np.float64)
    if policy.strategy is Strategy.Performance:
        strength *= np.clip(workers.numbers("score_percent"), MIN_SCORE, MAX_SCORE) / 100

    bytes_bind = bool(np.any(capacity * table.largest > byte_capacity))
    shut = np.flatnonzero(keeps & ~is_open & (capacity > 0))
    returning = _overfull(table, owner, shut, capacity, byte_capacity) if len(shut) else []
    blocks, block_of = _blocks(table, policy, owner, returning)
    named = {*policy.pins.values(), *(worker for _, worker in policy.excluded_pairs)}
    kinds = Kinds(workers, is_open, keeps, eligible, sorted({*places(workers, named), *returning}))
    suits, same = suitability(table.traits, blocks, workers, kinds, may_have).merged()
    if len(suits.why_not) < len(blocks):
        block_of = np.take(same, block_of)
    stays_home = np.zeros(len(suits.why_not), bool)
    if policy.strategy is Strategy.Location:
        stays_home[:] = (suits.may_take & suits.at_home).any(axis=1)
    block_of = block_of.astype(code_type(len(stays_home)), copy=False)
    stream_class = block_of
    if len(table.weights) > 1:
        stream_class = table.rank.astype(code_type(len(table.weights) * len(stays_home))) * len(stays_home) + block_of
    return Problem(
        table=table,
        workers=workers,
        ids=table.ids,
        index=table.index,
        names=names,
        policy=policy,
        owner=owner,
        former=current,
        stream_class=stream_class,
        block=block_of,
        weight=table.weight,
        rank=table.rank,
        sizes=table.sizes,
        weights=table.weights,
        bytes_bind=bytes_bind,
        stays_home=stays_home,
        may_take=suits.may_take,
        may_keep=suits.may_keep,
        at_home=suits.at_home,
        abroad=stays_home[:, None] & ~suits.at_home & suits.may_take.any(axis=0),
        why_not=suits.why_not,
        kind=kinds.of_worker,
        is_open=is_open,
        keeps=keeps,
        capacity=capacity,
        byte_capacity=byte_capacity,
        strength=strength,
        site=_sites(workers, policy),
        capacity_changed=workers.numbers("capacity_changed") > 0,
    )


def _sites(workers: WorkerTable, policy: Policy) -> Codes:
    if policy.strategy is not Strategy.Location:
        return np.zeros(len(workers), np.int16)
    return by_appearance(workers.location_codes)[1]


def _overfull(table: StreamTable, owner: Codes, shut: Ints, capacity: Ints, byte_capacity: Ints) -> list[int]:
    """Workers that are given nothing new and hold more than they can: whichever of their streams finds a place
    elsewhere should leave, so that all of them have to be asked.
    """
    held = np.where(owner >= 0, owner, len(capacity))
    weight = sums(held, table.weight, len(capacity) + 1)[shut]
    size = sums(held, table.sizes, len(capacity) + 1)[shut]
    found: list[int] = shut[(weight > capacity[shut]) | (size > byte_capacity[shut])].tolist()
    return found


def _blocks(table: StreamTable, policy: Policy, owner: Codes, returning: Sequence[int]) -> tuple[list[Block], Codes]:
    """The blocks, and the block of each stream."""
    blocks = [Block(n) for n in range(len(table.traits))]
    of_stream: Codes = table.trait
    kept_from: dict[str, set[str]] = {}
    for stream, worker in policy.excluded_pairs:
        kept_from.setdefault(stream, set()).add(worker)
    special: dict[int, Block] = {}
    for name in sorted({*policy.pins, *kept_from, *policy.excluded_streams} & table.index.keys()):
        i = table.index[name]
        special[i] = Block(
            int(table.trait[i]),
            policy.pins.get(name, ""),
            frozenset(kept_from.get(name, ())),
            name in policy.excluded_streams,
        )
    for shut in returning:
        for i in np.flatnonzero(owner == shut).tolist():
            special[i] = special.get(i, blocks[int(of_stream[i])])._replace(returns_to=shut)
    if special:
        of_stream = of_stream.astype(code_type(len(blocks) + len(special)))
        code: dict[Block, int] = {}
        for i, block in sorted(special.items()):
            of_stream[i] = code.setdefault(block, len(blocks) + len(code))
        blocks += code
    return blocks, of_stream
