"""Rounds of a pool in a small world: whatever happens, no two workers run one stream, and everything finds a place."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerv7.contract import Release
from fingerv7.core.approval import Mode
from fingerv7.core.model import Stream
from fingerv7.core.planner import Holdings, WorkerTable
from fingerv7.core.reuse import Reuse

from .small_world import LEADER, T_S, Pool, revive, rules

HEEDLESS_S = (T_S + 6.0) * 1.05 / 0.95
"""How long a worker that does not follow its config may go on (see `doubt`)."""


def test_a_new_pool_is_shared_in_proportion_to_capacity():
    pool = Pool({"a": 100, "b": 150, "c": 50}, 300)
    pool.settle()
    assert pool.loads() == {"a": 100, "b": 150, "c": 50}


def test_a_settled_pool_writes_nothing():
    pool = Pool({"a": 10, "b": 10}, 12)
    pool.settle()
    assert pool.round().writes == []


def test_a_dead_workers_streams_move_after_t_and_not_before():
    pool = Pool({"a": 10, "b": 10}, 10)
    pool.settle()
    pool.kill("a")
    pool.pass_time(T_S - 0.5)
    assert pool.loads()["b"] == 5
    pool.pass_time(1.0)
    pool.settle()
    assert pool.loads()["b"] == 10


def test_a_dead_worker_whose_lease_was_not_read_after_the_revoke_frees_nothing():
    pool = Pool({"a": 10, "b": 10}, 10)
    pool.settle()
    pool.kill("a")
    pool.pass_time(T_S + 1)
    pool.proven.clear()
    pool.members["a"].alive = True  # it was only unheard: the direct read would show a renewal
    pool.round()
    assert len(pool.members["b"].worker.assignment.grants) == 5


def test_a_release_frees_at_once():
    pool = Pool({"a": 10, "b": 10}, 10)
    pool.settle()
    member = pool.members["a"]
    member.runs = {}
    member.lease = replace(member.lease, released=Release("uid-a", member.lease.holder), applied=None)
    for _ in range(4):
        pool.round()
        pool.acknowledge("b")
    assert pool.loads() == {"a": 0, "b": 10}


def test_a_drained_worker_hands_over_what_fits_and_keeps_the_rest_until_its_time_is_up():
    pool = Pool({"a": 10, "b": 6}, 12)
    pool.settle()
    pool.members["a"].worker = replace(pool.members["a"].worker, drain=True)
    pool.settle()
    assert pool.loads() == {"a": 6, "b": 6}
    pool.pass_time(601.0)
    decision = pool.settle()
    assert pool.loads() == {"a": 0, "b": 6}
    assert {reason for _, reason in decision.unassigned} == {"NoCapacity"}


def test_before_the_barrier_workers_are_only_stamped():
    pool = Pool({"a": 10}, 5)
    pool.barrier = False
    decision = pool.round()
    assert [w.assignment.leader_epoch for w in decision.writes] == [LEADER]
    assert pool.round().writes == []


def test_a_worker_that_has_not_said_what_it_runs_holds_up_streams_of_unknown_past():
    pool = Pool({"a": 10, "b": 10}, 4)
    pool.members["b"].lease = replace(pool.members["b"].lease, applied=None)
    pool.pass_time(HEEDLESS_S - 1)
    assert pool.members["a"].worker.assignment.empty
    pool.pass_time(6.0)
    assert len(pool.members["a"].worker.assignment.grants) == 4


def test_what_a_vanished_worker_held_goes_to_nobody_until_it_must_have_stopped():
    pool = Pool({"a": 10, "b": 10}, 4)
    pool.settle()
    assert pool.loads() == {"a": 2, "b": 2}
    gone = pool.members.pop("a")
    pool.pass_time(HEEDLESS_S - 1)
    assert len(pool.members["b"].worker.assignment.grants) == 2
    gone.runs.clear()
    pool.pass_time(6.0)
    pool.settle()
    assert pool.loads() == {"b": 4}


def test_an_unread_source_leaves_everything_as_it_is():
    pool = Pool({"a": 10, "b": 10}, 4)
    pool.settle()
    pool.catalog = None
    assert pool.settle().writes == []
    assert sum(pool.loads().values()) == 4


def test_an_unread_source_still_lets_takeovers_happen():
    pool = Pool({"a": 10, "b": 10}, 4)
    pool.settle()
    pool.catalog = None
    pool.kill("a")
    pool.pass_time(T_S + 5)
    pool.settle()
    assert pool.loads()["b"] == 4


def test_when_nothing_is_assigned_yet_the_first_worker_waits_a_moment_for_the_others():
    pool = Pool({"a": 10, "b": 10}, 10)
    late = pool.members["b"].lease
    pool.members["b"].lease = replace(late, holder="", renew_time="", applied=None)
    pool.members["b"].alive = False
    pool.round()
    pool.round()
    assert pool.members["a"].worker.assignment.empty
    pool.members["b"].lease, pool.members["b"].alive = late, True
    pool.settle()
    assert pool.loads() == {"a": 5, "b": 5}


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ack", "ack", "time", "kill", "revive", "drain", "undrain", "add", "drop", "shrink"]),
        st.integers(0, 3),
    ),
    max_size=40,
)


def happen(pool: Pool, event: str, n: int) -> None:
    """One of `EVENTS`, and a round after it."""
    name = f"w{n % len(pool.members)}"
    member = pool.members[name]
    match event:
        case "ack":
            pool.acknowledge(name)
        case "time":
            pool.pass_time(7.0)
        case "kill":
            pool.kill(name)
        case "revive":
            revive(pool, name)
        case "drain" | "undrain":
            member.worker = replace(member.worker, drain=event == "drain")
        case "add":
            i = f"x{pool.now}-{len(pool.catalog)}"
            pool.catalog = {**pool.catalog, i: Stream(i, "http://radio.example/")}
        case "drop":
            pool.catalog = dict(itertools.islice(pool.catalog.items(), n, None))
        case "shrink" if len(member.worker.assignment.grants) < member.worker.max_streams:
            member.worker = replace(member.worker, max_streams=member.worker.max_streams + n)
    pool.round()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(0, 14), EVENTS)
def test_no_sequence_of_events_makes_two_workers_run_one_stream_and_quiet_places_all_that_fits(
    capacities, streams, events
):
    pool = Pool({f"w{n}": limit for n, limit in enumerate(capacities)}, streams)
    pool.settle(6)
    for event, n in events:
        happen(pool, event, n)
    for name, member in pool.members.items():
        member.worker = replace(member.worker, drain=False)
        revive(pool, name)
    pool.now += 700.0  # longer than any back-off
    pool.settle(8)
    room = sum(member.worker.max_streams for member in pool.members.values())
    assert sum(pool.loads().values()) == min(room, len(pool.catalog))


class Forgetful(Pool):
    """Works everything out anew in every round."""

    def round(self):
        self.memory.reuse, self.memory.still = Reuse(), None
        self.memory.candidates, self.memory.holdings, self.memory.table = WorkerTable({}), Holdings(), None
        return super().round()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(0, 14), EVENTS, st.sampled_from(list(Mode)))
def test_what_is_reused_is_what_would_have_been_worked_out_anew(capacities, streams, events, mode):
    kinds = (Pool, Forgetful)
    pools = [kind({f"w{n}": limit for n, limit in enumerate(capacities)}, streams) for kind in kinds]
    for pool in pools:
        pool.rules = rules(mode=mode, cooldown_s=10.0)
        pool.settle(6)
    for event, n in events:
        for pool in pools:
            happen(pool, event, n)
        one, other = ([member.worker for member in pool.members.values()] for pool in pools)
        assert one == other
        assert pools[0].round().proposal == pools[1].round().proposal


@pytest.mark.parametrize("paused", [True, False])
def test_a_paused_pool_begins_no_drain_but_takes_over(paused):
    pool = Pool({"a": 10, "b": 10, "c": 10}, 9)
    pool.settle()
    pool.rules = rules(paused=paused)
    pool.members["c"].worker = replace(pool.members["c"].worker, drain=True)
    pool.kill("a")
    pool.pass_time(T_S + 5)
    pool.settle()
    assert pool.loads()["a"] == 0
    assert pool.loads()["c"] == (3 if paused else 0)
    assert sum(pool.loads().values()) == 9


def test_a_grant_whose_worker_vanishes_before_the_answer_is_not_repeated_elsewhere_while_anybody_is_in_doubt():
    pool = Pool({"a": 10, "b": 10}, 4)
    pool.settle()
    pool.members["a"].worker = replace(pool.members["a"].worker, drain=True)
    while not pool.memory.doubts.vouched:  # a has stopped, and nobody was given its streams yet
        pool.round()
        pool.acknowledge("a")
    seen_stopped = set(pool.memory.doubts.vouched)
    pool.loses = {"b"}
    granted = {change.stream for write in pool.round().writes for change in write.changes if write.worker == "b"}
    assert granted >= seen_stopped
    # The grant may have been stored a moment before somebody tore b out; its sidecar may even have read it.
    del pool.members["b"]
    pool.join("c", 10)
    pool.members["c"].lease = replace(pool.members["c"].lease, applied=None)
    pool.join("d", 10)
    pool.pass_time(T_S - 1)
    assert not seen_stopped & pool.members["d"].worker.assignment.grants.keys()


def test_a_removed_row_leaves_nothing_behind_that_grows():
    pool = Pool({"a": 10}, 4)
    pool.settle()
    for name in ("s0", "s1"):
        pool.catalog = {i: stream for i, stream in pool.catalog.items() if i != name}
        pool.settle()
    assert not pool.memory.doubts.vouched
