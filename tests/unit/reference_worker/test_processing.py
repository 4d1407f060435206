from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reference_worker.config import Stream
from reference_worker.processing import compare

_TOKENS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2", "3"]))


def _wanted(tokens: dict[str, str]) -> dict[str, Stream]:
    return {id_: Stream(id_, f"http://{id_}", id_, token) for id_, token in tokens.items()}


def test_a_stream_with_its_token_keeps_running() -> None:
    change = compare({"a": "1"}, _wanted({"a": "1"}), {})
    assert (change.stops, change.starts) == (frozenset(), {})


def test_a_new_token_is_another_grant_so_the_stream_stops_and_starts() -> None:
    change = compare({"a": "1"}, _wanted({"a": "2"}), {})
    assert (change.stops, change.starts) == ({"a"}, {"a": "2"})


def test_a_refused_token_is_not_tried_again_and_a_newer_one_is() -> None:
    assert not compare({}, _wanted({"a": "1"}), {"a": "1"}).starts
    assert compare({}, _wanted({"a": "2"}), {"a": "1"}).starts == {"a": "2"}


@given(running=_TOKENS, wanted=_TOKENS, refused=_TOKENS)
def test_after_the_change_exactly_the_wanted_runs_except_what_was_refused(
    running: dict[str, str], wanted: dict[str, str], refused: dict[str, str]
) -> None:
    change = compare(running, _wanted(wanted), refused)
    after = {id_: token for id_, token in running.items() if id_ not in change.stops} | dict(change.starts)
    assert after == {
        id_: token for id_, token in wanted.items() if running.get(id_) == token or refused.get(id_) != token
    }
    assert not {id_ for id_ in change.starts if id_ in running} - change.stops
