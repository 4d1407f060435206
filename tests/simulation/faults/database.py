"""The database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .kinds import Kinds, Script, long

if TYPE_CHECKING:
    import random

    from tests.simulation.world import World

KINDS = Kinds()


@KINDS.add("database away", 2)
def _database_away(world: World, rng: random.Random) -> Script:
    world.database.up = False
    yield long(world, rng)
    world.database.up = True


@KINDS.add("database hangs", 1)
def _database_hangs(world: World, rng: random.Random) -> Script:
    world.database.answers.clear()
    yield long(world, rng)
    world.database.answers.set()


@KINDS.add("rows edited", 4)
def _rows_edited(world: World, rng: random.Random) -> Script:
    """Some go, some come, some get another URL; some flap."""
    database = world.database
    ids = sorted(database.rows)
    taken = {i: database.rows.pop(i) for i in rng.sample(ids, rng.randint(1, 5))}
    for i in rng.sample(sorted(database.rows), 2):
        database.rows[i] = {**database.rows[i], "url": f"http://radio.example/{i}/{rng.getrandbits(16)}"}
    yield long(world, rng) / 2
    if rng.random() < 0.6:
        database.rows.update(taken)
    else:
        for _ in taken:
            world.add_row()


@KINDS.add("source emptied", 3)
def _source_emptied(world: World, rng: random.Random) -> Script:
    """An accident that is mended before the polls confirm it, sometimes across a restart of the operator.

    One at a time: what is still away when the first of two is over may be so little that the brake lets it pass. And
    not before the table was read whole again: polls that saw the same in both would confirm it.
    """
    database = world.database
    if database.hidden or database.was_read_short:
        return
    ids = sorted(database.rows)
    database.hidden.update(rng.sample(ids, round(len(ids) * rng.choice((0.7, 1.0)))))
    if rng.random() < 0.6:
        for replica in world.replicas:
            replica.crash()
    # Confirmed by three polls a second apart on whichever clock: less than that is an accident.
    yield 1.6
    database.hidden.clear()
