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
        self.index = dict(zip(self.ids, range(len(self.ids)), strict=True))
        values = list(map(streams.__getitem__, self.ids))
        keys = list(map(attrgetter("capabilities", "location", "weight"), values))
        distinct = sorted(set(keys), key=lambda key: (sorted(key[0]), key[1], key[2]))
        traits = list(dict.fromkeys((capabilities, location) for capabilities, location, _ in distinct))
        self.traits = [Trait(*trait) for trait in traits]
        self.weights = np.array(sorted({max(1, key[2]) for key in distinct}, reverse=True), np.int64)
        """Every weight that occurs, descending; a weight counts as 1 at least."""
        trait_of = {trait: n for n, trait in enumerate(traits)}
        rank_of = {int(weight): n for n, weight in enumerate(self.weights)}
        code_of = {key: rank_of[max(1, key[2])] * len(traits) + trait_of[key[0], key[1]] for key in distinct}
        codes = np.fromiter(map(code_of.__getitem__, keys), np.int64, len(keys))
        self.rank: Codes = codes // max(1, len(traits))
        """By stream: its weight's place in `weights`."""
        self.trait: Codes = codes % max(1, len(traits))
        self.sizes: Ints = np.fromiter(map(attrgetter("size"), values), np.int64, len(values))
        self.largest = int(self.sizes.max(initial=0))

    def __len__(self) -> int:
        return len(self.ids)
