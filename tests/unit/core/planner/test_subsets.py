"""The fewest streams that weigh exactly so much."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fingerv7.core.planner.subsets import NEVER, Subsets

from .worlds import law

stocks = st.lists(st.tuples(st.integers(1, 9), st.lists(st.integers(0, 4), min_size=3, max_size=3)), max_size=4)


@law
@given(stocks.filter(len), st.integers(0, 30))
def test_fewest_is_what_trying_all_of_them_finds(stock: list[tuple[int, list[int]]], most: int):
    by_weight = dict(sorted(stock, reverse=True))
    weights, held = np.array(list(by_weight)), np.array(list(by_weight.values()))
    # Close enough to what is asked for that nothing is given before it is looked at closely.
    most = min(most, 4 * int(weights[0]))
    subsets = Subsets(weights, held, np.full(3, most))
    assert subsets.close
    found: list[dict[int, int]] = [{}, {}, {}]
    for worker, fewest in enumerate(found):
        for numbers in product(*(range(count + 1) for count in held[:, worker])):
            amount = int(weights @ np.array(numbers))
            fewest[amount] = min(fewest.get(amount, NEVER), sum(numbers))
    for amount in range(most + 1):
        asked = np.full(3, amount)
        assert subsets.fewest(asked).tolist() == [fewest.get(amount, NEVER) for fewest in found]
        chosen = subsets.of(asked)
        for worker, fewest in enumerate(found):
            if amount in fewest:
                assert chosen[:, worker].sum() == fewest[amount]
                assert weights @ chosen[:, worker] == amount
                assert np.all(chosen[:, worker] <= held[:, worker])


def test_of_much_the_heaviest_go_first():
    subsets = Subsets(np.array([7, 2]), np.array([[90], [9]]), np.array([500]))
    assert subsets.close
    assert subsets.fewest(np.array([496])).tolist() == [73]
    assert subsets.of(np.array([496])).tolist() == [[70], [3]]
