from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fingerv7.adapters.kube.errors import Gone

from .virtual_time import virtually
from .watched import DOWN, A, B, Watched, settle


@virtually
async def test_it_lists_then_follows(memory_api: Any) -> None:
    memory_api.write("a", 1)
    async with Watched(memory_api, label_selector="pool=radio") as seen:
        await seen.synced()
        assert seen.specs == {"a": 1}
        memory_api.write("b", 1)
        memory_api.write("a", 2)
        memory_api.remove("b")
        await settle()
        assert seen.specs == {"a": 2}
        assert seen.changes == [("a", None, 1), ("b", None, 1), ("a", 1, 2), ("b", 1, None)]
        assert seen.informer.version == memory_api.version
        assert memory_api.params == [{"labelSelector": "pool=radio"}]


@virtually
async def test_bookmarks_move_the_version_on(memory_api: Any) -> None:
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.bookmark()
        await settle()
        assert seen.informer.version == memory_api.version
        assert seen.changes == []


# --- own writes -------------------------------------------------------------------------------------------


@virtually
async def test_an_own_write_counts_at_once_and_its_echo_changes_nothing(memory_api: Any) -> None:
    memory_api.write("a", 1)
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.release_events(up_to=memory_api.version)
        memory_api.write("a", "by a stranger")
        assert seen.informer.put(memory_api.write("a", 3))[2] == 3
        assert seen.specs == {"a": 3}
        memory_api.release_events()
        await settle()
        assert seen.specs == {"a": 3}
        assert seen.changes == [("a", None, 1), ("a", 1, 3)]


@virtually
async def test_a_late_answer_never_replaces_what_the_watch_has_shown(memory_api: Any) -> None:
    async with Watched(memory_api) as seen:
        await seen.synced()
        late = memory_api.write("a", "mine")
        memory_api.write("a", "newer")
        await settle()
        assert seen.informer.put(late)[2] == "newer"
        assert seen.specs == {"a": "newer"}


@virtually
async def test_a_late_answer_does_not_bring_back_a_deleted_object(memory_api: Any) -> None:
    async with Watched(memory_api) as seen:
        await seen.synced()
        late = memory_api.write("a", "mine")
        memory_api.remove("a")
        await settle()
        seen.informer.put(late)
        assert seen.specs == {}


@virtually
async def test_an_own_deletion_counts_at_once_and_older_events_do_not_undo_it(memory_api: Any) -> None:
    memory_api.write("a", 1)
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.release_events(up_to=memory_api.version)
        memory_api.write("a", "by a stranger")
        uid = memory_api.remove("a")["metadata"]["uid"]
        seen.informer.forget(A, uid)
        assert seen.specs == {}
        memory_api.release_events()
        await settle()
        assert seen.changes == [("a", None, 1), ("a", 1, None)]
        memory_api.write("a", "recreated")
        await settle()
        assert seen.specs == {"a": "recreated"}


@virtually
async def test_forgetting_another_uid_changes_nothing(memory_api: Any) -> None:
    memory_api.write("a", 1)
    async with Watched(memory_api) as seen:
        await seen.synced()
        seen.informer.forget(A, "uid of its predecessor")
        assert seen.specs == {"a": 1}


@virtually
async def test_what_was_written_during_a_list_outlives_it(memory_api: Any) -> None:
    memory_api.write("a", 1)
    memory_api.write("b", 1)
    memory_api.list_takes_s = 5
    async with Watched(memory_api) as seen:
        await settle(1)
        seen.informer.put(memory_api.write("a", 2))
        seen.informer.put(memory_api.write("c", 1))
        gone = memory_api.remove("b")
        seen.informer.forget(B, gone["metadata"]["uid"])
        memory_api.release_events(up_to=0)
        await seen.synced()
        assert {name: spec for name, spec in seen.specs.items() if name != "b"} == {"a": 2, "c": 1}
        memory_api.release_events()
        await settle()
        assert seen.specs == {"a": 2, "c": 1}


