"""Each annotation is answered once, and a restart forgets nothing of it."""

from __future__ import annotations

from dataclasses import replace

from fingerv7.api.conditions import ApprovalReason
from fingerv7.api.streampool import StreamPool
from fingerv7.core.approval import Answer, Asked, propose
from fingerv7.core.planner.model import Move, Plan, Trigger
from fingerv7.core.rounds import Decision
from fingerv7.runtime.consent import EXAMPLES, Consent

MOVES = tuple(Move(f"s{n:02}", "a" if n else None, "b", Trigger.Imbalance) for n in range(30))
PLAN = Plan({}, MOVES, (), 40.2, 2.9, count_fewest=lambda: 29)
PROPOSAL = propose(PLAN)
NOTHING = Decision([], 0.0, {}, {}, {}, {}, {}, [], frozenset(), frozenset(), None, judged=True)
PROPOSES = replace(NOTHING, proposal=PROPOSAL)


def pool(status=None, **annotations: str) -> StreamPool:
    source = {"postgres": {"secretRef": {"name": "streams-db"}, "table": "streams"}}
    return StreamPool.parse(
        {
            "kind": "StreamPool",
            "metadata": {"name": "radio", "annotations": {f"fingerv7.io/{k}": v for k, v in annotations.items()}},
            "spec": {"source": source},
            "status": {k: v for k, v in (status or {}).items() if v is not None},
        }
    )


def decided(consent: Consent, decision: Decision, *, complete: bool = True, at: str = "2026-01-02T03:04:05Z") -> None:
    consent.decided(decision, consent.asked, complete=complete, timestamp=at)


def reasons(consent: Consent) -> list[str]:
    return [news.reason for news in consent.take_news()]


def answer(value: str, reason: ApprovalReason = ApprovalReason.APPROVED) -> Decision:
    return replace(NOTHING, answer=Answer(value, reason, "because"))


def test_a_proposal_is_told_once_and_keeps_its_time():
    consent = Consent(pool())
    decided(consent, PROPOSES)
    shown = consent.status()["proposal"]
    assert reasons(consent) == ["RebalanceProposed"]
    decided(consent, replace(NOTHING, judged=False))
    decided(consent, PROPOSES, at="2027-01-02T03:04:05Z")
    assert consent.status()["proposal"] == shown
    assert reasons(consent) == []
    assert (shown["moves"], shown["imbalanceBefore"], shown["imbalanceAfter"]) == (30, 40, 3)
    assert len(shown["examples"]) == EXAMPLES
    assert shown["examples"][0] == {"stream": "s00", "to": "b", "reason": "Imbalance"}
    assert shown["examples"][1]["from"] == "a"
    StreamPool.parse(pool(consent.status()).dump())


def test_a_restart_goes_on_with_the_proposal_that_is_shown():
    before = Consent(pool())
    decided(before, PROPOSES)
    after = Consent(pool(before.status()))
    assert after.shows_proposal
    decided(after, PROPOSES, at="2027-01-02T03:04:05Z")
    assert after.status() == before.status()
    assert reasons(after) == []


def test_an_approval_is_answered_once_until_the_annotation_is_removed():
    consent = Consent(pool(approve="0123"))
    assert consent.asked == Asked(approve="0123")
    decided(consent, answer("0123"))
    assert reasons(consent) == ["RebalanceApproved"]
    assert consent.status()["approval"]["outcome"] == "Approved"
    assert consent.asked == Asked()
    again = Consent(pool(consent.status(), approve="0123"))
    assert again.asked == Asked()
    again.look(pool())
    assert again.status()["approval"] is None
    again.look(pool(approve="0123"))
    assert again.asked == Asked(approve="0123")


def test_another_value_asks_anew_and_the_first_one_may_come_back():
    consent = Consent(pool(approve="0123"))
    decided(consent, answer("0123"))
    consent.look(pool(approve="4567"))
    assert consent.asked == Asked(approve="4567")
    decided(consent, answer("4567", ApprovalReason.PROPOSAL_CHANGED))
    assert consent.status()["approval"] == {
        "id": "4567",
        "outcome": "Refused",
        "reason": "ProposalChanged",
        "message": "because",
        "time": "2026-01-02T03:04:05Z",
    }
    assert reasons(consent) == ["RebalanceApproved", "ProposalRefused"]
    consent.look(pool(approve="0123"))
    assert consent.asked == Asked(approve="0123")


def test_a_request_is_answered_when_its_moves_have_begun():
    consent = Consent(pool(rebalance="now"))
    balances = replace(NOTHING, rebalanced=PLAN, balances=True)
    decided(consent, balances, complete=False)
    assert consent.asked == Asked(rebalance="now")
    decided(consent, balances)
    assert consent.asked == Asked()
    (news,) = consent.take_news()
    assert news.message == "30 moves were begun (asked for by the annotation fingerv7.io/rebalance=now)"
    assert Consent(pool(consent.status(), rebalance="now")).asked == Asked()
    assert Consent(pool(consent.status(), rebalance="2026-01-02")).asked == Asked(rebalance="2026-01-02")
    assert Consent(pool(consent.status())).status()["answeredRebalance"] is None


def test_a_request_that_leads_to_a_proposal_or_to_nothing_says_so():
    consent = Consent(pool(rebalance="now"))
    decided(consent, replace(PROPOSES, rebalanced=PLAN))
    assert f"proposal {PROPOSAL.id} with 30 moves" in consent.take_news()[-1].message
    consent.look(pool(rebalance="again"))
    decided(consent, replace(NOTHING, rebalanced=PLAN))
    assert "nothing to move, the imbalance is 3 %" in consent.take_news()[-1].message


def test_a_pool_that_is_not_annotated_asks_for_nothing():
    assert Consent(pool()).asked == Asked()
    assert Consent(pool(approve=" ", rebalance="")).asked == Asked()
