from __future__ import annotations

import pytest

from fingerv7.core.managed.model import ordinal_of, worker_name
from fingerv7.core.managed.scale import least_useful_first, missing, spared

from .small_fleet import a_pod, member


@pytest.mark.parametrize(("ordinal", "name"), [(1, "radio-001"), (999, "radio-999"), (1000, "radio-1000")])
def test_names_have_three_digits_and_more_where_they_are_needed(ordinal, name):
    assert worker_name("radio", ordinal) == name
    assert ordinal_of("radio", name) == ordinal


@pytest.mark.parametrize(
    "name", ["radio-01", "radio-000", "radio-0001", "radio-x01", "jazz-001", "radio-001-a", "radio"]
)
def test_other_names_are_not_of_the_fleet(name):
    assert ordinal_of("radio", name) is None


@pytest.mark.parametrize(
    ("present", "taken", "replicas", "free", "blocked"),
    [
        (set(), set(), 3, [1, 2, 3], []),
        ({1, 3}, set(), 3, [2], []),
        ({1, 3, 4}, set(), 3, [], []),
        ({1}, {2}, 3, [3], [2]),
        ({1, 3}, {2}, 3, [], [2]),
        ({1, 2, 3, 4}, set(), 2, [], []),
    ],
)
def test_the_lowest_numbers_are_made_and_a_taken_name_keeps_its_place(present, taken, replicas, free, blocked):
    found = missing(present, taken, replicas)
    assert (found.free, found.taken) == (free, blocked)


@pytest.mark.parametrize(
    ("spare", "keep"),
    [
        (member(1, deleting=True), member(2, pod=None)),
        (member(1, pod=None, streams=9), member(2)),
        (member(1, pod=a_pod(ready=False)), member(2)),
        (member(1, score=80), member(2, max_streams=10)),
        (member(1, max_streams=20, streams=9), member(2)),
        (member(1), member(2, streams=3)),
        (member(3), member(2)),
    ],
    ids=["who goes already", "no pod", "not ready", "slow", "small", "idle", "the highest number"],
)
def test_who_goes_first(spare, keep):
    assert least_useful_first([keep, spare]) == [spare, keep]
    assert spared([keep, spare], 1) == [spare]


def test_nobody_goes_whom_the_others_cannot_do_without():
    small, large = member(1, max_streams=10), member(2, max_streams=50)
    assert spared([small, large], 2, lambda m: m is small) == [small]
