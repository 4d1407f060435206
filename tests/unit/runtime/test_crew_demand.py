"""How often the demand of a catalog is counted, and where."""

from __future__ import annotations

from types import SimpleNamespace

from fingerv7.core.managed.model import Scaling
from fingerv7.core.model import Stream
from fingerv7.runtime.crew_demand import DemandCount


class Catalog(dict):
    counted = 0

    def values(self):
        self.counted += 1
        return super().values()


def served(count):
    return Catalog({f"s{n}": Stream(f"s{n}", "http://x") for n in range(count)}), frozenset({"s0"})


def test_the_demand_of_a_catalog_is_counted_once_and_that_of_a_large_one_elsewhere():
    scaling = Scaling(least=1, most=5, target_percent=80, window_s=0.0)
    loop = SimpleNamespace(served=None)
    demand = DemandCount(loop)
    assert demand.count() is None
    loop.served = served(7)
    assert not demand.takes_long(scaling)
    assert demand.count() == demand.count() == {frozenset(): 6}
    assert loop.served[0].counted == 1
    loop.served = served(20_000)
    assert demand.takes_long(scaling)
    assert demand.count() == {frozenset(): 19_999}
    assert not demand.takes_long(scaling)
