"""A replayed scenario as a table over time, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fingerv7.cli.planning.outcome import Given
from fingerv7.cli.planning.text import count, counts, heading, table
from fingerv7.contract import format_duration
from fingerv7.core.simulation import Step


def render(steps: Sequence[Step], given: Given, changes: Sequence[str]) -> Iterator[str]:
    yield from heading(given, changes, steps[0].loads)
    yield ""
    yield from table(
        ("TIME", "EVENT", "MOVES", "BY TRIGGER", "OWNED", "BOUND", "UNPLACED", "IMBALANCE", "LOAD%"),
        [_row(step) for step in steps],
        right=(0, 2, 4, 5, 6),
    )
    yield ""
    yield from _totals(steps)


def _row(step: Step) -> tuple[str, ...]:
    loads = step.open.values()
    return (
        format_duration(step.at_ms),
        "; ".join(step.events) or ("start" if step.at_ms == 0 else "balancing goes on"),
        str(len(step.moves)),
        counts(step.triggers),
        str(step.owned_moves),
        str(step.lower_bound),
        str(len(step.unplaced)),
        f"{step.imbalance_before_percent:.1f} → {step.imbalance_after_percent:.1f}",
        f"{min(loads, default=0):.0f}–{max(loads, default=0):.0f}",
    )


def _totals(steps: Sequence[Step]) -> Iterator[str]:
    """The first step is how things were, and no part of what happened."""
    happened = steps[1:]
    owned, bound = sum(step.owned_moves for step in happened), sum(step.lower_bound for step in happened)
    yield (
        f"{count(sum(len(step.moves) for step in happened), 'move')} after the start, {owned} of them away from a "
        f"live worker where at least {bound} were needed."
    )
    last = steps[-1]
    if last.unplaced:
        yield f"In the end {count(len(last.unplaced), 'stream')} on no worker: {counts(last.reasons)}."
    else:
        yield f"In the end every one of {count(last.streams, 'stream')} has a worker."
