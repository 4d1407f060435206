"""This project's planner, in the three steps that the benchmark knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.planner.worlds import COLUMNS, World
from fingerv7.core.catalog import CatalogReader
from fingerv7.core.planner import Plan, Problem, StreamTable, pose, solve


@dataclass(frozen=True, slots=True)
class Outcome:
    target: Mapping[str, str]
    lower_bound: int
    """Fewest moves of streams with a living owner, as the plan says."""


def prepare(world: World) -> Problem:
    """What the operator has in memory when the event is applied: streams, workers and owners in columns; nothing of
    it is the result of an earlier plan. Not timed; `run` leaves it as it is.
    """
    return pose(StreamTable(world.streams), world.candidates, world.current, world.policy)


def run(prepared: Problem) -> Plan:
    """Timed: up to a plan whose moves can be iterated."""
    return solve(prepared)


def inspect(answer: Plan) -> Outcome:
    return Outcome(answer.target, answer.lower_bound)


def read(rows: Sequence[Sequence[Any]]) -> object:
    """Timed as the event ROWS: from database rows to the form that the operator keeps in memory."""
    reader = CatalogReader()
    reader.add_values(COLUMNS, rows)
    return StreamTable(reader.snapshot("bench").streams)
