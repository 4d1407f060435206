"""Whatever breaks between an informer and the API server: what counts as a gap, and how it goes on."""

from __future__ import annotations

from typing import Any

import pytest

from fingerv7.adapters.kube.errors import Forbidden, Gone, TooManyRequests, WatchStalled

from .virtual_time import virtually
from .watched import DOWN, Watched, settle


@virtually
async def test_a_long_outage_is_one_gap_costs_no_event_and_is_noticed_within_a_second(memory_api: Any) -> None:
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.fail(DOWN)
        await settle(2)
        assert seen.informer.gap == 0
        assert "refused" in seen.informer.last_error
        await settle(60)
        assert seen.informer.gap == 1
        memory_api.write("a", 1)
        memory_api.fail(None)
        await settle(1.1)
        assert seen.specs == {"a": 1}
        assert seen.informer.gap == 1
        assert seen.informer.last_error == ""
        assert memory_api.lists == 1


@virtually
async def test_each_long_outage_is_a_gap_of_its_own(memory_api: Any) -> None:
    async with Watched(memory_api) as seen:
        await seen.synced()
        for number in (1, 2):
            memory_api.fail(DOWN)
            await settle(30)
            memory_api.fail(None)
            await settle(30)
            assert seen.informer.gap == number


@virtually
async def test_a_watch_that_ends_on_time_is_no_gap(memory_api: Any) -> None:
    async with Watched(memory_api) as seen:
        await seen.synced()
        await settle(3600)
        memory_api.write("a", 1)
        await settle()
        assert seen.informer.gap == 0
        assert seen.specs == {"a": 1}
        assert memory_api.lists == 1


@virtually
async def test_a_short_break_after_long_silence_is_no_gap_or_cut_idle_watches_would_postpone_takeovers_for_ever(
    memory_api: Any,
) -> None:
    async with Watched(memory_api) as seen:
        await seen.synced()
        await settle(40)
        memory_api.fail(DOWN)
        await settle()
        memory_api.fail(None)
        await settle(1)
        assert seen.informer.gap == 0


@virtually
async def test_when_its_place_is_forgotten_the_store_is_replaced_and_deletions_are_told(memory_api: Any) -> None:
    memory_api.write("a", 1)
    memory_api.write("b", 1)
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.fail(DOWN)
        await settle(60)
        memory_api.remove("a")
        memory_api.write("b", 2)
        memory_api.write("c", 1)
        memory_api.compact()
        seen.changes.clear()
        memory_api.fail(None)
        await settle(10)
        assert seen.informer.gap == 1
        assert seen.specs == {"b": 2, "c": 1}
        assert sorted(seen.changes) == [("a", 1, None), ("b", 1, 2), ("c", None, 1)]
        assert memory_api.lists == 2


@pytest.mark.parametrize("error", [Gone(410, "Expired", "too old"), WatchStalled("silent")])
@virtually
async def test_a_dead_watch_is_followed_by_a_list(memory_api: Any, error: Exception) -> None:
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.fail(error)
        await settle()
        memory_api.fail(None)
        await settle(10)
        assert memory_api.lists == 2


@virtually
async def test_an_api_restored_from_a_backup_is_believed(memory_api: Any) -> None:
    memory_api.write("a", "backed up")
    backup, version = dict(memory_api.objects), memory_api.version
    memory_api.write("a", "lost")
    memory_api.write("b", "lost")
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.objects, memory_api.version, memory_api.history = backup, version, []
        memory_api.fail(WatchStalled("silent"))
        await settle()
        memory_api.fail(None)
        await settle(10)
        assert seen.specs == {"a": "backed up"}
        memory_api.write("a", "goes on")
        await settle()
        assert seen.specs == {"a": "goes on"}


@virtually
async def test_failures_are_retried_for_ever_and_named(memory_api: Any) -> None:
    memory_api.fail(Forbidden(403, "Forbidden", "leases is forbidden"))
    async with Watched(memory_api) as seen:
        await settle(600)
        assert not seen.informer.synced.is_set()
        assert "leases is forbidden" in seen.informer.last_error
        memory_api.fail(None)
        await settle(10)
        assert seen.informer.synced.is_set()


@virtually
async def test_a_throttling_server_is_left_alone_for_as_long_as_it_asks(memory_api: Any) -> None:
    memory_api.fail(TooManyRequests(429, "TooManyRequests", "later", 30.0))
    async with Watched(memory_api):
        await settle(1)
        memory_api.fail(None)
        await settle(20)
        assert memory_api.lists == 0
        await settle(20)
        assert memory_api.lists == 1


@virtually
async def test_an_answer_without_sense_does_not_end_it(memory_api: Any) -> None:
    memory_api.write("a", 1)
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.fail(RuntimeError("nonsense"))
        await settle(1)
        assert seen.informer.last_error == "nonsense"
        memory_api.fail(None)
        memory_api.write("a", 2)
        await settle(10)
        assert seen.specs == {"a": 2}
