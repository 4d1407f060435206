"""A plan's target, moves and loads as views on the planner's arrays: nothing is made before somebody asks for it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from typing import overload

import numpy as np

from fingerv7.core.planner.arrays import Codes, Floats, Ints
from fingerv7.core.planner.model import Move, Trigger
from fingerv7.core.planner.problem import Problem

TRIGGERS = tuple(Trigger)
"""Triggers by code."""


class Target(Mapping[str, str]):
    """Stream id → worker."""

    def __init__(self, problem: Problem, owner: Codes) -> None:
        self._problem, self._owner = problem, owner

    def __getitem__(self, stream: str) -> str:
        worker = int(self._owner[self._problem.index[stream]])
        if worker < 0:
            raise KeyError(stream)
        return self._problem.names[worker]

    def __iter__(self) -> Iterator[str]:
        ids = self._problem.ids
        return (ids[i] for i in np.flatnonzero(self._owner >= 0).tolist())

    def __len__(self) -> int:
        return int((self._owner >= 0).sum())

    def items(self) -> ItemsView[str, str]:
        """As of a dict, which is a hundred times faster than one by one."""
        ids, names = self._problem.ids, self._problem.names
        return {ids[i]: names[w] for i, w in enumerate(self._owner.tolist()) if w >= 0}.items()

    def __repr__(self) -> str:
        return repr(dict(self.items()))


class Moves(Sequence[Move]):
    """Moves of the streams at these places, sorted by stream."""

    def __init__(self, problem: Problem, streams: Ints, target: Ints, triggers: Ints) -> None:
        self._problem, self._streams, self._target, self._triggers = problem, streams, target, triggers

    def __len__(self) -> int:
        return len(self._streams)

    @overload
    def __getitem__(self, place: int) -> Move: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Move]: ...
    def __getitem__(self, place: int | slice) -> Move | Sequence[Move]:
        if isinstance(place, slice):
            return Moves(self._problem, self._streams[place], self._target[place], self._triggers[place])
        place = range(len(self))[place]
        return next(iter(self[place : place + 1]))

    def __iter__(self) -> Iterator[Move]:
        p = self._problem
        sources = p.owner[self._streams].tolist()
        for i, source, target, trigger in zip(
            self._streams.tolist(), sources, self._target.tolist(), self._triggers.tolist(), strict=True
        ):
            was = p.names[source] if source >= 0 else p.former.get(p.ids[i])
            yield Move(p.ids[i], was, p.names[target], TRIGGERS[trigger])

    def count(self, trigger: object) -> int:
        """How many moves there are for this reason."""
        return int((self._triggers == TRIGGERS.index(trigger)).sum()) if isinstance(trigger, Trigger) else 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(_same, self, other))

    __hash__ = None  # type: ignore[assignment]  # as a list's

    def __repr__(self) -> str:
        return repr(list(self))


def _same(one: object, other: object) -> bool:
    return one == other


class Loads(Mapping[str, float]):
    """Worker → load in percent."""

    def __init__(self, names: Sequence[str], loads: Floats) -> None:
        self._names, self._loads = names, loads

    def __getitem__(self, worker: str) -> float:
        place = bisect_left(self._names, worker)
        if place >= len(self._names) or self._names[place] != worker:
            raise KeyError(worker)
        return float(self._loads[place])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def items(self) -> ItemsView[str, float]:
        return dict(zip(self._names, self._loads.tolist(), strict=True)).items()
