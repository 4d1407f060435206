"""That the judge sees more than overlaps: a defect of each other kind, made on purpose."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from fingerv7.core import takeover
from fingerv7.core.model import Worker
from fingerv7.runtime import fleet
from fingerv7.runtime.prober import Prober
from fingerv7.runtime.publisher import Publisher
from fingerv7.runtime.term import Term
from fingerv7_sidecar import worker
from fingerv7_sidecar.runtime import Runtime

from .defect import Kind
from .install import Hooks
from .scenario import Sabotage, run, staged
from .world import World

SEEDS_TRIED = 20


def _writing(change: Callable[[Worker, dict[str, Any]], None]) -> Sabotage:
    """An operator that writes other assignments than it decided on."""

    def switch(world: World, hooks: Hooks) -> None:
        honest = Publisher._patch

        async def patch(self: Publisher, target: Worker, status: Any, *, attempt: Any = None) -> Any:
            if "assignment" in status:
                change(target, status["assignment"])
            return await honest(self, target, status, attempt=attempt)

        hooks.put(Publisher, "_patch", patch)

    return switch


def _goes_back(target: Worker, assignment: dict[str, Any]) -> None:
    if assignment["epoch"] > 6:
        assignment["epoch"] = 2


def _stays(target: Worker, assignment: dict[str, Any]) -> None:
    assignment["epoch"] = target.assignment.epoch


def _forgets_what_it_revokes(target: Worker, assignment: dict[str, Any]) -> None:
    assignment["revoking"] = []


def _one_epoch_for_all(world: World, hooks: Hooks) -> None:
    hooks.put(Term, "begin", lambda term, highest: setattr(term, "leader_epoch", 5))


def _sees_double(world: World, hooks: Hooks) -> None:
    honest = fleet.worker_from_json

    def generous(raw: Any) -> Any:
        found = honest(raw)
        return dataclasses.replace(found, max_streams=2 * found.max_streams)

    hooks.put(fleet, "worker_from_json", generous)


def _suspects_at_once(world: World, hooks: Hooks) -> None:
    hooks.put(takeover, "POISON_DEATHS", 1)


def _looks_seldom(world: World, hooks: Hooks) -> None:
    hooks.put(worker, "_FIRST_POLL_S", 2.5)


def _never_sure(world: World, hooks: Hooks) -> None:
    async def confirm(*_: Any) -> bool:
        return False

    hooks.put(Prober, "_confirm", confirm)


def _raises(world: World, hooks: Hooks) -> None:
    async def fail(runtime: Runtime) -> None:
        raise ValueError("on purpose")

    hooks.put(Runtime, "run", fail)


@pytest.mark.parametrize(
    ("switch", "seed", "kind", "words"),
    [
        pytest.param(_one_epoch_for_all, 0, Kind.EPOCH, "a term begins", id="a leader epoch that does not grow"),
        pytest.param(_one_epoch_for_all, 1, Kind.TOKEN, "a sink has seen", id="a token that goes back"),
        pytest.param(_one_epoch_for_all, 0, Kind.EPOCH, "both write", id="two leaders with one epoch"),
        pytest.param(_writing(_goes_back), 1, Kind.EPOCH, "only the CRD's rule", id="an epoch that would go back"),
        pytest.param(_writing(_stays), 0, Kind.EPOCH, "under its old epoch", id="an epoch that stays"),
        pytest.param(_writing(_forgets_what_it_revokes), 0, Kind.UNREVOKED, "loses", id="a stream that vanishes"),
        pytest.param(_sees_double, 3, Kind.CAPACITY, "is given more", id="more than there is room for"),
        pytest.param(_suspects_at_once, 2, Kind.UNPLACED, "run on nobody", id="a stream suspected after one death"),
        pytest.param(_looks_seldom, 2, Kind.GAP, "while it was moved", id="a move that takes too long"),
        pytest.param(_never_sure, 4, Kind.GAP, "died alone", id="a death that nobody notices"),
        pytest.param(_raises, 0, Kind.FAILURE, "on purpose", id="a process that fails"),
    ],
)
def test_the_judge_sees(switch: Sabotage, seed: int, kind: Kind, words: str) -> None:
    # The first seed shows it, unless a change of the code has made it another one.
    seeds = (run(tried, sabotage=switch) for tried in range(seed, seed + SEEDS_TRIED))
    assert any(each.kind is kind and words in each.text for result in seeds for each in result.defects)


@pytest.mark.parametrize(("deaths", "overdue"), [(2, {"s000"}), (3, set())])
def test_a_death_that_is_the_third_of_a_stream_breaks_no_promise(deaths: int, overdue: set[str]) -> None:
    with staged(0) as (world, _):
        world.start()
        world.loop.run_until(2 * world.scale.takeover_s)
        now, judge = world.loop.now, world.judge
        for number in range(deaths):
            judge._deaths.granted(f"lost-{number}", {"s000": world.database.rows["s000"]["url"]}, now - 2.0)
            judge._deaths.died(f"lost-{number}", now - 1.0)
        status = {"unassignedReasons": {"SuspectedPoison": 1}}
        world.server.store.patch("streampools", world.pool_name, {"status": status}, "status", writer="operator")
        judge.promised["s000"] = now - 1.0, now
        assert judge.overdue() == overdue
