"""What a plan comes to, as values that the tables and the JSON both print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fingerv7.core.catalog import Snapshot
from fingerv7.core.explain import because, explain
from fingerv7.core.planner import Plan, plan
from fingerv7.core.planner.model import BALANCING, Candidate, Explanation, Move, Policy
from fingerv7.core.simulation import (
    ChangeError,
    Holding,
    World,
    apply,
    holdings,
    load_percent,
    owned_moves,
    parse,
    replay,
)

FOLLOWING: Final = 50
"""Rounds that are looked ahead at most."""


@dataclass(frozen=True, slots=True)
class Given:
    """Where everything came from."""

    streams: str
    """Their origin, in words."""
    workers: str
    snapshot: Snapshot
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A worker before and after."""

    name: str
    location: str
    capacity: int
    capacity_before: int | None
    streams: int
    streams_before: int
    load: float
    load_before: float
    gained: int
    lost: int
    state: str
    """`lost`, `joined`, `draining`, `not ready`, or nothing to tell."""


@dataclass(frozen=True, slots=True)
class Following:
    """The rounds of balancing that come after this one."""

    rounds: int
    moves: int
    imbalance_percent: float
    complete: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    before: World
    after: World
    """With the changes, before the moves."""
    changes: Sequence[str]
    plan: Plan
    policy: Policy

    @property
    def triggers(self) -> Counter[str]:
        return Counter(str(move.trigger) for move in self.plan.moves)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(str(unplaced.reason) for unplaced in self.plan.unplaced)

    @property
    def owned_moves(self) -> int:
        return owned_moves(self.plan.moves, self.after.workers)

    @property
    def stopped(self) -> int:
        """Streams that workers hold and that are not wanted any more."""
        return sum(stream_id not in self.after.streams for stream_id in self.before.owners)

    def why(self, move: Move) -> str:
        return because(move, self.after.streams, self.after.workers, self.policy, self.plan)

    def explain(self, stream_id: str) -> Explanation:
        world = self.after
        return explain(stream_id, world.streams, world.workers, world.owners, self.plan, self.policy)

    def rows(self) -> Iterator[Row]:
        """By name."""
        before, after = self.before, self.after
        # What a worker holds of streams that are not wanted any more is not known by weight, and ends anyway.
        had = holdings({**before.streams, **after.streams}, before.owners)
        has = holdings(after.streams, self.plan.target)
        gained = Counter(move.target for move in self.plan.moves)
        lost = Counter(move.source for move in self.plan.moves)
        nothing = Holding(0, 0)
        for name in sorted(before.workers.keys() | after.workers.keys() | had.keys()):
            old, new = before.workers.get(name), after.workers.get(name)
            worker = new or old
            yield Row(
                name=name,
                location=worker.location if worker else "",
                capacity=new.max_streams if new else 0,
                capacity_before=old.max_streams if old else None,
                streams=has.get(name, nothing).streams,
                streams_before=had.get(name, nothing).streams,
                load=load_percent(new, has.get(name)) if new else 0.0,
                load_before=load_percent(old, had.get(name)) if old else 0.0,
                gained=gained[name],
                lost=lost[name],
                state=_state(old, new),
            )

    def following(self) -> Following | None:
        """None where this round is all there is."""
        if self.plan.balanced and not any(move.trigger in BALANCING for move in self.plan.moves):
            return None
        world = replace(self.after, owners=self.plan.target)
        rounds = moves = 0
        imbalance = self.plan.imbalance_after_percent
        for step in replay(world, (), self.policy, cooldown_ms=0):
            if step.moves:
                rounds, moves, imbalance = rounds + 1, moves + len(step.moves), step.imbalance_after_percent
            if rounds == FOLLOWING:
                return Following(rounds, moves, imbalance, complete=False)
        return Following(rounds, moves, imbalance, complete=True) if rounds else None


def _state(before: Candidate | None, after: Candidate | None) -> str:
    if after is None:
        return "lost"
    if not after.keeps:
        return "draining"
    if not after.eligible:
        return "not ready"
    return "" if before else "joined"


def placed(world: World, policy: Policy) -> World:
    """Every stream where the planner puts it."""
    return replace(world, owners=plan(world.streams, world.workers, world.owners, policy).target)


def predict(world: World, phrases: Sequence[str], policy: Policy) -> Outcome:
    """Raises ChangeError, which names the change."""
    after = changed(world, phrases)
    return Outcome(world, after, phrases, plan(after.streams, after.workers, after.owners, policy), policy)


def changed(world: World, phrases: Sequence[str]) -> World:
    """Raises ChangeError, which names the change."""
    for phrase in phrases:
        change = parse(phrase)
        try:
            world = apply(world, change)
        except ChangeError as error:
            raise ChangeError(f"{phrase!r}: {error}") from None
    return world
