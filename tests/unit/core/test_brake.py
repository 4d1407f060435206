from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerv7.core.brake import BrakeState, Verdict, judge
from fingerv7.core.catalog import Snapshot, read_rows
from fingerv7.core.model import Stream


def streams(ids: Iterable[object], *, at: str = "radio") -> dict[str, Stream]:
    return {str(i): Stream(str(i), f"http://{at}.example/{i}") for i in ids}


def snapshot(found: Mapping[str, Stream], identity: str = "db") -> Snapshot:
    return Snapshot(found, (), 0, identity)


@dataclass
class Pool:
    """What the caller of `judge` keeps, and workers that hold the whole catalog at once."""

    held: Mapping[str, Stream] = field(default_factory=dict)
    stored_identity: str = "db"
    state: BrakeState = field(default_factory=BrakeState)
    catalog: Mapping[str, Stream] = field(default_factory=dict)
    annotation: str = ""
    settings: dict[str, Any] = field(default_factory=lambda: {"max_shrink_percent": 50, "confirmations": 3})

    def poll(
        self, found: Mapping[str, Stream], identity: str = "db", *, counts: bool = True, apply: bool = True
    ) -> Verdict:
        verdict = judge(
            snapshot(found, identity),
            held=self.held,
            held_identity=self.stored_identity,
            confirmed=self.annotation,
            state=self.state,
            previous=self.catalog,
            counts=counts,
            **self.settings,
        )
        self.state, self.catalog, self.stored_identity = verdict.state, verdict.catalog, verdict.state.identity
        if apply:
            self.held = dict(verdict.catalog)
        return verdict


def table(ids: Iterable[object], *, at: str = "radio") -> Mapping[str, Stream]:
    """As `streams`, read from rows of a database."""
    rows = [{"id": str(i), "url": f"http://{at}.example/{i}", "active": True} for i in ids]
    return read_rows(rows, identity="db").streams


def running(count: int = 100, **settings: Any) -> Pool:
    pool = Pool()
    pool.settings |= settings
    pool.poll(streams(range(count)))
    return pool


class TestOrdinaryChanges:
    def test_the_first_reading_of_a_new_pool_is_in_force_at_once(self) -> None:
        verdict = Pool(stored_identity="").poll(streams(range(5)))
        assert (verdict.held, verdict.reason, len(verdict.catalog)) == (False, "Unchanged", 5)

    def test_half_of_the_streams_may_go_at_once(self) -> None:
        verdict = running().poll(streams(range(50)))
        assert not verdict.held
        assert len(verdict.catalog) == 50

    def test_a_table_may_empty_itself_slowly(self) -> None:
        pool = running(64)
        for left in (32, 16, 8, 4, 2, 1):
            assert not pool.poll(streams(range(left))).held

    def test_names_and_metadata_change_freely(self) -> None:
        renamed = {i: Stream(i, s.url, "new name") for i, s in streams(range(100)).items()}
        assert running().poll(renamed).catalog == renamed

    def test_where_nothing_is_held_nothing_can_be_revoked(self) -> None:
        pool = Pool(catalog=streams(range(9)), state=BrakeState(started=True, identity="db"))
        assert not pool.poll({}, "another").held

    def test_streams_that_no_worker_holds_may_vanish(self) -> None:
        pool = running()
        pool.held = streams(range(40))
        assert not pool.poll(streams(range(40))).held

    def test_a_limit_of_100_percent_allows_everything(self) -> None:
        assert not running(max_shrink_percent=100).poll({}).held


