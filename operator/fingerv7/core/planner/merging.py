"""Loads are as even as they are to be: can fewer streams of other weights make the same difference?

Streams are given step by step, so that a worker may give 1 and 2 to another to which it could have given 3, or three
workers make three moves where two would do. What went between two or three workers is undone where fewer moves, all
to or from one of them, lead to the same loads.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from fingerv7.core.planner.arrays import Codes
from fingerv7.core.planner.fleet import Fleet

_MOVES = 256
"""More moves than that are left as they are,"""
_TRIES = 64
"""and so many groups of workers are looked at."""
_AMONG_THREE = 9
"""Three workers are looked at where they have made so many moves at most."""

_Transfers = list[tuple[int, int, int]]
"""From, to, weight."""


def merge(fleet: Fleet, began: Codes) -> None:
    """Save what can be saved so of the moves since streams had these owners (S,)."""
    moved = fleet.moved_since(began)
    if len(fleet.problem.weights) > 1 and 1 < len(moved) <= _MOVES:
        work = _Merging(fleet, began, moved.tolist())
        for group in work.groups()[:_TRIES]:
            work.settle(group)


class _Merging:
    def __init__(self, fleet: Fleet, began: Codes, moved: list[int]) -> None:
        self._fleet, self._began = fleet, began
        self._between: dict[frozenset[int], set[int]] = defaultdict(set)
        """Two workers → the streams that went from one to the other."""
        for stream in moved:
            self._between[self._ends(stream)].add(stream)
        self._had: dict[int, list[int]] = {}

    def _ends(self, stream: int) -> frozenset[int]:
        return frozenset((int(self._began[stream]), int(self._fleet.owner[stream])))

    def groups(self) -> list[list[int]]:
        """Two workers with several moves between them, and three with moves between more than two of them."""
        twos = sorted(sorted(pair) for pair, streams in self._between.items() if len(streams) > 1)
        near: dict[int, set[int]] = defaultdict(set)
        for one, other in map(sorted, self._between):
            near[one].add(other)
            near[other].add(one)
        threes = {
            tuple(sorted((hub, *two)))
            for hub, others in near.items()
            for two in combinations(sorted(others), 2)
            if len(others) <= _TRIES
        }
        return twos + [list(three) for three in sorted(threes)]

    def settle(self, group: list[int]) -> None:
        """Make the same difference between these workers with fewer moves, if there is a way."""
        went = sorted(set().union(*(self._between.get(frozenset(two), set()) for two in combinations(group, 2))))
        if len(went) < len(group) or (len(group) > 2 and len(went) > _AMONG_THREE):
            return
        for transfers in self._ways(group, went):
            goes = self._choose(transfers, went)
            if goes is not None and self._replace(group, went, goes):
                return

    def _ways(self, group: list[int], went: list[int]) -> Iterator[_Transfers]:
        weight, gains = self._fleet.problem.weight, Counter[int]()
        for stream in went:
            gains[int(self._fleet.owner[stream])] += int(weight[stream])
            gains[int(self._began[stream])] -= int(weight[stream])
        uneven = [worker for worker in group if gains[worker]]
        if not uneven:
            yield []
        for hub in uneven[: 1 if len(uneven) < 3 else None]:
            others = [(worker, gains[worker]) for worker in uneven if worker != hub]
            yield [(hub, worker, gain) if gain > 0 else (worker, hub, -gain) for worker, gain in others]

    def _choose(self, transfers: _Transfers, went: list[int]) -> list[tuple[int, int]] | None:
        """(stream, target) of fewer moves than those."""
        chosen: list[tuple[int, int]] = []
        for source, target, amount in transfers:
            taken = {stream for stream, _ in chosen}
            supply: dict[int, list[int]] = defaultdict(list)
            for stream in self._could_go(source, target, went):
                if stream not in taken:
                    supply[int(self._fleet.problem.weight[stream])].append(stream)
            found = _fewest(supply, amount, len(went) - 1 - len(chosen))
            if found is None:
                return None
            chosen += [(stream, target) for stream in found]
        return chosen

    def _could_go(self, source: int, target: int, went: list[int]) -> list[int]:
        fleet, p = self._fleet, self._fleet.problem
        if source not in self._had:
            self._had[source] = np.flatnonzero(self._began == source).tolist()
        takes = fleet.may_take[:, p.kind[target]]
        return [s for s in self._had[source] if takes[p.block[s]] and (fleet.owner[s] == source or s in went)]

    def _replace(self, group: list[int], went: list[int], goes: list[tuple[int, int]]) -> bool:
        fleet = self._fleet
        streams, targets = np.array(goes, np.int64).reshape(-1, 2).T
        touched = np.union1d(np.array(went), streams)
        with fleet.attempt() as attempt:
            fleet.take(touched)
            stays = np.setdiff1d(touched, streams)
            fleet.put(stays, self._began[stays].astype(np.int64))
            fleet.put(streams, targets)
            if not attempt.keep():
                return False
        for two in combinations(group, 2):
            self._between[frozenset(two)] = set()
        for stream, _ in goes:
            self._between[self._ends(stream)].add(stream)
        return True


def _fewest(supply: dict[int, list[int]], amount: int, most: int) -> list[int] | None:
    """As few streams of these weights as weigh so much together, at most so many."""
    heaviest = sorted((w for w, some in supply.items() for _ in some), reverse=True)[: max(0, most)]
    if sum(heaviest) < amount:
        return None
    ways: dict[int, tuple[int, ...]] = {0: ()}
    for weight, some in sorted(supply.items(), reverse=True):
        for sofar, way in sorted(ways.items()):
            for count in range(1, min(len(some), most - len(way), (amount - sofar) // weight) + 1):
                total = sofar + count * weight
                if total not in ways or len(ways[total]) > len(way) + count:
                    ways[total] = (*way, *some[:count])
    return list(ways[amount]) if amount in ways else None
