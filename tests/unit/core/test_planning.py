"""What is carried out and what is only proposed: modes, approvals, requests, and plans that are not made twice."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from fingerv7.api.conditions import ApprovalReason
from fingerv7.core.approval import Asked, Mode
from fingerv7.core.model import Stream, Token
from fingerv7.core.planner import Policy
from fingerv7.core.planner.model import BALANCING, Strategy, Trigger
from fingerv7.core.rounds import Memory

from .small_world import LEADER, T_S, Pool, rules

AT_ONCE = Policy(max_moves_per_round_percent=100)


def uneven(mode: Mode, policy: Policy = AT_ONCE, **changes) -> Pool:
    """Two workers with 15 streams each, and a third that has just joined."""
    pool = Pool({"a": 30, "b": 30}, 30)
    pool.rules = rules(mode=mode, policy=policy, **changes)
    pool.settle()
    pool.join("c", 30)
    return pool


def owners(pool: Pool) -> dict[str, str]:
    return {i: name for name, member in pool.members.items() for i in member.runs}


def test_auto_evens_the_loads_out():
    pool = uneven(Mode.Auto)
    pool.settle()
    assert set(pool.loads().values()) == {10}


@pytest.mark.parametrize("mode", [Mode.Advisory, Mode.Manual])
def test_without_consent_nothing_moves_for_balance(mode):
    pool = uneven(mode)
    decision = pool.settle()
    assert pool.loads() == {"a": 15, "b": 15, "c": 0}
    assert decision.judged
    assert len(decision.proposal.moves) == 10
    assert {move.trigger for move in decision.proposal.moves} <= BALANCING
    assert decision.proposal.imbalance_after_percent < decision.proposal.imbalance_before_percent
    assert decision.plan.moves == ()


@pytest.mark.parametrize("mode", [Mode.Advisory, Mode.Manual])
def test_repairs_wait_for_nobody(mode):
    pool = uneven(mode)
    pool.settle()
    pool.kill("a")
    pool.pass_time(T_S + 1)
    pool.catalog = {**pool.catalog, "new": Stream("new", "http://radio.example/new")}
    decision = pool.settle()
    assert sum(pool.loads().values()) == 31
    assert decision.judged


def test_a_proposal_stays_the_same_while_the_world_does_and_after_a_restart():
    pool = uneven(Mode.Manual)
    proposed = pool.settle().proposal
    pool.pass_time(60.0)
    assert pool.round().proposal == proposed
    pool.memory = Memory(proposed=True, last_balance=pool.now)
    assert pool.settle().proposal == proposed


def test_an_approved_proposal_is_carried_out_exactly_as_shown():
    pool = uneven(Mode.Manual)
    proposal, before = pool.settle().proposal, owners(pool)
    pool.asked = Asked(approve=proposal.id)
    decision = pool.round()
    assert decision.answer.approved
    assert decision.proposal is None
    assert decision.judged
    pool.asked = Asked()
    decision = pool.settle()
    assert owners(pool) == before | {move.stream: move.target for move in proposal.moves}
    assert decision.proposal is None
    assert decision.cooling_down


def test_approved_moves_whose_write_was_refused_are_begun_later():
    pool = uneven(Mode.Manual)
    proposal, before = pool.settle().proposal, owners(pool)
    pool.asked, pool.loses = Asked(approve=proposal.id), {"a"}
    assert pool.round().answer.approved
    pool.asked = Asked()
    pool.settle()
    assert owners(pool) == before | {move.stream: move.target for move in proposal.moves}
    assert pool.memory.approved == {}


def test_an_approval_of_something_else_moves_nothing():
    pool = uneven(Mode.Manual)
    stale = pool.settle().proposal.id
    pool.catalog = {**pool.catalog, "x": Stream("x", "http://radio.example/x")}
    pool.settle()
    pool.join("d", 30)
    pool.settle()
    before = owners(pool)
    pool.asked = Asked(approve=stale)
    decision = pool.round()
    assert decision.answer.reason is ApprovalReason.PROPOSAL_CHANGED
    assert decision.proposal.id in decision.answer.message
    pool.asked = Asked()
    pool.settle()
    assert owners(pool) == before


def test_an_approval_waits_until_the_pool_has_settled():
    pool = uneven(Mode.Manual)
    proposal = pool.settle().proposal
    pool.asked = Asked(approve=proposal.id)
    pool.kill("c")
    pool.now += 11.0  # late, not lost
    decision = pool.round()
    assert decision.answer is None
    assert not decision.judged


def test_after_an_approval_nothing_is_proposed_until_the_cooldown_is_over():
    pool = uneven(Mode.Manual, Policy())
    proposal = pool.settle().proposal
    pool.asked = Asked(approve=proposal.id)
    pool.round()
    pool.asked = Asked(approve="0123")
    decision = pool.settle()
    assert decision.answer.reason is ApprovalReason.NOTHING_PROPOSED
    pool.asked = Asked()
    assert pool.settle().proposal is None
    pool.pass_time(301.0)
    assert pool.round().proposal.id != proposal.id


def test_an_even_pool_proposes_nothing():
    pool = Pool({"a": 30, "b": 30}, 30)
    pool.rules = rules(mode=Mode.Manual)
    decision = pool.settle()
    assert decision.judged
    assert decision.proposal is None


@pytest.mark.parametrize("change", [{"paused": True}, {"mode": Mode.Auto, "cooldown_s": 1e6}])
def test_a_paused_or_automatic_pool_shows_no_proposal(change):
    pool = uneven(Mode.Manual)
    assert pool.settle().proposal
    pool.memory.last_balance = pool.now
    pool.rules = replace(pool.rules, **change)
    decision = pool.round()
    assert decision.judged
    assert decision.proposal is None


def test_a_request_balances_in_spite_of_the_cooldown():
    pool = uneven(Mode.Auto)
    pool.memory.last_balance = pool.now
    pool.settle()
    assert pool.loads()["c"] == 0
    pool.asked = Asked(rebalance="now")
    decision = pool.round()
    assert decision.rebalanced
    assert decision.balances
    pool.asked = Asked()
    pool.settle()
    assert pool.loads()["c"] == 10


def test_a_request_makes_a_proposal_in_spite_of_the_cooldown():
    pool = uneven(Mode.Advisory)
    pool.memory.last_balance = pool.now
    assert pool.settle().proposal is None
    pool.asked = Asked(rebalance="now")
    decision = pool.round()
    assert decision.rebalanced
    pool.asked = Asked()
    assert pool.settle().proposal == decision.proposal


def test_a_request_where_all_is_even_is_answered_too():
    pool = Pool({"a": 30, "b": 30}, 30)
    pool.settle()
    pool.asked = Asked(rebalance="now")
    decision = pool.round()
    assert decision.rebalanced
    assert not decision.balances


def test_a_request_waits_while_the_pool_is_paused():
    pool = uneven(Mode.Auto, paused=True)
    pool.asked = Asked(rebalance="now")
    assert pool.settle().rebalanced is None


def test_turns_of_rotation_are_noted_up_to_when_they_were_had():
    pool = Pool({"a": 30, "b": 30}, 30)
    pool.rules = rules(rotation_s=86_400.0)
    began_s = pool.settle().rotated_through_s
    assert began_s == pytest.approx(pool.wall_s, abs=1)
    pool.pass_time(7200.0)
    decision = pool.settle()
    assert began_s <= decision.rotated_through_s <= pool.wall_s + pool.now
    assert Counter(owners(pool).values()) == {"a": 15, "b": 15}


@pytest.mark.parametrize(
    ("loss", "reason"), [("killed", Trigger.WorkerLost), ("drained", Trigger.WorkerIneligible)], ids=str
)
def test_every_move_says_why(loss, reason):
    pool = Pool({"a": 30, "b": 30}, 20)
    pool.round()
    assert {move.trigger for move in pool.round().plan.moves} == {Trigger.NewStream}
    pool.settle()
    if loss == "killed":
        pool.kill("a")
        pool.now += T_S + 1
    else:
        pool.members["a"].worker = replace(pool.members["a"].worker, drain=True)
    moves = pool.round().plan.moves
    assert {move.trigger for move in moves} == {reason}
    assert len(moves) == 10


def test_a_changed_capacity_is_the_reason_of_the_moves_it_leads_to():
    pool = Pool({"a": 30, "b": 30}, 30)
    pool.rules = rules(policy=AT_ONCE)
    pool.settle()
    pool.members["b"].worker = replace(pool.members["b"].worker, max_streams=200)
    moves = pool.round().plan.moves
    assert {move.trigger for move in moves} == {Trigger.CapacityChanged}
    pool.settle()
    assert pool.loads()["b"] > 20


def test_each_stream_changes_its_worker_once_a_period_and_the_loads_stay_even():
    pool = Pool({"a": 30, "b": 30, "c": 30}, 30)
    hour_s = 3600.0
    pool.rules = rules(policy=AT_ONCE, rotation_s=hour_s)
    pool.settle()
    before, changes = owners(pool), Counter()
    for _ in range(125):
        pool.pass_time(60.0)
        decision = pool.settle(4)
        now = owners(pool)
        changes.update(i for i, name in now.items() if before[i] != name)
        before = now
        assert all(abs(load - 10) <= pool.rules.policy.max_stream_difference for load in pool.loads().values())
    # Two hours and a bit.
    assert set(changes.values()) <= {2, 3}
    assert len(changes) == 30
    assert decision.rotated_through_s > pool.wall_s + pool.now - hour_s / 3


def test_turns_wait_for_approval_too():
    pool = Pool({"a": 30, "b": 30, "c": 30}, 30)
    pool.rules = rules(mode=Mode.Manual, policy=AT_ONCE, rotation_s=3600.0)
    pool.settle()
    before = owners(pool)
    pool.pass_time(610.0)
    proposal = pool.settle().proposal
    assert {move.trigger for move in proposal.moves} == {Trigger.Rotation}
    assert owners(pool) == before
    pool.pass_time(300.0)
    assert pool.settle().proposal == proposal
    pool.asked = Asked(approve=proposal.id)
    assert pool.round().answer.approved
    pool.asked = Asked()
    pool.settle()
    assert owners(pool) == before | {move.stream: move.target for move in proposal.moves}


def test_pins_and_exclusions_reach_the_planner():
    pool = Pool({"a": 30, "b": 30}, 10)
    bounds = {"pins": {"s0": "b"}, "excluded_streams": frozenset({"s1"}), "excluded_pairs": frozenset({("s2", "a")})}
    pool.rules = rules(policy=Policy(**bounds))
    decision = pool.settle()
    where = owners(pool)
    assert (where["s0"], where["s2"]) == ("b", "b")
    assert decision.unassigned == [("s1", "Excluded")]


def test_what_is_asked_twice_in_the_same_world_is_planned_once():
    pool = uneven(Mode.Manual)
    first = pool.settle()
    second = pool.round()
    assert second.plan is first.plan
    assert second.unassigned == first.unassigned
    member = pool.members["c"]
    member.worker = replace(member.worker, max_streams=20)
    assert pool.round().plan is not first.plan


@pytest.mark.parametrize(
    "change",
    [
        {"max_streams": 31},
        {"capabilities": frozenset({"audio_fingerprinting", "speech"})},
        {"location": "vienna"},
        {"drain": True},
        {"tampered": True},
        {"uid": "another"},
    ],
    ids=lambda change: next(iter(change)),  # a set is spelled anew in each process
)
def test_a_worker_that_changed_is_planned_anew(change):
    pool = Pool({"a": 30, "b": 30}, 30)
    first = pool.settle().plan
    pool.members["a"].worker = replace(pool.members["a"].worker, **change)
    assert pool.round().plan is not first


def test_a_catalog_that_was_read_anew_is_planned_anew():
    pool = Pool({"a": 30, "b": 30}, 30)
    first = pool.settle().plan
    pool.catalog = dict(pool.catalog)
    assert pool.round().plan is not first


def test_a_score_from_the_spec_is_used_where_performance_counts():
    pool = Pool({"a": 30, "b": 30}, 30)
    assert pool.settle().scores == {}
    pool.rules = rules(policy=Policy(strategy=Strategy.Performance))
    pool.members["a"].worker = replace(pool.members["a"].worker, score_percent=50)
    lease = pool.members["b"].lease
    pool.members["b"].lease = replace(lease, report=json.dumps({"processedCount": 1, "errorCount": 0}))
    assert pool.round().scores == {"a": 50, "b": 100}


@pytest.mark.parametrize(("newer", "older"), [("a", "b"), ("b", "a")])
def test_who_has_a_stream_twice_granted_is_the_worker_with_the_newer_token(newer, older):
    pool = Pool({"a": 30, "b": 30}, 10)
    pool.settle()
    stream = next(iter(pool.members[older].worker.assignment.grants))
    grant = pool.members[older].worker.assignment.grants[stream]
    again = replace(grant, token=Token(LEADER, 10_000))
    stored = pool.members[newer].worker.assignment
    edited = replace(stored, grants={**stored.grants, stream: again})
    pool.members[newer].worker = replace(pool.members[newer].worker, assignment=edited)
    decision = pool.round()
    assert decision.plan.target[stream] == newer
    assert [(w.worker, c.stream, c.reason) for w in decision.writes for c in w.changes] == [
        (older, stream, "DoubleHeld")
    ]