class TestHolding:
    def test_an_emptied_table_revokes_nothing(self) -> None:
        pool = running(847)
        verdict = pool.poll({})
        assert (verdict.held, verdict.reason, len(verdict.catalog)) == (True, "Shrunk", 847)
        assert "847 of 847 assigned streams (100 %)" in verdict.message
        assert "2 more polls" in verdict.message
        assert f"fingerv7.io/confirm-source={verdict.change_id}" in verdict.message

    def test_one_stream_is_enough_for_an_empty_table_to_count(self) -> None:
        assert running(1).poll({}).held

    def test_vanished_and_changed_urls_are_counted_together(self) -> None:
        found = streams(range(70)) | streams(range(30), at="other")
        verdict = running().poll(found)
        assert verdict.held
        assert "60 of 100 assigned streams (60 %)" in verdict.message
        assert "30 vanished, 30 changed" in verdict.message

    def test_readings_of_a_table_are_compared_alike(self) -> None:
        pool = Pool()
        pool.poll(table(range(100)))
        assert not pool.poll(table(range(100))).held
        assert "0 vanished, 100 changed" in pool.poll(table(range(100), at="other")).message
        assert "60 vanished, 0 changed" in pool.poll(table(range(40))).message

    def test_what_is_in_force_stays_as_it_is_and_new_rows_are_served(self) -> None:
        pool = running()
        verdict = pool.poll(streams(range(60), at="other") | streams(["new"]))
        assert verdict.catalog == streams(range(100)) | streams(["new"])

    def test_after_a_restart_what_the_workers_hold_is_the_baseline(self) -> None:
        pool = Pool(held=streams(range(100)))
        verdict = pool.poll({})
        assert verdict.held
        assert verdict.catalog == streams(range(100))

    def test_a_restart_in_the_middle_only_begins_the_count_again(self) -> None:
        pool = running()
        pool.poll({})
        pool.poll({})
        restarted = Pool(held=pool.held, stored_identity=pool.stored_identity)
        assert [restarted.poll({}).held for _ in range(3)] == [True, True, False]

    def test_a_worker_that_dies_meanwhile_does_not_release_the_brake(self) -> None:
        pool = running()
        first = pool.poll({}, apply=False)
        pool.held = {}  # every stream is on its way to somebody else
        second = pool.poll({}, apply=False)
        assert second.held
        assert second.change_id == first.change_id
        assert len(second.catalog) == 100

    @pytest.mark.parametrize("new", [50, 100, 300])
    def test_new_rows_that_workers_hold_by_then_do_not_release_it(self, new: int) -> None:
        """As when a table is filled anew under other ids: nothing of the change has changed."""
        pool = running()
        found = streams(range(80, 100 + new))
        first = pool.poll(found)
        assert len(pool.held) == 100 + new
        second = pool.poll(found, counts=False)
        assert (second.held, second.change_id) == (True, first.change_id)
        assert f"80 of {100 + new} " in second.message
        assert [pool.poll(found).held for _ in range(2)] == [True, False]

    def test_nor_do_they_when_another_change_has_taken_the_place_of_the_first(self) -> None:
        pool = running()
        pool.poll(streams(range(80, 300)))
        found = streams([*range(100), *range(300, 700)])
        assert [pool.poll(found, counts=False).held for _ in range(2)] == [True, True]

    def test_a_limit_that_is_raised_meanwhile_releases_it(self) -> None:
        pool = running()
        pool.poll(streams(range(40)))
        pool.settings["max_shrink_percent"] = 60
        assert pool.poll(streams(range(40))).reason == "Unchanged"

    def test_a_table_that_comes_back_ends_it(self) -> None:
        pool = running()
        pool.poll({})
        verdict = pool.poll(streams(range(100)))
        assert (verdict.held, verdict.change_id, verdict.state.seen) == (False, "", 0)
        assert pool.poll({}).state.seen == 1


class TestAnotherDatabase:
    def test_it_is_held_even_with_the_same_streams(self) -> None:
        verdict = running().poll(streams(range(100)), "other db")
        assert (verdict.held, verdict.reason) == (True, "DatabaseChanged")
        assert "database other db, no longer db" in verdict.message

    def test_its_new_rows_wait_as_well(self) -> None:
        pool = running()
        assert pool.poll(streams(range(200)), "other db").catalog == streams(range(100))

    def test_the_stored_identity_survives_a_restart(self) -> None:
        pool = Pool(held=streams(range(3)), stored_identity="db")
        assert pool.poll(streams(range(3)), "other db").held
        assert pool.stored_identity == "db"

    def test_it_is_accepted_once_confirmed(self) -> None:
        pool = running()
        held = [pool.poll(streams(range(5)), "other db").held for _ in range(3)]
        assert held == [True, True, False]
        assert pool.stored_identity == "other db"
        assert pool.catalog == streams(range(5))

    def test_an_unknown_identity_is_no_change(self) -> None:
        assert not Pool(held=streams(range(3)), stored_identity="").poll(streams(range(3)), "db").held

    def test_it_is_noticed_with_shrinking_allowed_too(self) -> None:
        assert running(max_shrink_percent=100).poll({}, "other db").held


