"""Loads are as even as they are to be: can one stream leave a worker in place of several, if others go elsewhere?

A worker gave 1 and 2 to two others, and a third was given a 1 and a 2 by somebody else. So it can give the third a 3
in place of both, and what the third was given goes to those two. Where it has a 5 only, it gives that for 1, 2 and
another 2, which comes to it. `merging` looks at what went between three workers, this at any number of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from fingerv7.core.planner.arrays import Codes
from fingerv7.core.planner.fleet import Fleet

_MOVES = 256
"""More moves than that are left as they are,"""
_TRIES = 1 << 12
"""and so many ways and choices of streams are looked at."""
_AT_ONCE = 3
"""So many streams are replaced by one at most."""

_Goes = dict[int, int]
"""Stream → worker."""


def regroup(fleet: Fleet, began: Codes) -> None:
    """Save what can be saved so of the moves since streams had these owners (S,). Who came home stays there."""
    moved = fleet.moved_since(began)
    p = fleet.problem
    moved = moved[~p.abroad[p.block[moved], p.kind[began[moved]]]]
    if len(p.weights) > 1 and 2 < len(moved) <= _MOVES:
        _Regrouping(fleet, began, moved.tolist()).run()


class _Regrouping:
    """Moves by giver and by receiver."""

    def __init__(self, fleet: Fleet, began: Codes, moved: list[int]) -> None:
        self._fleet, self._began = fleet, began
        self._weight: dict[int, int] = {}
        self._given: dict[int, list[int]] = defaultdict(list)
        self._came: dict[int, list[int]] = defaultdict(list)
        for stream in moved:
            self._note(stream)
        self._tries = _TRIES

    def _note(self, stream: int) -> None:
        self._weight[stream] = int(self._fleet.problem.weight[stream])
        self._given[int(self._began[stream])].append(stream)
        self._came[int(self._fleet.owner[stream])].append(stream)

    def run(self) -> None:
        for giver in sorted(self._given):
            while len(self._given[giver]) > 1 and self._improve(giver):
                pass

    def _improve(self, giver: int) -> bool:
        kept = self._kept(giver)
        for several in self._several(giver):
            total = sum(self._weight[s] for s in several)
            for heavy, stream in kept:
                if heavy >= total and self._tries > 0:
                    for goes in self._ways(giver, several, stream, heavy - total):
                        if self._apply(goes):
                            return True
        return False

    def _kept(self, giver: int) -> list[tuple[int, int]]:
        """(weight, stream), one of each class that has stayed there."""
        p = self._fleet.problem
        stays = np.flatnonzero((self._fleet.owner == giver) & (self._began == giver))
        first = np.unique(p.stream_class[stays], return_index=True)[1]
        return [(int(p.weight[s]), int(s)) for s in stays[first]]

    def _several(self, giver: int) -> Iterator[tuple[int, ...]]:
        """Streams that it gave, the most first; those that go to the same workers with the same weights once."""
        seen: set[tuple[tuple[int, int], ...]] = set()
        for count in range(min(_AT_ONCE, len(self._given[giver])), 1, -1):
            for several in combinations(self._given[giver], count):
                self._tries -= 1
                if self._tries <= 0:
                    return
                alike = tuple(sorted((self._weight[s], int(self._fleet.owner[s])) for s in several))
                if alike not in seen:
                    seen.add(alike)
                    yield several

    def _ways(self, giver: int, several: Sequence[int], stream: int, back: int) -> Iterator[_Goes]:
        """How the giver can give this stream in place of those, and be given what weighs so much."""
        fleet, p = self._fleet, self._fleet.problem
        wanted = Counter(self._weight[s] for s in several)
        for target in sorted(self._came):
            self._tries -= 1
            if target == giver or not fleet.may_take[p.block[stream], p.kind[target]]:
                continue
            came = [s for s in self._came[target] if s in several or self._began[s] != giver]
            has = Counter(self._weight[s] for s in came)
            if any(has[weight] < count for weight, count in wanted.items()):
                continue
            goes = self._match(giver, target, several, came, back)
            if goes is not None:
                yield {**goes, stream: target}

    def _match(self, giver: int, target: int, several: Sequence[int], came: Sequence[int], back: int) -> _Goes | None:
        """Who came to the target goes where those went; these return."""
        fleet, p = self._fleet, self._fleet.problem
        goes: _Goes = dict.fromkeys(several, giver)
        free = [s for s in came if s not in several]
        places = [(self._weight[s], int(fleet.owner[s])) for s in several if fleet.owner[s] != target]
        for weight, place in [*places, (back, giver)] if back else places:
            able = [s for s in free if self._weight[s] == weight and fleet.may_take[p.block[s], p.kind[place]]]
            if not able and place == giver and len(several) > 2:
                # One move more, of what would have stayed.
                kept = self._kept(target)
                able = [s for mine, s in kept if mine == back and fleet.may_take[p.block[s], p.kind[giver]]]
            if not able:
                return None
            goes[able[0]] = place
            free = [s for s in free if s != able[0]]
        return goes

    def _apply(self, goes: _Goes) -> bool:
        fleet, streams = self._fleet, np.array(sorted(goes))
        with fleet.attempt() as attempt:
            fleet.take(streams)
            fleet.put(streams, np.array([goes[s] for s in streams.tolist()]))
            if not attempt.keep():
                return False
        for index in (self._given, self._came):
            for place, mine in index.items():
                index[place] = [s for s in mine if s not in goes]
        for s in streams[fleet.owner[streams] != self._began[streams]].tolist():
            self._note(s)
        return True
