"""Who has what, in a column beside the catalog's.

Asking a dictionary for the owners of a hundred thousand streams takes longer than planning for them. But what a
worker has is the same until its assignment is another one, and so are its streams' places in the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Final

import numpy as np

from fingerv7.core.planner.arrays import Codes, Ints, code_type, joined
from fingerv7.core.planner.table import StreamTable
from fingerv7.core.planner.workers import WorkerTable

NOBODY: Final = -1
"""Owner of a stream that nobody had."""
GONE: Final = -2
"""Owner of a stream whose worker is no candidate any more."""


class Owners(Mapping[str, str]):
    """Stream → worker, for the streams of one table."""

    def __init__(self, table: StreamTable, names: Sequence[str], codes: Codes) -> None:
        """`codes`: (S,) the owner's place in `names`, or `NOBODY`; from now on they do not change."""
        self.table, self.names, self.codes = table, names, codes
        codes.setflags(write=False)

    @classmethod
    def of(cls, table: StreamTable, owners: Mapping[str, str]) -> Owners:
        """The same in this form; streams that are not in the table are left out."""
        if isinstance(owners, cls) and owners.table is table:
            return owners
        names = sorted(set(owners.values()))
        places: dict[str | None, int] = {None: NOBODY}
        places.update(zip(names, range(len(names)), strict=True))
        codes: Codes = np.full(len(table), NOBODY, code_type(len(names) + 1))
        if names:
            codes[:] = [places[owner] for owner in map(owners.get, table.ids)]
        return cls(table, names, codes)

    def among(self, workers: WorkerTable) -> Codes:
        """(S,) the owner's place among these workers, `GONE` where it has none, or `NOBODY`."""
        return self.codes if self.names == workers.names else self._renumbered(workers.index, GONE)

    def following(self, names: Sequence[str]) -> Codes:
        """(S,) the owner's place in these names, or `NOBODY`; may be changed."""
        if self.names == names:
            return self.codes.copy()
        return self._renumbered(dict(zip(names, range(len(names)), strict=True)), NOBODY)

    def _renumbered(self, index: Mapping[str, int], stranger: int) -> Codes:
        if not self.names:
            return self.codes.astype(code_type(len(index) + 1))
        found = map(index.get, (*self.names, ""), repeat(stranger))
        places = np.fromiter(found, code_type(len(index) + 1), len(self.names) + 1)
        places[NOBODY] = NOBODY
        return np.take(places, self.codes)

    def __getitem__(self, stream: str) -> str:
        worker = int(self.codes[self.table.index[stream]])
        if worker == NOBODY:
            raise KeyError(stream)
        return self.names[worker]

    def __iter__(self) -> Iterator[str]:
        ids = self.table.ids
        return (ids[i] for i in np.flatnonzero(self.codes != NOBODY).tolist())

    def __len__(self) -> int:
        return int(np.count_nonzero(self.codes != NOBODY))


class Holdings:
    """Who has what, kept from one look to the next."""

    def __init__(self) -> None:
        self._owners: Owners | None = None
        self._held: Mapping[str, Mapping[str, object]] = {}
        self._places: dict[str, Ints] = {}
        """Worker → the places in the table of what it has."""
        self._several: list[str] = []

    def look(self, table: StreamTable, held: Mapping[str, Mapping[str, object]]) -> tuple[Owners, list[str]]:
        """The owners, and the streams that several workers have, of whom any may be named as the owner.

        `held`: worker → streams, as a mapping that is never changed: the same object has the same streams.
        """
        last = self._owners
        if last is None or last.table is not table:
            last, self._held, self._places, self._several = None, {}, {}, []
        names, known = sorted(held), self._held
        changed = [name for name in names if known.get(name) is not held[name]]
        if last is not None and not changed and last.names == names:
            return last, self._several

        codes: Codes = np.full(len(table), NOBODY, code_type(len(names) + 1))
        new = names
        if last is not None and not self._several:
            codes, new = last.following(names), changed
            codes[joined([self._places[name] for name in changed if name in known])] = NOBODY
        for name in known.keys() - held.keys():
            del self._places[name]
        self._places.update((name, _places(table, held[name])) for name in changed)
        self._put(codes, names, new)
        self._held, self._several = held, []
        if sum(map(len, self._places.values())) > np.count_nonzero(codes != NOBODY):
            self._put(codes, names, names)  # so that it does not matter who came last
            counts = np.bincount(joined(list(self._places.values())), minlength=len(table))
            self._several = [table.ids[i] for i in np.flatnonzero(counts > 1).tolist()]
        self._owners = Owners(table, names, codes)
        return self._owners, self._several

    def _put(self, codes: Codes, names: Sequence[str], some: Sequence[str]) -> None:
        """What some of the workers have is theirs."""
        index = dict(zip(names, range(len(names)), strict=True))
        parts = [self._places[name] for name in some]
        codes[joined(parts)] = np.repeat([index[name] for name in some], list(map(len, parts)))


def _places(table: StreamTable, streams: Mapping[str, object]) -> Ints:
    return np.array([place for place in map(table.index.get, streams) if place is not None], np.int64)
