"""A plan as tables, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from fingerv7.cli.planning.arguments import ALL
from fingerv7.cli.planning.outcome import Following, Given, Outcome, Row
from fingerv7.contract import format_duration
from fingerv7.core.planner.model import Explanation

_ROWS: Final = 40
"""Of a larger fleet only the workers that change most are listed."""
_LISTED: Final = 20
_EXAMPLES: Final = 5


def render(
    outcome: Outcome, given: Given, explanations: Sequence[Explanation], *, moves: int, cooldown_ms: int
) -> Iterator[str]:
    yield from heading(given, outcome.changes, outcome.after.workers.values())
    yield ""
    yield from _workers(list(outcome.rows()))
    yield ""
    yield from _totals(outcome, cooldown_ms)
    if outcome.plan.moves and moves:
        yield ""
        yield from _moves(outcome, moves)
    for explanation in explanations:
        yield ""
        yield from _explanation(explanation)


def heading(given: Given, changes: Sequence[str], workers: Iterable[object]) -> Iterator[str]:
    snapshot = given.snapshot
    quarantined = Counter(row.reason for row in snapshot.quarantined)
    parts = [count(len(snapshot.streams), "stream")]
    if quarantined:
        parts.append(f"{count(sum(quarantined.values()), 'row')} not served ({counts(quarantined)})")
    if snapshot.inactive:
        parts.append(f"{snapshot.inactive} inactive")
    if snapshot.duplicate_urls:
        parts.append(f"{snapshot.duplicate_urls} with the URL of another")
    yield f"Streams    {', '.join(parts)}; from {given.streams}"
    number = sum(1 for _ in workers)
    yield f"Workers    {count(number, 'worker')}{' after the changes' if changes else ''}; from {given.workers}"
    if changes:
        yield f"Changes    {'; '.join(changes)}"
    for note in given.notes:
        yield f"Note       {note}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> Iterator[str]:
    """Columns as wide as they need to be; those in `right` are flush right."""
    lines = [header, *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(header))]
    flush = set(right)
    for line in lines:
        cells = (
            cell.rjust(width) if n in flush else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def counts(by_reason: Mapping[str, int]) -> str:
    """`NoCapacity 12, Excluded 1`, the most frequent first."""
    ordered = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {number}" for reason, number in ordered)


# --- parts ------------------------------------------------------------------------------------------------


def _workers(rows: Sequence[Row]) -> Iterator[str]:
    shown = rows
    if len(rows) > _ROWS:
        shown = sorted(rows, key=lambda row: (-(row.gained + row.lost) - bool(row.state), row.name))[:_LISTED]
        shown = sorted(shown, key=lambda row: row.name)
    located = any(row.location for row in shown)
    cells = []
    for row in shown:
        capacity = _change(row.capacity_before, row.capacity if row.state != "lost" else None)
        before = "" if row.state == "joined" else f"{row.load_before:.0f}"
        after = "" if row.state == "lost" else f"{row.load:.0f}"
        flow = " ".join(part for part in (row.gained and f"+{row.gained}", row.lost and f"-{row.lost}") if part)
        cells.append(
            (
                row.name,
                *([row.location] if located else []),
                capacity,
                str(row.streams_before),
                str(row.streams) if row.state != "lost" else "",
                flow,
                before,
                after,
                row.state,
            )
        )
    header = (
        "WORKER",
        *(["LOCATION"] if located else []),
        "CAPACITY",
        "STREAMS",
        "AFTER",
        "MOVES",
        "LOAD%",
        "AFTER",
        "",
    )
    first = 2 if located else 1
    yield from table(header, cells, right=range(first, first + 6))
    if len(shown) < len(rows):
        names = {row.name for row in shown}
        others = [row for row in rows if row.name not in names]
        loads = [row.load for row in others if row.state != "lost"]
        change = sum(row.gained + row.lost for row in others)
        yield (
            f"… and {len(others)} others, loads {min(loads, default=0):.0f} to {max(loads, default=0):.0f} %"
            f"{f', {change} moves' if change else ', without moves'} (all of them with -o json)"
        )


def _change(before: int | None, after: int | None) -> str:
    if after is None:
        return str(before or "")
    return str(after) if before in (None, after) else f"{before} → {after}"


def _totals(outcome: Outcome, cooldown_ms: int) -> Iterator[str]:
    plan = outcome.plan
    moves = len(plan.moves)
    yield f"Moves      {f'{moves}: {counts(outcome.triggers)}' if moves else 'none'}"
    if outcome.owned_moves or plan.lower_bound:
        yield f"           {outcome.owned_moves} away from a live worker; at least {plan.lower_bound} are needed"
    if outcome.stopped:
        yield f"Stopped    {count(outcome.stopped, 'stream')} that workers hold and that are not wanted any more"
    tolerance = "within" if plan.balanced else "outside"
    yield (
        f"Imbalance  {plan.imbalance_before_percent:.1f} → {plan.imbalance_after_percent:.1f} points from the mean "
        f"load, {tolerance} the tolerance"
    )
    if plan.unplaced:
        yield f"Unplaced   {len(plan.unplaced)}: {counts(outcome.reasons)}"
        for reason in sorted(outcome.reasons):
            ids = [unplaced.stream for unplaced in plan.unplaced if unplaced.reason == reason]
            more = f" and {len(ids) - _EXAMPLES} more" if len(ids) > _EXAMPLES else ""
            yield f"           {reason}: {', '.join(ids[:_EXAMPLES])}{more}"
    else:
        yield "Unplaced   none"
    if following := outcome.following():
        yield f"Then       {_following(following, cooldown_ms)}"


def _following(following: Following, cooldown_ms: int) -> str:
    rounds = count(following.rounds, "more round")
    at_least = "" if following.complete else "at least "
    return (
        f"{at_least}{rounds} of balancing, {format_duration(cooldown_ms)} apart, with "
        f"{count(following.moves, 'move')} in all; imbalance then {following.imbalance_percent:.1f}"
    )


def _moves(outcome: Outcome, at_most: int) -> Iterator[str]:
    moves = outcome.plan.moves
    shown = moves if at_most == ALL else moves[:at_most]
    yield from table(
        ("STREAM", "FROM", "TO", "TRIGGER", "WHY"),
        [(move.stream, move.source or "", move.target, str(move.trigger), outcome.why(move)) for move in shown],
    )
    if len(shown) < len(moves):
        yield f"… and {len(moves) - len(shown)} more moves (--moves all)"


def _explanation(explanation: Explanation) -> Iterator[str]:
    where = f"on {explanation.worker}" if explanation.worker else "on no worker"
    yield f"Stream {explanation.stream} {where}: {explanation.why.removeprefix('on no worker: ')}"
    for alternative in explanation.alternatives:
        yield f"  not {alternative.worker}: {alternative.why_not}"
