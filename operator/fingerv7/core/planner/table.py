"""The catalog in columns, as the planner reads it.

A hundred thousand streams differ in a few ways only: what they require, where they belong and how much they weigh.
The table is made once from a catalog and serves every plan until the catalog changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from fingerv7.core.model import Stream
from fingerv7.core.planner.arrays import Codes, Ints


class Trait(NamedTuple):
    """What streams have in common that matters for where they may live."""

    capabilities: frozenset[str]
    location: str


class StreamTable:
    """Streams in order of their ids."""

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self.ids: Sequence[str] = sorted(streams)
        self.index: Mapping[str, int] = dict(zip(self.ids, range(len(self.ids)), strict=True))
        demands, self.sizes = _columns(streams, self.ids)
        meaning = {demand: _DEMAND(demand) for demand in set(demands)}
        distinct = sorted(set(meaning.values()), key=lambda each: (sorted(each[0]), each[1], each[2]))
        traits = list(dict.fromkeys((capabilities, location) for capabilities, location, _ in distinct))
        self.traits = [Trait(*trait) for trait in traits]
        self.weights = np.array(sorted({max(1, weight) for _, _, weight in distinct}, reverse=True), np.int64)
        """Every weight that occurs, descending; a weight counts as 1 at least."""
        trait_of = {trait: n for n, trait in enumerate(traits)}
        rank_of = {int(weight): n for n, weight in enumerate(self.weights)}
        code_of = {
            demand: rank_of[max(1, weight)] * len(traits) + trait_of[capabilities, location]
            for demand, (capabilities, location, weight) in meaning.items()
        }
        codes = np.fromiter(map(code_of.__getitem__, demands), np.int64, len(demands))
        self.rank: Codes = codes // max(1, len(traits))
        """By stream: its weight's place in `weights`."""
        self.trait: Codes = codes % max(1, len(traits))
        self.largest = int(self.sizes.max(initial=0))

    def __len__(self) -> int:
        return len(self.ids)


_DEMAND: Final = attrgetter("capabilities", "location", "weight")


def _columns(streams: Mapping[str, Stream], ids: Sequence[str]) -> tuple[list[tuple[frozenset[str], str, int]], Ints]:
    """Of each stream what it asks of a worker, and its size."""
    values = list(map(streams.__getitem__, ids))
    sizes = np.fromiter(map(attrgetter("size"), values), np.int64, len(values))
    return list(map(_DEMAND, values)), sizes
