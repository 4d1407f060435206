"""This project's planner, in the three steps that the benchmark knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.planner.worlds import World
from fingerv7.core.catalog import read_rows
from fingerv7.core.planner import Plan, plan


@dataclass(frozen=True, slots=True)
class Outcome:
    target: Mapping[str, str]
    lower_bound: int
    """Fewest moves of streams with a living owner, as the plan says."""


def prepare(world: World) -> World:
    """What the operator has in memory when the event is applied; not timed, and made anew for every run."""
    return world


def run(prepared: World) -> Plan:
    """Timed: up to a plan whose moves can be iterated."""
    return plan(prepared.streams, prepared.candidates, prepared.current, prepared.policy)


def inspect(answer: Plan) -> Outcome:
    return Outcome(answer.target, answer.lower_bound)


def read(rows: Iterable[Mapping[str, Any]]) -> object:
    """Timed as the event ROWS: from database rows to the form that the operator keeps in memory."""
    return read_rows(rows, identity="bench")
