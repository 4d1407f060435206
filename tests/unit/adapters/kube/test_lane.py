"""Whoever has a thousand requests keeps only itself waiting."""

from __future__ import annotations

import asyncio
from typing import Any

from fingerv7.adapters.kube.lane import Lane


class Server:
    """Serves `places` requests at a time, in the order in which they came; those of `broken` are never answered."""

    def __init__(self, places: int) -> None:
        self.places = asyncio.Semaphore(places)
        self.answered: list[str] = []
        self.under_way = 0

    async def get(self, path: str, *, params: Any = None, timeout_s: float | None = None) -> dict[str, Any]:
        async with self.places:
            self.answered.append(path)
            return {}

    async def merge_patch(self, path: str, patch: Any) -> dict[str, Any]:
        async with self.places:
            self.under_way += 1
            if path.startswith("broken"):
                await asyncio.Event().wait()
            self.answered.append(path)
            return {}


async def test_a_pool_whose_requests_hang_leaves_room_for_the_others():
    server = Server(48)
    broken, healthy = (Lane(server, reads=4, writes=16) for _ in range(2))  # type: ignore[arg-type]
    hanging = [asyncio.create_task(broken.merge_patch(f"broken/{n}", {})) for n in range(1000)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await asyncio.gather(*(healthy.merge_patch(f"healthy/{n}", {}) for n in range(100)))
    assert len(server.answered) == 100
    assert server.under_way == 116
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_reads_do_not_wait_for_writes_and_waiting_in_a_queue_that_moves_is_no_idleness():
    now = 0.0
    server = Server(48)
    lane = Lane(server, reads=1, writes=2, clock=lambda: now)  # type: ignore[arg-type]
    hanging = [asyncio.create_task(lane.merge_patch(f"broken/{n}", {})) for n in range(10)]
    await asyncio.sleep(0)
    assert lane.is_full
    now = 60.0
    assert lane.idle_s() == 60.0
    async with asyncio.timeout(5):
        await lane.get("a lease")
    assert lane.idle_s() == 0.0
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert not lane.is_full
