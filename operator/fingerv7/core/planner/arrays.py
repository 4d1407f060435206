"""Names for the arrays that the planner computes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.signedinteger[Any]]
Codes = NDArray[np.signedinteger[Any]]
"""Small whole numbers, of whatever width holds them: sorting 16 bits takes a tenth of the time."""
Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]


def counts(groups: Codes, count: int) -> Ints:
    """How many items each of the groups 0..count-1 has."""
    found: Ints = np.bincount(groups, minlength=count)
    return found


def sums(groups: Codes, amounts: Ints | Floats | Bools, count: int) -> Floats:
    """The sum of the amounts of each group; exact for whole numbers."""
    if count == 1 and amounts.dtype.kind != "f":  # floats are added up in their order
        return np.array([amounts.sum()], np.float64)
    return np.bincount(groups, amounts, count).astype(np.float64, copy=False)


def none() -> Ints:
    return np.zeros(0, np.int64)


def joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate(parts) if parts else none()


def code_type(count: int) -> type[np.signedinteger[Any]]:
    """The narrowest type for codes 0..count-1, and for negative ones that mean none."""
    return np.int16 if count <= np.iinfo(np.int16).max else np.int32


def ranks(groups: Codes) -> Ints:
    """The position of each item among those of its group; items of a group stand together."""
    if not len(groups):
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate(([True], groups[1:] != groups[:-1])))
    lengths = np.diff(np.append(starts, len(groups)))
    return np.arange(len(groups)) - np.repeat(starts, lengths)


def first_of(groups: Codes, wanted: Ints) -> Ints:
    """Positions of the first items of each group 0, 1, …, so many as are `wanted` of it."""
    among = np.flatnonzero(wanted[groups] > 0)
    order = among[np.argsort(groups[among], kind="stable")]
    return order[ranks(groups[order]) < wanted[groups[order]]]
