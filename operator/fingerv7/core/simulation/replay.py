"""One event after the other, each answered as the operator answers: repairs at once, balancing after the cooldown.

Hand-overs take no time here: what a plan wants is so a moment later. Everything else that takes time in a fleet (the
takeover of a silent worker, a drain that waits for room) happens at the event's own time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fingerv7.contract import format_duration
from fingerv7.core.planner import plan
from fingerv7.core.planner.model import BALANCING, Move, Plan, Policy, Unplaced
from fingerv7.core.simulation.changes import Change, ChangeError, apply
from fingerv7.core.simulation.phrases import DRIFT_STEPS, Drift, parse_event
from fingerv7.core.simulation.world import World, holdings, load_percent, owned_moves

MAX_ROUNDS: Final = 1_000
"""Rounds without an event in between. A fleet that is not quiet by then never will be."""


@dataclass(frozen=True, slots=True)
class Event:
    at_ms: int
    change: Change
    text: str
    """In words, for people."""
    told: bool = True
    """Worth a step of its own even if nothing moves."""


@dataclass(frozen=True, slots=True)
class Step:
    """A round that something happened in: events, moves, or both. The first one is the world as it was given."""

    at_ms: int
    events: tuple[str, ...]
    moves: Sequence[Move]
    unplaced: Sequence[Unplaced]
    lower_bound: int
    owned_moves: int
    imbalance_before_percent: float
    imbalance_after_percent: float
    balanced: bool
    streams: int
    loads: Mapping[str, float]
    """Worker → load in percent after the moves."""
    open: Mapping[str, float]
    """Those of the workers that may be given something: the ones that loads are evened out over."""

    @property
    def triggers(self) -> Counter[str]:
        return Counter(str(move.trigger) for move in self.moves)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(str(unplaced.reason) for unplaced in self.unplaced)


def replay(
    world: World,
    events: Iterable[Event],
    policy: Policy,
    *,
    cooldown_ms: int,
    until_ms: int | None = None,
) -> Iterator[Step]:
    """Every round in which something happened, until nothing is left to do or `until_ms` has come.

    Events of one moment are one round. Raises ChangeError, at the event that cannot be.
    """
    waiting = sorted(events, key=lambda event: event.at_ms)
    now, tell, rounds = 0, True, 0
    last_balance: int | None = None
    texts: tuple[str, ...] = ()
    while until_ms is None or now <= until_ms:
        cooled = last_balance is None or now - last_balance >= cooldown_ms
        may_balance = policy.may_balance and cooled
        planned = plan(world.streams, world.workers, world.owners, replace(policy, may_balance=may_balance))
        if tell or planned.moves:
            yield _step(now, texts, world, planned)
        balances = any(move.trigger in BALANCING for move in planned.moves)
        world = _after(world, planned, evened=may_balance and not balances)
        if balances:
            last_balance = now
        quiet = not policy.may_balance or (may_balance and not balances)

        tell, texts, rounds = False, (), rounds + 1
        cooled_at = (
            None if quiet or rounds > MAX_ROUNDS else (now if last_balance is None else last_balance) + cooldown_ms
        )
        if cooled_at is not None and not (waiting and waiting[0].at_ms <= cooled_at):
            now = cooled_at
            continue
        if not waiting:
            return
        now, rounds = waiting[0].at_ms, 0
        while waiting and waiting[0].at_ms == now:
            event = waiting.pop(0)
            world = _applied(world, event)
            texts, tell = (*texts, event.text), tell or event.told


def timeline(at_ms: int, phrase: str) -> Iterator[Event]:
    """The events that a phrase stands for: one, or several where something drifts. Raises ChangeError."""
    change = parse_event(phrase)
    if not isinstance(change, Drift):
        yield Event(at_ms, change, phrase)
        return
    subject = phrase.partition("..")[0].rpartition(" ")[0]
    for n, (after_ms, score) in enumerate(change.steps()):
        text = f"{subject} is {score.percent} now" if n else phrase
        yield Event(at_ms + after_ms, score, text, told=n in (0, DRIFT_STEPS))


def _applied(world: World, event: Event) -> World:
    try:
        return apply(world, event.change)
    except ChangeError as error:
        raise ChangeError(f"at {format_duration(event.at_ms)}: {event.text!r}: {error}") from None


def _after(world: World, planned: Plan, *, evened: bool) -> World:
    workers = world.workers
    if evened and any(worker.capacity_changed for worker in workers.values()):
        workers = {name: replace(worker, capacity_changed=False) for name, worker in workers.items()}
    return replace(world, workers=workers, owners=planned.target)


def _step(at_ms: int, texts: tuple[str, ...], world: World, planned: Plan) -> Step:
    held = holdings(world.streams, planned.target)
    loads = {name: load_percent(worker, held.get(name)) for name, worker in sorted(world.workers.items())}
    return Step(
        at_ms=at_ms,
        events=texts,
        moves=planned.moves,
        unplaced=planned.unplaced,
        lower_bound=planned.lower_bound,
        owned_moves=owned_moves(planned.moves, world.workers),
        imbalance_before_percent=planned.imbalance_before_percent,
        imbalance_after_percent=planned.imbalance_after_percent,
        balanced=planned.balanced,
        streams=len(world.streams),
        loads=loads,
        open={n: load for n, load in loads.items() if world.workers[n].eligible and world.workers[n].keeps},
    )
