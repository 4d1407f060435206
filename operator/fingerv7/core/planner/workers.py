"""The workers in columns, as the planner reads them.

Of thousands of workers hardly any is another one from one round to the next: the columns of a round are those of the
one before, but for the workers that changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import compress
from operator import attrgetter, is_
from typing import Final, TypeVar

import numpy as np

from fingerv7.core.planner.arrays import Bools, Ints
from fingerv7.core.planner.model import Candidate

_T = TypeVar("_T")

_NUMBERS: Final = (
    "max_streams",
    "reserved_weight",
    "max_bytes",
    "reserved_bytes",
    "score_percent",
    "eligible",
    "keeps",
    "capacity_changed",
)
_FIELDS: Final = attrgetter(*_NUMBERS, "capabilities", "location")


class WorkerTable(Mapping[str, Candidate]):
    """Workers by name, in order of their names."""

    capabilities: Mapping[frozenset[str], int]
    """Each set of capabilities → its code; there may be some that nobody has."""
    locations: Mapping[str, int]
    """Each location → its code; there may be some that nobody has."""
    _values: Ints
    """(fields, W)"""

    def __init__(self, candidates: Mapping[str, Candidate], last: WorkerTable | None = None) -> None:
        """`last`: a table of which much may be the same; a plan does not depend on it."""
        self.workers = {name: candidates[name] for name in sorted(candidates)}
        self.names = list(self.workers)
        self.index = dict(zip(self.names, range(len(self.names)), strict=True))
        """Name → its place in `names`."""
        taken = None if last is None else self._taken_from(last)
        if last is not None and taken is not None:
            self.capabilities, self.locations, self._values = last.capabilities, last.locations, taken
        else:
            self.capabilities = _codes([w.capabilities for w in self.workers.values()])
            self.locations = _codes([w.location for w in self.workers.values()])
            self._values = self._columns(self.workers.values())

    @property
    def capability_codes(self) -> Ints:
        """(W,)"""
        codes: Ints = self._values[-2]
        return codes

    @property
    def location_codes(self) -> Ints:
        """(W,)"""
        codes: Ints = self._values[-1]
        return codes

    def numbers(self, field: str) -> Ints:
        """(W,) a field that is a number or a truth value."""
        values: Ints = self._values[_NUMBERS.index(field)]
        return values

    def __getitem__(self, name: str) -> Candidate:
        return self.workers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.workers)

    def __len__(self) -> int:
        return len(self.workers)

    def _taken_from(self, last: WorkerTable) -> Ints | None:
        """The columns, made from those of another table as far as workers are the very same objects; None where that
        does not save anything.
        """
        stays, stayed = _same(self.workers, last.workers), _same(last.workers, self.workers)
        new = list(compress(self.workers.values(), (~stays).tolist()))
        known = all(w.capabilities in last.capabilities and w.location in last.locations for w in new)
        if not known or 2 * len(new) > len(self):
            return None
        if stays.all() and stayed.all():
            return last._values
        values = np.empty((len(last._values), len(self)), np.int64)
        values[:, stays] = last._values[:, stayed]
        values[:, ~stays] = last._columns(new)
        return values

    def _columns(self, workers: Collection[Candidate]) -> Ints:
        """(fields, workers)"""
        if not workers:
            return np.zeros((len(_NUMBERS) + 2, 0), np.int64)
        *numbers, capabilities, locations = zip(*map(_FIELDS, workers), strict=True)
        return np.array(
            [
                *numbers,
                list(map(self.capabilities.__getitem__, capabilities)),
                list(map(self.locations.__getitem__, locations)),
            ],
            np.int64,
        )


def _codes(values: Iterable[_T]) -> dict[_T, int]:
    return {value: code for code, value in enumerate(dict.fromkeys(values))}


def _same(workers: Mapping[str, Candidate], others: Mapping[str, Candidate]) -> Bools:
    return np.fromiter(map(is_, map(others.get, workers), workers.values()), np.bool_, len(workers))