class TestConfirming:
    def test_the_same_change_in_enough_polls_confirms_it(self) -> None:
        pool = running()
        verdicts = [pool.poll({}) for _ in range(3)]
        assert [v.held for v in verdicts] == [True, True, False]
        assert (verdicts[-1].reason, verdicts[-1].catalog) == ("Confirmed", {})

    def test_notifications_do_not_confirm(self) -> None:
        pool = running()
        assert all(pool.poll({}, counts=False).held for _ in range(10))
        assert [pool.poll({}).held for _ in range(3)] == [True, True, False]

    def test_a_change_that_changes_begins_again(self) -> None:
        pool = running()
        pool.poll(streams(range(10)))
        pool.poll(streams(range(10)))
        assert [pool.poll(streams(range(9))).held for _ in range(3)] == [True, True, False]

    def test_the_same_ids_with_other_urls_are_another_change(self) -> None:
        pool = running()
        first, second = pool.poll(streams(range(100), at="a")), pool.poll(streams(range(100), at="b"))
        assert first.change_id != second.change_id
        assert second.state.seen == 1

    def test_the_annotation_confirms_the_change_that_it_names(self) -> None:
        pool = running()
        pool.annotation = pool.poll({}).change_id
        verdict = pool.poll({}, counts=False)
        assert (verdict.held, verdict.reason) == (False, "Confirmed")

    @pytest.mark.parametrize("annotation", ["", "true", "0" * 12])
    def test_any_other_annotation_confirms_nothing(self, annotation: str) -> None:
        pool = running()
        pool.annotation = annotation
        assert pool.poll({}).held

    def test_an_annotation_left_behind_does_not_confirm_the_next_accident(self) -> None:
        pool = running()
        pool.annotation = pool.poll({}).change_id
        pool.poll({})
        pool.poll(streams(range(100)))
        assert pool.poll({}).held

    def test_a_confirmed_change_stays_confirmed_while_it_is_not_published_yet(self) -> None:
        pool = running(confirmations=1)
        for _ in range(3):
            verdict = pool.poll({}, apply=False)
            assert not verdict.held
            assert verdict.catalog == {}

    def test_a_confirmed_url_change_too(self) -> None:
        pool = running(confirmations=1)
        found = streams(range(100), at="other")
        assert pool.poll(found, apply=False).reason == "Confirmed"
        assert pool.poll(found, apply=False).reason == "Unchanged"


# --- laws -------------------------------------------------------------------------------------------------

IDS = "abcdef"


def _table(number: int) -> dict[str, Stream]:
    """Each id is missing or has one of two URLs; drawn as one number, which is ten times as fast."""
    urls = {i: (None, "http://x/", "http://y/")[number // 3**n % 3] for n, i in enumerate(IDS)}
    return {i: Stream(i, url) for i, url in urls.items() if url}


tables = st.integers(0, 3 ** len(IDS) - 1).map(_table)
subsets = st.integers(0, 2 ** len(IDS) - 1).map(lambda bits: frozenset(i for n, i in enumerate(IDS) if bits >> n & 1))
polls = st.tuples(tables | st.none(), st.sampled_from(["db", "db", "db", "other"]), st.booleans(), subsets)


@given(
    polls=st.lists(polls, min_size=1, max_size=12),
    held=tables,
    percent=st.integers(0, 100),
    confirmations=st.integers(1, 4),
)
def test_laws(
    polls: list[tuple[dict[str, Stream] | None, str, bool, frozenset[str]]],
    held: dict[str, Stream],
    percent: int,
    confirmations: int,
) -> None:
    pool = Pool(held=held)
    pool.settings = {"max_shrink_percent": percent, "confirmations": confirmations}
    in_a_row: list[str] = []
    found, shrunk = held, None
    for table_now, identity, counts, kept in polls:
        found = found if table_now is None else table_now
        in_force = pool.catalog if pool.state.started else pool.held
        baseline = {i for i in pool.held if i in in_force}
        accepted = pool.stored_identity
        verdict = pool.poll(found, identity, counts=counts, apply=False)

        if verdict.held:
            assert verdict.catalog.items() >= in_force.items(), "nothing in force is revoked or changed"
            assert verdict.catalog.keys() <= in_force.keys() | found.keys()
            assert verdict.change_id in verdict.message
            assert pool.stored_identity == accepted
            in_a_row = [*(c for c in in_a_row if c == verdict.change_id), *[verdict.change_id] * counts]
            assert len(in_a_row) < confirmations, "a change is confirmed in time"
        else:
            assert verdict.catalog == found, "what is not held is in force"
            assert pool.stored_identity == identity
            if verdict.reason == "Unchanged":
                gone = [i for i in baseline if i not in found or found[i].url != in_force[i].url]
                assert len(gone) * 100 <= percent * len(baseline), "too much at once is never let through"
                assert not baseline or identity == accepted
                assert found != shrunk, "the same change is held back until it is confirmed"
            else:
                assert len(in_a_row) + counts >= confirmations
            in_a_row = []
        shrunk = found if verdict.reason == "Shrunk" else None
        # Some streams are on workers, some on their way, some without room.
        pool.held = {i: s for i, s in verdict.catalog.items() if i in kept}
