"""What users say about balancing by annotation, and what they are told in return.

Annotations are the users': the operator reads them and never edits them. So that each value works once, the status
remembers which one was answered; removing the annotation, or writing another value, asks anew. Everything here comes
back from the StreamPool after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fingerv7.api.pool_status import ApprovalOutcome
from fingerv7.api.streampool import StreamPool
from fingerv7.contract import APPROVE, REBALANCE
from fingerv7.core.approval import Answer, Asked, Proposal, mark
from fingerv7.core.planner import Plan
from fingerv7.core.rounds import Decision

Json = dict[str, Any]
EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class News:
    """Something to be told once, as an Event."""

    reason: str
    message: str
    is_warning: bool = False


class Consent:
    """The proposal, the approval and the request for balance of one pool."""

    def __init__(self, pool: StreamPool) -> None:
        status = pool.status
        self._name = pool.metadata.name
        self._proposal: Json | None = status.proposal.dump() if status.proposal else None
        self._approval: Json | None = status.approval.dump() if status.approval else None
        self._answered = status.answered_rebalance or ""
        self._approve = self._rebalance = ""
        self._news: list[News] = []
        self.look(pool)

    def look(self, pool: StreamPool) -> None:
        """The annotations as they are now. One that was removed may be used again with the same value."""
        annotations = pool.metadata.annotations
        self._approve, self._rebalance = mark(annotations.get(APPROVE, "")), mark(annotations.get(REBALANCE, ""))
        if not self._approve:
            self._approval = None
        if not self._rebalance:
            self._answered = ""

    @property
    def asked(self) -> Asked:
        """What waits for an answer."""
        answered = self._approval["id"] if self._approval else ""
        return Asked(
            approve="" if self._approve == answered else self._approve,
            rebalance="" if self._rebalance == self._answered else self._rebalance,
        )

    @property
    def shows_proposal(self) -> bool:
        return self._proposal is not None

    def decided(self, decision: Decision, asked: Asked, *, complete: bool, timestamp: str) -> None:
        """A round was carried out, and all of its writes were accepted or not (`complete`).

        `asked` is what it was asked. A request for balance is answered when the moves it led to have begun.
        """
        if decision.judged:
            self._propose(decision.proposal, timestamp)
        if decision.answer:
            self._answer(decision.answer, timestamp)
        if decision.rebalanced and (complete or not decision.balances):
            self._answered = asked.rebalance
            self._news.append(_requested(decision, decision.rebalanced, asked.rebalance))

    def status(self) -> Json:
        """The fields of the StreamPool's status; null takes out what is no more."""
        return {
            "proposal": self._proposal,
            "approval": self._approval,
            "answeredRebalance": self._answered or None,
        }

    def take_news(self) -> list[News]:
        """What has happened since this was last asked."""
        news, self._news = self._news, []
        return news

    def _propose(self, proposal: Proposal | None, timestamp: str) -> None:
        if proposal is None:
            self._proposal = None
        elif self._proposal is None or self._proposal["id"] != proposal.id:
            self._proposal = _shown(proposal, timestamp)
            message = (
                f"{_moves(len(proposal.moves))} would bring the imbalance from "
                f"{proposal.imbalance_before_percent:.0f} % to {proposal.imbalance_after_percent:.0f} % "
                f"(proposal {proposal.id})"
            )
            self._news.append(News("RebalanceProposed", message))

    def _answer(self, answer: Answer, timestamp: str) -> None:
        self._approval = {
            "id": answer.id,
            "outcome": str(ApprovalOutcome.APPROVED if answer.approved else ApprovalOutcome.REFUSED),
            "reason": str(answer.reason),
            "message": answer.message,
            "time": timestamp,
        }
        if answer.approved:
            self._news.append(News("RebalanceApproved", f"proposal {answer.id}: {answer.message}"))
        else:
            self._news.append(News("ProposalRefused", answer.message, is_warning=True))


def _shown(proposal: Proposal, timestamp: str) -> Json:
    return {
        "id": proposal.id,
        "digest": proposal.digest,
        "moves": len(proposal.moves),
        "imbalanceBefore": round(proposal.imbalance_before_percent),
        "imbalanceAfter": round(proposal.imbalance_after_percent),
        "lowerBound": proposal.lower_bound,
        "time": timestamp,
        "examples": [
            {
                "stream": move.stream,
                **({"from": move.source} if move.source else {}),
                "to": move.target,
                "reason": str(move.trigger),
            }
            for move in proposal.moves[:EXAMPLES]
        ],
    }


def _requested(decision: Decision, plan: Plan, value: str) -> News:
    asked = f"asked for by the annotation {REBALANCE}={value}"
    if decision.balances:
        outcome = f"{_moves(len(plan.moves))} {'was' if len(plan.moves) == 1 else 'were'} begun"
    elif decision.proposal:
        outcome = f"proposal {decision.proposal.id} with {_moves(len(decision.proposal.moves))}"
    else:
        outcome = f"nothing to move, the imbalance is {plan.imbalance_after_percent:.0f} %"
    return News("RebalanceRequested", f"{outcome} ({asked})")


def _moves(count: int) -> str:
    return f"{count} {'move' if count == 1 else 'moves'}"
