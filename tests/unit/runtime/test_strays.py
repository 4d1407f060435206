"""Workers of no pool."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from fingerv7.runtime import strays
from fingerv7.runtime.office import Office


@pytest.mark.parametrize(
    "referred",
    [
        [[("theirs", "a"), ("ours", "kept"), ("ours", "lost")]],
        [[("theirs", "a")], [("ours", "kept"), ("ours", "lost")]],
    ],
    ids=["everywhere", "two-namespaces"],
)
async def test_pools_that_workers_refer_to_are_looked_for_in_every_namespace(monkeypatch, referred):
    monkeypatch.setattr(strays, "LOOK_EVERY_S", 0.0)
    seen, twice = [], asyncio.Event()

    async def get(path):
        parts = path.split("/")
        seen.append(f"{parts[-3]}/{parts[-1]}")
        if seen.count("ours/lost") == 2:
            twice.set()
        return {}

    fleets = [SimpleNamespace(pools=lambda names=names: frozenset(names)) for names in referred]
    office = Office(SimpleNamespace(get=get), fleets, None, None)
    looking = asyncio.create_task(strays.Strays(office).run(lambda: [("ours", "kept")]))
    async with asyncio.timeout(5):
        await twice.wait()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    assert set(seen) == {"theirs/a", "ours/lost"}
