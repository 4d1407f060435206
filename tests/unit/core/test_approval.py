"""What is proposed is named by its content, and only what was seen can be approved."""

from __future__ import annotations

import pytest

from fingerv7.api.balancing import Mode as ApiMode
from fingerv7.api.conditions import ApprovalReason
from fingerv7.core.approval import Mode, answer, mark, propose
from fingerv7.core.planner.model import Move, Plan, Trigger


def plan(*moves: Move) -> Plan:
    return Plan({}, moves, (), 40.0, 3.0, count_fewest=lambda: 1)


A = Move("s1", "w1", "w2", Trigger.Imbalance)
B = Move("s2", "w1", "w3", Trigger.NewWorker)


def test_the_id_is_made_of_the_moves_alone():
    one = propose(plan(A, B))
    assert one == propose(plan(B, A))
    assert one.digest.startswith(one.id)
    assert len(one.id) == 12
    relabelled = Move("s2", "w1", "w3", Trigger.CapacityChanged)
    assert propose(plan(A, relabelled)).id == one.id
    assert propose(plan(A)).id != one.id
    assert propose(plan(A, Move("s2", "w1", "w2", Trigger.NewWorker))).id != one.id


def test_repairs_alone_are_no_proposal():
    assert propose(plan()) is None
    assert propose(plan(Move("s", None, "w", Trigger.NewStream))) is None


@pytest.mark.parametrize(
    ("approve", "proposed", "mode", "reason"),
    [
        ("", True, Mode.Manual, None),
        ("right", True, Mode.Auto, None),
        ("right", True, Mode.Advisory, ApprovalReason.ADVISORY_ONLY),
        ("right", False, Mode.Manual, ApprovalReason.NOTHING_PROPOSED),
        ("wrong", True, Mode.Manual, ApprovalReason.PROPOSAL_CHANGED),
        ("right", True, Mode.Manual, ApprovalReason.APPROVED),
    ],
)
def test_only_the_present_proposal_can_be_approved(approve, proposed, mode, reason):
    proposal = propose(plan(A, B)) if proposed else None
    value = propose(plan(A, B)).id if approve == "right" else approve
    found = answer(value, proposal, mode)
    assert (found and found.reason) == reason
    assert found is None or (found.message and found.id == value)
    assert found is None or found.approved == (reason is ApprovalReason.APPROVED)


def test_a_refusal_says_what_would_be_accepted():
    proposal = propose(plan(A))
    assert proposal.id in answer("0123", proposal, Mode.Manual).message
    assert "set spec.balancing.mode to Manual" in answer("0123", proposal, Mode.Advisory).message


def test_a_long_value_is_remembered_by_a_digest():
    assert mark(" now ") == "now"
    assert mark("x" * 63) == "x" * 63
    assert mark("x" * 64) != mark("x" * 65)
    assert len(mark("x" * 1000)) <= 63


def test_the_api_knows_the_same_modes():
    assert {str(mode) for mode in Mode} == {str(mode) for mode in ApiMode}
