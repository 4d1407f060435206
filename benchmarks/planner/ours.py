"""This project's planner, in the steps that the benchmark knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.planner.worlds import COLUMNS, World
from fingerv7.core.catalog import CatalogReader
from fingerv7.core.planner import Candidate, Holdings, Owners, Plan, Policy, StreamTable, WorkerTable, plan


@dataclass(frozen=True, slots=True)
class Outcome:
    target: Mapping[str, str]
    lower_bound: int
    """Fewest moves of streams with a living owner, as the plan says."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the operator has in memory when the event was applied: the catalog, the workers and who has what, in
    columns. Nothing of it is the result of an earlier plan.
    """

    streams: StreamTable
    workers: WorkerTable
    owners: Owners
    policy: Policy


@dataclass(frozen=True, slots=True)
class Change:
    """The columns before the event, and what they are made from after it."""

    workers: WorkerTable
    holdings: Holdings
    streams: StreamTable
    """After the event: making it is part of reading the catalog."""
    candidates: Mapping[str, Candidate]
    held: Mapping[str, Mapping[str, str]]
    """Worker → what it has."""


def prepare(world: World) -> Prepared:
    """Not timed; `run` leaves it as it is."""
    table = StreamTable(world.streams)
    return Prepared(table, WorkerTable(world.candidates), Owners.of(table, world.current), world.policy)


def run(prepared: Prepared) -> Plan:
    """Timed: up to a plan whose moves can be iterated."""
    return plan(prepared.streams, prepared.workers, prepared.owners, prepared.policy)


def change(world: World) -> Change:
    """Not timed."""
    before = world.before or world
    held: dict[str, dict[str, str]] = {name: {} for name in before.candidates}
    for stream, owner in world.current.items():
        held[owner][stream] = owner
    holdings, table = Holdings(), StreamTable(world.streams)
    holdings.look(table if world.streams == before.streams else StreamTable(before.streams), held)
    return Change(WorkerTable(before.candidates), holdings, table, world.candidates, held)


def apply(it: Change) -> object:
    """Timed by itself: the event reaches the columns of the workers and of the owners."""
    return WorkerTable(it.candidates, it.workers), it.holdings.look(it.streams, it.held)


def inspect(answer: Plan) -> Outcome:
    return Outcome(answer.target, answer.lower_bound)


def read(rows: Sequence[Sequence[Any]]) -> object:
    """Timed as the event ROWS: from database rows to the form that the operator keeps in memory."""
    reader = CatalogReader()
    reader.add_values(COLUMNS, rows)
    return StreamTable(reader.snapshot("bench").streams)
