"""A managed worker that the operator empties itself drains like any other, and says what for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .small_world import Pool


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ("ScaleDown", "the pool is scaled down"),
        ("Rollout", "its pod is being replaced"),
        ("Defragment", "fingerv7.io/drain-for=Defragment"),
    ],
)
def test_a_marked_worker_hands_over_everything_and_gets_it_back_when_the_mark_goes(mark, words):
    pool = Pool({"a": 10, "b": 10}, streams=10)
    pool.settle()
    assert pool.loads() == {"a": 5, "b": 5}
    member = pool.members["a"]
    member.worker = replace(member.worker, drain_for=mark)
    assert words in pool.round().standings["a"].message
    pool.settle()
    assert pool.loads() == {"a": 0, "b": 10}
    member.worker = replace(member.worker, drain_for="")
    assert pool.settle().standings["a"].accepts
