"""Balancing that waits for consent: what is proposed, and what an approval of it is worth.

A proposal's id is derived from its moves alone. So it stays the same while the world does, survives a restart of the
operator without being remembered, and an approval can only ever apply what the user has seen.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum

from fingerv7.api.conditions import ApprovalReason
from fingerv7.core.planner.model import BALANCING, Move, Plan

ID_DIGITS = 12
MARK_LIMIT = 63
"""A status remembers so much of an annotation's value."""


class Mode(StrEnum):
    """What happens with moves for balance."""

    Auto = "Auto"
    Advisory = "Advisory"
    Manual = "Manual"


@dataclass(frozen=True, slots=True)
class Asked:
    """What users ask for by annotation and were not answered yet; empty for nothing."""

    approve: str = ""
    rebalance: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Moves for balance that nobody has made yet."""

    id: str
    digest: str
    moves: tuple[Move, ...]
    imbalance_before_percent: float
    imbalance_after_percent: float
    lower_bound: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an approval."""

    id: str
    """As the user wrote it."""
    reason: ApprovalReason
    message: str

    @property
    def approved(self) -> bool:
        return self.reason is ApprovalReason.APPROVED


def propose(plan: Plan) -> Proposal | None:
    """The moves of a plan as a proposal; None where none of them is for balance.

    A stream that finds a place only because others make room for it by moving for balance is part of it.
    """
    moves = tuple(sorted(plan.moves, key=lambda move: move.stream))
    if not any(move.trigger in BALANCING for move in moves):
        return None
    text = json.dumps([[move.stream, move.source, move.target] for move in moves], separators=(",", ":"))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Proposal(
        digest[:ID_DIGITS],
        digest,
        moves,
        plan.imbalance_before_percent,
        plan.imbalance_after_percent,
        plan.lower_bound,
    )


def answer(approve: str, proposal: Proposal | None, mode: Mode) -> Answer | None:
    """What the annotation's value gets for an answer, `proposal` being the present one; None where it gets none."""
    if not approve or mode is Mode.Auto:
        return None
    if mode is Mode.Advisory:
        message = "mode Advisory only shows what would be moved; set spec.balancing.mode to Manual to approve it"
        return Answer(approve, ApprovalReason.ADVISORY_ONLY, message)
    if proposal is None:
        return Answer(
            approve, ApprovalReason.NOTHING_PROPOSED, f"nothing is proposed now, so {approve} moves nothing"
        )
    if approve != proposal.id:
        message = f"{approve} is not the present proposal; look at it again and approve {proposal.id}"
        return Answer(approve, ApprovalReason.PROPOSAL_CHANGED, message)
    count = len(proposal.moves)
    return Answer(approve, ApprovalReason.APPROVED, f"{count} {'stream moves' if count == 1 else 'streams move'}")


def mark(value: str) -> str:
    """An annotation's value as a status remembers it: whole, or what names it where it is too long."""
    value = value.strip()
    if len(value) <= MARK_LIMIT:
        return value
    return f"sha256-{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
