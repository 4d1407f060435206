"""The catalog in columns, as the planner reads it.

A hundred thousand streams differ in a few ways only: what they require, where they belong and how much they weigh.
The table is made once from a catalog and serves every plan until the catalog changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
            self.index, numbers, asked, self.sizes = _from_columns(streams, self.ids)
        else:
            self.index, numbers, asked, self.sizes = _from_streams(streams, self.ids)
        distinct = sorted(set(asked.values()), key=lambda each: (sorted(each[0]), each[1], each[2]))
        traits = list(dict.fromkeys((capabilities, location) for capabilities, location, _ in distinct))
        self.traits = [Trait(*trait) for trait in traits]
        self.weights = np.array(sorted({max(1, weight) for _, _, weight in distinct}, reverse=True), np.int64)
        """Every weight that occurs, descending; a weight counts as 1 at least."""
        trait_of = {trait: n for n, trait in enumerate(traits)}
        rank_of = {int(weight): n for n, weight in enumerate(self.weights)}
        ranks, of_traits = np.zeros((2, max(asked, default=0) + 1), np.int64)
        for number, (capabilities, location, weight) in asked.items():
            ranks[number], of_traits[number] = rank_of[max(1, weight)], trait_of[capabilities, location]
        self.rank: Codes = ranks.astype(code_type(len(self.weights)))[numbers]
        """By stream: its weight's place in `weights`."""
        self.trait: Codes = of_traits.astype(code_type(len(traits)))[numbers]
        self.weight: Ints = self.weights[self.rank]
        self.largest = int(self.sizes.max(initial=0))

    def __len__(self) -> int:
        return len(self.ids)


_DEMAND: Final = attrgetter("capabilities", "location", "weight")

_Demand = tuple[frozenset[str], str, int]
_Columns = tuple[Mapping[str, int], Ints, Mapping[int, _Demand], Ints]
"""Id → place; by stream a number of what it demands; what these numbers stand for; bytes of each stream."""


def _from_streams(streams: Mapping[str, Stream], ids: Sequence[str]) -> _Columns:
    values = list(map(streams.__getitem__, ids))
    demands = list(map(_DEMAND, values))
    number_of = {demand: number for number, demand in enumerate(dict.fromkeys(demands))}
    numbers = np.fromiter(map(number_of.__getitem__, demands), np.int64, len(ids))
    sizes = np.fromiter(map(attrgetter("size"), values), np.int64, len(ids))
    asked = {number: demand for demand, number in number_of.items()}
    return dict(zip(ids, range(len(ids)), strict=True)), numbers, asked, sizes


def _from_columns(catalog: Catalog, ids: Sequence[str]) -> _Columns:
    numbers, sizes = np.array(catalog.columns.demands), np.array(catalog.sizes, np.int64)
    occurring = np.flatnonzero(np.bincount(numbers)).tolist()
    asked: dict[int, _Demand] = {number: _DEMAND(catalog.demands[number]) for number in occurring}
    if ids == catalog.columns.ids:
        return catalog.places, numbers, asked, sizes
    places = list(map(catalog.places.__getitem__, ids))
    return dict(zip(ids, range(len(ids)), strict=True)), numbers[places], asked, sizes[places]