@virtually
async def test_what_was_deleted_during_a_list_stays_deleted(memory_api: Any) -> None:
    memory_api.write("a", 1)
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.list_takes_s = 5
        memory_api.fail(Gone(410, "Expired", "too old"))
        await settle()
        memory_api.fail(None)
        await settle(3)
        assert memory_api.lists == 2
        memory_api.release_events(up_to=memory_api.version)
        seen.informer.put(memory_api.write("b", 1))  # after the snapshot
        for name in "ab":
            seen.informer.forget(("ns", name), memory_api.remove(name)["metadata"]["uid"])
        await settle(10)
        assert seen.specs == {}
        memory_api.release_events()
        await settle()
        assert seen.changes == [("a", None, 1), ("b", None, 1), ("a", 1, None), ("b", 1, None)]


@virtually
async def test_the_present_is_reached_by_the_events_that_come_anyway(memory_api: Any) -> None:
    memory_api.write("a", 1)
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.release_events(up_to=memory_api.version)
        memory_api.write("a", 2)
        present = await seen.informer.expect_present()
        assert seen.informer.version < present == memory_api.version
        memory_api.release_events()
        await settle()
        assert seen.informer.version >= present
        await settle(5)
        assert (memory_api.lists, memory_api.watches) == (1, 1)


@virtually
async def test_on_a_quiet_kind_the_present_is_reached_without_waiting_for_the_bookmark_of_the_minute(
    memory_api: Any,
) -> None:
    memory_api.write("a", 1)
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.version += 50  # something happened to other kinds
        present = await seen.informer.expect_present()
        await settle(3)
        assert seen.informer.version >= present
        await settle(30)
        assert memory_api.lists == 1
        assert memory_api.watches == 3, "a short one, then one as usual again"
        assert seen.informer.gap == 0


@virtually
async def test_a_watch_that_stalled_unnoticed_is_replaced_when_the_present_is_asked_for(memory_api: Any) -> None:
    memory_api.write("a", 1)
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.stall()
        memory_api.write("b", 1)
        memory_api.remove("a")
        await settle(20)
        assert seen.specs == {"a": 1}
        await seen.informer.expect_present()
        await settle(2)
        assert seen.specs == {"b": 1}
        assert memory_api.lists == 1


@virtually
async def test_ending_it_while_a_watch_is_opened_anew_ends_it(memory_api: Any) -> None:
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.version += 1
        memory_api.stall()
        await seen.informer.expect_present()
        await settle(1.0)
        seen.task.cancel()
        await asyncio.wait([seen.task], timeout=1.0)
        assert seen.task.cancelled()


@virtually
async def test_it_is_idle_only_when_it_hangs(memory_api: Any) -> None:
    memory_api.fail(DOWN)
    async with Watched(memory_api) as seen:
        await settle(600)
        assert seen.informer.idle_s() < 10, "an API server that is down is asked again and again"
        memory_api.fail(None)
        await settle(10)
        memory_api.stall()
        await settle(200)
        assert seen.informer.idle_s() > 180, "a watch that nobody ended, which the client would have"


# --- what cannot be read ----------------------------------------------------------------------------------


@virtually
async def test_an_unreadable_object_is_named_once_and_the_others_are_served(memory_api: Any) -> None:
    memory_api.write("a", 1)
    memory_api.write("b", "bad")
    async with Watched(memory_api) as seen:
        await seen.synced()
        assert seen.specs == {"a": 1}
        assert dict(seen.informer.unparsed) == {B: "it is bad"}
        memory_api.write("b", "bad")
        await settle()
        assert seen.refused == [("b", "it is bad")]
        memory_api.write("b", "good")
        await settle()
        assert seen.specs == {"a": 1, "b": "good"}
        assert not seen.informer.unparsed


@virtually
async def test_an_object_that_becomes_unreadable_keeps_its_last_readable_state(memory_api: Any) -> None:
    memory_api.write("a", 1)
    async with Watched(memory_api) as seen:
        await seen.synced()
        memory_api.write("a", "bad")
        await settle()
        assert seen.specs == {"a": 1}
        assert A in seen.informer.unparsed
        memory_api.remove("a")
        await settle()
        assert seen.specs == {}
        assert not seen.informer.unparsed


@virtually
async def test_a_listener_that_fails_stops_nothing(memory_api: Any, caplog: pytest.LogCaptureFixture) -> None:
    memory_api.write("a", 1)
    async with Watched(memory_api) as seen:
        seen.informer._objects._on_change = lambda *_: 1 / 0
        await seen.synced()
        memory_api.write("b", 1)
        await settle()
        assert seen.specs == {"a": 1, "b": 1}
        assert "could not be handled" in caplog.text
