"""What the streams of a pool ask of its managed workers, counted once for each catalog as it was served."""

from __future__ import annotations

from collections.abc import Mapping

from fingerv7.core.managed.autoscale import Demand, demand
from fingerv7.core.managed.model import Scaling
from fingerv7.core.model import Stream
from fingerv7.runtime.pool_loop import PoolLoop

Served = tuple[Mapping[str, Stream], frozenset[str]]

MANY_STREAMS, MANY_COMPARISONS = 10_000, 1_000
"""Streams to count, or requirements to compare with workers, that take a while."""


class DemandCount:
    """Of one pool. Which catalog is served last is the streams' loop's to say."""

    def __init__(self, loop: PoolLoop) -> None:
        self._loop = loop
        self._counted: tuple[Served, Demand] | None = None

    def count(self) -> Demand | None:
        """None before a catalog was served."""
        served = self._loop.served
        if served is not None and self._known() is None:
            self._counted = served, demand(served[0].values(), served[1])
        return self._known()

    def takes_long(self, scaling: Scaling) -> bool:
        """Whether the demand, or what is enough for it, takes a while to find out."""
        served = self._loop.served
        if served is None:
            return False
        known = self._known()
        return len(served[0]) > MANY_STREAMS if known is None else scaling.most * len(known) > MANY_COMPARISONS

    def _known(self) -> Demand | None:
        """What was counted, if that is what is served now."""
        served = self._loop.served
        if self._counted is None or served is None:
            return None
        (catalog, others), counted = self._counted
        return counted if catalog is served[0] and others == served[1] else None
