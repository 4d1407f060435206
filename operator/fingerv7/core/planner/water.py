"""Filling vessels to one level: the arithmetic behind every even share.

A worker is a vessel of some width (what its share is proportional to), filled to some height, with some room left.
Pouring fills the lowest first. Whole streams cannot be poured exactly, and the largest remainders get the rest, as
seats are given to parties (Hamilton's method).
"""

from __future__ import annotations

import numpy as np

from fingerv7.core.planner.arrays import Codes, Floats, Ints, sums

_STEPS = 64
_EPSILON = 1e-9


def level(amount: float, used: Floats, room: Floats, width: Floats) -> Floats:
    """How much each of a few vessels gets of `amount`, of which they take all or as much as they have room for."""
    if amount >= room.sum():
        return room.copy()
    heights = np.concatenate((used / width, (used + room) / width))
    order = heights.argsort(kind="stable")
    heights = heights[order]
    widths = np.concatenate((width, -width))[order].cumsum()
    poured = (widths[:-1] * (heights[1:] - heights[:-1])).cumsum()
    step = int(poured.searchsorted(amount))
    below = float(poured[step - 1]) if step else 0.0
    height = heights[step] + (amount - below) / max(float(widths[step]), _EPSILON)
    shares: Floats = np.minimum(np.maximum(height * width - used, 0.0), room)
    return shares


def levels(amounts: Floats, group: Codes, used: Floats, room: Floats, width: Floats) -> Floats:
    """As `level`, for many vessels in groups, each of which gets its own of `amounts`."""
    count = len(amounts)
    most = sums(group, room, count)
    wanted = np.minimum(amounts, most)
    bottom, top = used / width, (used + room) / width
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, group, bottom)
    np.maximum.at(high, group, top)
    empty = low > high
    low[empty] = high[empty] = 0.0
    total = np.maximum(sums(group, width, count), _EPSILON)
    height = np.clip((wanted + sums(group, used, count)) / total, low, high)
    given = room
    for _ in range(_STEPS):
        here = height[group]
        given = np.minimum(np.maximum(here * width - used, 0.0), room)
        short = wanted - sums(group, given, count)
        open_ = np.abs(short) > _EPSILON * np.maximum(1.0, wanted)
        if not open_.any():
            break
        low = np.where(short > 0, np.maximum(low, height), low)
        high = np.where(short < 0, np.minimum(high, height), high)
        # Newton's step, and bisection where it leaves the bracket.
        rising = short[group] > 0
        between = np.where(rising, (here >= bottom) & (here < top), (here > bottom) & (here <= top))
        slope = sums(group, np.where(between, width, 0.0), count)
        step = np.where(slope > 0, height + short / np.maximum(slope, _EPSILON), (low + high) / 2)
        step = np.where((step > low) & (step < high) | (np.abs(step - height) < 1e-15), step, (low + high) / 2)
        height = np.where(open_, step, height)
    return np.where((amounts >= most)[group], room, given)


def pour(amounts: Ints, group: Codes, used: Floats, room: Ints, width: Floats, weight: int = 1) -> Ints:
    """As `levels` in whole streams of one weight: `amounts` and `room` count streams, `used` is weight."""
    count = len(amounts)
    exact = levels((amounts * weight).astype(np.float64), group, used, (room * weight).astype(np.float64), width)
    exact /= weight
    given: Ints = np.minimum(np.floor(exact + _EPSILON).astype(np.int64), room)
    left = np.minimum(amounts, sums(group, room, count).astype(np.int64)) - sums(group, given, count).astype(np.int64)
    while left.any():
        # A rounding error may have given one too many; it is taken back from the smallest remainder.
        sign = np.where(left < 0, -1, 1)[group]
        eligible = (left[group] != 0) & np.where(sign > 0, given < room, given > 0)
        order = np.flatnonzero(eligible)
        remainder = np.round((exact - given) * sign, 9)  # equal ones go by the order of names
        order = order[np.argsort(group[order] * 4.0 - remainder[order], kind="stable")]
        place = np.arange(len(order)) - np.searchsorted(group[order], group[order], side="left")
        chosen = order[place < np.abs(left)[group[order]]]
        if not len(chosen):
            break
        given[chosen] += sign[chosen]
        left -= sums(group[chosen], sign[chosen], count).astype(np.int64)
    return given
