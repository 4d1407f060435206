from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reference_worker.verdict import Gap, Overlap, Refusal, Verdict, Window, allowed_gap_s

_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_OVERLAP = Overlap("a", "w1", "w2", "1", "2", _NOON, _NOON)
_GAP = Gap("a", "w1", "w2", _NOON, _NOON + timedelta(seconds=12), 12.0, 11.0)
_REFUSAL = Refusal("a", "w1", "1", "2", _NOON)


def _verdict(**found: Any) -> Verdict:
    nothing: dict[str, Any] = {"overlaps": [], "gaps": [], "missing": [], "extra": [], "refusals": []}
    return Verdict(**(nothing | {"longest_gap_s": 0.0, "intervals": 5} | found))


def test_nothing_found_is_good() -> None:
    assert _verdict().ok


@pytest.mark.parametrize(
    "found",
    [{"overlaps": [_OVERLAP]}, {"gaps": [_GAP]}, {"missing": ["a"]}, {"extra": ["a"]}, {"refusals": [_REFUSAL]}],
    ids=lambda found: next(iter(found)),
)
def test_each_kind_of_finding_is_bad(found: dict[str, Any]) -> None:
    assert not _verdict(**found).ok


def test_refusals_can_be_allowed_and_are_still_shown() -> None:
    verdict = _verdict(refusals=[_REFUSAL], refusals_allowed=True)
    assert verdict.ok
    assert verdict.as_dict()["refusals"]["count"] == 1


def test_is_json_with_full_counts_and_few_examples() -> None:
    document = json.loads(json.dumps(_verdict(overlaps=[_OVERLAP] * 25, missing=["a"]).as_dict()))
    assert document["overlaps"]["count"] == 25
    assert len(document["overlaps"]["examples"]) == 10
    assert document["overlaps"]["examples"][0]["first_worker"] == "w1"
    assert document["missing"]["examples"] == ["a"]


def test_the_most_generous_window_that_a_gap_touches_decides() -> None:
    windows = [Window(_NOON, _NOON + timedelta(seconds=10), 30.0), Window(_NOON, _NOON + timedelta(seconds=5), 20.0)]
    second = timedelta(seconds=1)
    assert allowed_gap_s(_NOON - second, _NOON + second, windows, otherwise_s=11.0) == 30.0
    assert allowed_gap_s(_NOON + 11 * second, _NOON + 12 * second, windows, otherwise_s=11.0) == 11.0
