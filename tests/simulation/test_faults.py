"""That faults break what they say, and nothing that the judge would take for something else."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from fingerv7.contract import POOL_LABEL
from fingerv7.core import brake

from .faults import KINDS
from .faults.kinds import edit
from .replica import Replica
from .scenario import Driver, staged

TRIED_EVERY_S = 0.25
SECONDS = 30.0


@pytest.mark.parametrize("seed", range(5))
def test_accidents_with_the_source_in_a_row_are_each_an_accident_of_its_own(seed: int) -> None:
    """However soon they come: the brake holds each of them back, and no three polls in a row show the same."""
    begun, verdicts = [], []
    honest = brake.judge
    with staged(seed) as (world, hooks):
        hooks.put(Replica, "crash", lambda replica: None)  # so that somebody polls all the time
        hooks.put(brake, "judge", lambda *args, **rest: verdicts.append(honest(*args, **rest)) or verdicts[-1])
        rng, nature = random.Random(seed), world.loop.nature

        def try_one() -> None:
            script = KINDS["source emptied"][0](world, rng)
            seconds = next(script, None)
            if seconds is not None:
                begun.append(world.loop.now)
                nature.after(seconds, next, script, None)
            nature.after(TRIED_EVERY_S, try_one)

        world.start()
        nature.after(2 * world.scale.takeover_s, try_one)
        world.loop.run_until(SECONDS)
    assert not [str(defect) for defect in world.defects]
    assert len(begun) >= 5
    held = [verdict.held for verdict in verdicts]
    assert sum(now and not before for before, now in pairwise(held)) >= len(begun) - 1


def test_a_backup_with_a_wrong_label_in_it_keeps_no_worker_silent() -> None:
    with staged(1) as (world, _):
        t_s = world.scale.takeover_s
        world.start()
        world.loop.run_until(2 * t_s)
        edit(world, "leases", "w0", {"metadata": {"labels": {POOL_LABEL: None}}})
        world.loop.run_until(6 * t_s)  # a backup is at most 3 T old
        restoring = KINDS["backup restored"][0](world, random.Random(1))
        away_s = next(restoring)
        edit(world, "leases", "w0", {"metadata": {"labels": {POOL_LABEL: world.pool_name}}})
        world.loop.run_until(world.loop.now + away_s)
        assert next(restoring, None) is None
        world.loop.run_until(world.loop.now + 5 * t_s)
        assert not world.defects
        assert not world.judge.misplaced()
        assert all(pod.worker and pod.worker.running for pod in world.pods.values())


@pytest.mark.parametrize("seed", range(5))
def test_a_backup_is_restored_under_nobody_who_has_not_fenced(seed: int) -> None:
    """Also where the faults end while its API is away: it stays away, and only others are cut short."""
    with staged(seed) as (world, hooks):
        restores: list[list[str]] = []
        hooks.put(world.judge, "restored", lambda: restores.append(sorted(world.judge.running)))
        t_s = world.scale.takeover_s
        driver = Driver(world, random.Random(seed))
        world.start()
        world.loop.run_until(2 * t_s)
        assert world.judge.running
        driver.begin("database away")
        driver.begin("backup restored")
        world.loop.run_until(world.loop.now + 0.2 * t_s)
        driver.end_all()
        assert restores == [[]], "once, and nobody ran anything"
        assert world.server.up
        assert world.database.up
