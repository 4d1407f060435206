"""Workers of no pool, as far as they are this operator's business."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from fingerv7.runtime import strays
from fingerv7.runtime.office import Office


@pytest.mark.parametrize(
    ("served", "asked"),
    [((), {"theirs/a", "ours/lost"}), (("ours", "more"), {"ours/lost"})],
    ids=["everywhere", "two-namespaces"],
)
async def test_pools_are_looked_for_only_where_the_operator_serves(monkeypatch, served, asked):
    monkeypatch.setattr(strays, "LOOK_EVERY_S", 0.0)
    seen, twice = [], asyncio.Event()

    async def get(path):
        parts = path.split("/")
        seen.append(f"{parts[-3]}/{parts[-1]}")
        if seen.count("ours/lost") == 2:
            twice.set()
        return {}

    fleet = SimpleNamespace(pools=lambda: frozenset({("theirs", "a"), ("ours", "kept"), ("ours", "lost")}))
    office = Office(SimpleNamespace(get=get), fleet, None, None, namespaces=frozenset(served))
    looking = asyncio.create_task(strays.Strays(office).run(lambda: [("ours", "kept")]))
    async with asyncio.timeout(5):
        await twice.wait()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    assert set(seen) == asked
