"""What is kept in columns from round to round says what a dictionary made anew would say."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerv7.core.planner import Holdings, Owners, Plan, StreamTable, WorkerTable, plan

from .worlds import STREAMS, WORKERS, World, draw_worker, fleet, held, law, streams, worlds

SOME_STREAMS = st.frozensets(st.sampled_from(STREAMS[:8]), max_size=5)
CHANGES = st.lists(st.tuples(st.sampled_from(WORKERS), st.none() | SOME_STREAMS), max_size=4)


@st.composite
def fleets_before(draw: st.DrawFn, world: World) -> WorkerTable:
    """Workers of whom some are others today, some are gone and some were not there yet."""
    was = dict(world.candidates)
    for name in draw(st.lists(st.sampled_from(WORKERS), max_size=3)):
        if draw(st.booleans()):
            was[name] = draw_worker(draw, name)
        else:
            was.pop(name, None)
    return WorkerTable(was)


def facts(done: Plan) -> list[object]:
    loads = dict(done.loads_before), dict(done.loads_after)
    imbalance = done.imbalance_before_percent, done.imbalance_after_percent
    return [dict(done.target), list(done.moves), done.unplaced, done.lower_bound, done.balanced, imbalance, loads]


@law
@given(st.data(), worlds())
def test_a_plan_from_columns_is_the_plan_from_dictionaries(data: st.DataObject, world: World):
    table = StreamTable(world.streams)
    workers = WorkerTable(world.candidates, data.draw(fleets_before(world)))
    assert dict(workers) == dict(world.candidates)
    done = plan(table, workers, Owners.of(table, world.current), world.policy)
    assert facts(done) == facts(world.plan())


@law
@given(st.lists(CHANGES, min_size=1, max_size=5), st.integers(0, 8))
def test_owners_kept_from_round_to_round_are_those_looked_up_anew(rounds: list, known: int):
    """The table knows some of the streams only, and changes before the last round."""
    kept, held = Holdings(), {}
    table = StreamTable(streams(known))
    for n, changes in enumerate(rounds, 1):
        table = StreamTable(streams(8 - known)) if n == len(rounds) else table
        held = {**held, **{name: None if some is None else dict.fromkeys(some) for name, some in changes}}
        held = {name: some for name, some in held.items() if some is not None}
        owners, several = kept.look(table, held)
        assert dict(owners) == dict(Holdings().look(table, dict(sorted(held.items(), reverse=True)))[0])
        assert all(i in held[name] for i, name in owners.items())
        holders = Counter(i for some in held.values() for i in some if i in table.index)
        assert owners.keys() == holders.keys()
        assert several == sorted(i for i, count in holders.items() if count > 1)


def test_workers_that_are_the_same_objects_are_taken_over_and_others_are_not():
    last = WorkerTable(fleet(3, 4, 5))
    same = WorkerTable(dict(last.workers), last)
    assert same.numbers("max_streams").base is last.numbers("max_streams").base
    changed = WorkerTable({**last.workers, "w1": fleet(0, 9)["w1"]}, last)
    assert changed.numbers("max_streams").tolist() == [3, 9, 5]
    assert last.numbers("max_streams").tolist() == [3, 4, 5]


def test_owners_are_a_mapping():
    table = StreamTable(streams(4))
    owners = Owners.of(table, {**held(1, 2), "deleted": "w0"})
    assert owners == {"s0000": "w0", "s0001": "w1", "s0002": "w1"}
    assert list(owners) == ["s0000", "s0001", "s0002"]
    assert len(owners) == 3
    assert owners.get("s0003") is None
    assert owners.get("deleted") is None
    assert Owners.of(table, owners) is owners


def test_owners_beside_another_table_are_looked_up_in_it():
    table, other = StreamTable(streams(4)), StreamTable(streams(2))
    assert Owners.of(other, Owners.of(table, held(1, 2))) == {"s0000": "w0", "s0001": "w1"}


def test_nobody_changes_owners():
    owners = Owners.of(StreamTable(streams(4)), held(1, 2))
    with pytest.raises(ValueError, match="read-only"):
        owners.codes[0] = 1
