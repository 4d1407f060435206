"""The catalog in columns, as the planner reads it.

A hundred thousand streams differ in a few ways only: what they require, where they belong and how much they weigh.
The table is made once from a catalog and serves every plan until the catalog changes.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np

from fingerv7.core.columns import Catalog
from fingerv7.core.model import Stream
from fingerv7.core.planner.arrays import Codes, Ints, code_type


class Trait(NamedTuple):
    """What streams have in common that matters for where they may live."""

    capabilities: frozenset[str]
    location: str


class StreamTable:
    """Streams in order of their ids."""

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self.ids: Sequence[str] = sorted(streams)
        if isinstance(streams, Catalog):
            self.index, demands, self.sizes = _from_columns(streams, self.ids)
        else:
            self.index, demands, self.sizes = _from_streams(streams, self.ids)
        asked = {demand: demand if isinstance(demand, tuple) else _DEMAND(demand) for demand in set(demands)}
        distinct = sorted(set(asked.values()), key=lambda each: (sorted(each[0]), each[1], each[2]))
        traits = list(dict.fromkeys((capabilities, location) for capabilities, location, _ in distinct))
        self.traits = [Trait(*trait) for trait in traits]
        self.weights = np.array(sorted({max(1, weight) for _, _, weight in distinct}, reverse=True), np.int64)
        """Every weight that occurs, descending; a weight counts as 1 at least."""
        trait_of = {trait: n for n, trait in enumerate(traits)}
        rank_of = {int(weight): n for n, weight in enumerate(self.weights)}
        code_of = {
            demand: rank_of[max(1, weight)] * len(traits) + trait_of[capabilities, location]
            for demand, (capabilities, location, weight) in asked.items()
        }
        codes = np.fromiter(map(code_of.__getitem__, demands), np.int64, len(demands))
        rank = codes // max(1, len(traits))
        self.rank: Codes = rank.astype(code_type(len(self.weights)))
        """By stream: its weight's place in `weights`."""
        self.trait: Codes = (codes % max(1, len(traits))).astype(code_type(len(traits)))
        self.weight: Ints = self.weights[rank]
        self.largest = int(self.sizes.max(initial=0))

    def __len__(self) -> int:
        return len(self.ids)


_DEMAND: Final = attrgetter("capabilities", "location", "weight")

_Columns = tuple[Mapping[str, int], Sequence[Hashable], Ints]
"""Id → place; what each stream demands, as such a tuple or an object that has the three; bytes of each."""


def _from_streams(streams: Mapping[str, Stream], ids: Sequence[str]) -> _Columns:
    values = list(map(streams.__getitem__, ids))
    sizes = np.fromiter(map(attrgetter("size"), values), np.int64, len(values))
    return dict(zip(ids, range(len(ids)), strict=True)), list(map(_DEMAND, values)), sizes


def _from_columns(catalog: Catalog, ids: Sequence[str]) -> _Columns:
    demands, sizes = catalog.columns.demands, np.array(catalog.sizes, np.int64)
    if ids == catalog.columns.ids:
        return catalog.places, demands, sizes
    places = list(map(catalog.places.__getitem__, ids))
    return dict(zip(ids, range(len(ids)), strict=True)), list(map(demands.__getitem__, places)), sizes[places]
