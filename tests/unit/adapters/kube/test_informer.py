from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerv7.adapters.kube.errors import ApiUnreachable, Forbidden, Gone, TooManyRequests, WatchStalled
from fingerv7.adapters.kube.informer import Informer, Key
from fingerv7.adapters.kube.resources import LEASES

A: Key = ("ns", "a")
B: Key = ("ns", "b")
DOWN = ApiUnreachable("connection refused")


def _parse(raw: dict[str, Any]) -> tuple[str, int, Any]:
    if raw["spec"] == "bad":
        raise ValueError("it is bad")
    return raw["metadata"]["uid"], int(raw["metadata"]["resourceVersion"]), raw["spec"]


class Watched:
    """An informer on the simulated server, and all that it told."""

    def __init__(self, api: Any, **options: Any) -> None:
        self.api = api
        self.changes: list[tuple[str, Any, Any]] = []
        self.refused: list[tuple[str, str]] = []
        self.informer: Informer[tuple[str, int, Any]] = Informer(
            api,
            LEASES,
            namespace="ns",
            parse=_parse,
            on_change=lambda key, old, new: self.changes.append((key[1], old and old[2], new and new[2])),
            on_unparsable=lambda key, why: self.refused.append((key[1], why)),
            clock=lambda: asyncio.get_running_loop().time(),
            **options,
        )

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.informer.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    async def synced(self) -> None:
        await self.informer.synced.wait()
        await settle()

    @property
    def specs(self) -> dict[str, Any]:
        return {name: value[2] for (_, name), value in self.informer.store.items()}


async def settle(seconds: float = 0.01) -> None:
    await asyncio.sleep(seconds)


def test_it_lists_then_follows(virtually: Callable[..., None], memory_api: Any) -> None:
    async def main() -> None:
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

    virtually(main())


def test_bookmarks_move_the_version_on(virtually: Callable[..., None], memory_api: Any) -> None:
    async def main() -> None:
        async with Watched(memory_api) as seen:
            await seen.synced()
            memory_api.bookmark()
            await settle()
            assert seen.informer.version == memory_api.version
            assert seen.changes == []

    virtually(main())


# --- own writes -------------------------------------------------------------------------------------------


def test_an_own_write_counts_at_once_and_its_echo_changes_nothing(
    virtually: Callable[..., None], memory_api: Any
) -> None:
    async def main() -> None:
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

    virtually(main())


def test_a_late_answer_never_replaces_what_the_watch_has_shown(
    virtually: Callable[..., None], memory_api: Any
) -> None:
    async def main() -> None:
        async with Watched(memory_api) as seen:
            await seen.synced()
            late = memory_api.write("a", "mine")
            memory_api.write("a", "newer")
            await settle()
            assert seen.informer.put(late)[2] == "newer"
            assert seen.specs == {"a": "newer"}

    virtually(main())


def test_a_late_answer_does_not_bring_back_a_deleted_object(virtually: Callable[..., None], memory_api: Any) -> None:
    async def main() -> None:
        async with Watched(memory_api) as seen:
            await seen.synced()
            late = memory_api.write("a", "mine")
            memory_api.remove("a")
            await settle()
            seen.informer.put(late)
            assert seen.specs == {}

    virtually(main())


def test_an_own_deletion_counts_at_once_and_older_events_do_not_undo_it(
    virtually: Callable[..., None], memory_api: Any
) -> None:
    async def main() -> None:
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

    virtually(main())


def test_forgetting_another_uid_changes_nothing(virtually: Callable[..., None], memory_api: Any) -> None:
    async def main() -> None:
        memory_api.write("a", 1)
        async with Watched(memory_api) as seen:
            await seen.synced()
            seen.informer.forget(A, "uid of its predecessor")
            assert seen.specs == {"a": 1}

    virtually(main())


def test_what_was_written_during_a_list_outlives_it(virtually: Callable[..., None], memory_api: Any) -> None:
    async def main() -> None:
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

    virtually(main())


def test_what_was_deleted_during_a_list_stays_deleted(virtually: Callable[..., None], memory_api: Any) -> None:
    async def main() -> None:
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

    virtually(main())


def test_the_present_is_reached_by_the_events_that_come_anyway(
    virtually: Callable[..., None], memory_api: Any
) -> None:
    async def main() -> None:
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

    virtually(main())


def test_on_a_quiet_kind_the_present_is_reached_without_waiting_for_the_bookmark_of_the_minute(
    virtually: Callable[..., None], memory_api: Any
) -> None:
    async def main() -> None:
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

    virtually(main())


def test_a_watch_that_stalled_unnoticed_is_replaced_when_the_present_is_asked_for(
    virtually: Callable[..., None], memory_api: Any
) -> None:
    async def main() -> None:
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

    virtually(main())


def test_ending_it_while_a_watch_is_opened_anew_ends_it(virtually: Callable[..., None], memory_api: Any) -> None:
    async def main() -> None:
        async with Watched(memory_api) as seen:
            await seen.synced()
            memory_api.version += 1
            memory_api.stall()
            await seen.informer.expect_present()
            await settle(1.0)
            seen.task.cancel()
            await asyncio.wait([seen.task], timeout=1.0)
            assert seen.task.cancelled()

    virtually(main())


def test_it_is_idle_only_when_it_hangs(virtually: Callable[..., None], memory_api: Any) -> None:
    async def main() -> None:
        memory_api.fail(DOWN)
        async with Watched(memory_api) as seen:
            await settle(600)
            assert seen.informer.idle_s() < 10, "an API server that is down is asked again and again"
            memory_api.fail(None)
            await settle(10)
            memory_api.stall()
            await settle(200)
            assert seen.informer.idle_s() > 180, "a watch that nobody ended, which the client would have"

    virtually(main())


# --- outages ----------------------------------------------------------------------------------------------


def test_a_long_outage_is_one_gap_costs_no_event_and_is_noticed_within_a_second(
    virtually: Callable[..., None], memory_api: Any
) -> None:
    async def main() -> None:
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

    virtually(main())


def test_each_long_outage_is_a_gap_of_its_own(virtually: Callable[..., None], memory_api: Any) -> None:
    async def main() -> None:
        async with Watched(memory_api) as seen:
            await seen.synced()
            for number in (1, 2):
                memory_api.fail(DOWN)
                await settle(30)
                memory_api.fail(None)
                await settle(30)
                assert seen.informer.gap == number

    virtually(main())


def test_a_watch_that_ends_on_time_is_no_gap(virtually: Callable[..., None], memory_api: Any) -> None:
    async def main() -> None:
        async with Watched(memory_api) as seen:
            await seen.synced()
            await settle(3600)
            memory_api.write("a", 1)
            await settle()
            assert seen.informer.gap == 0
            assert seen.specs == {"a": 1}
            assert memory_api.lists == 1

    virtually(main())


def test_a_short_break_after_long_silence_is_no_gap_or_cut_idle_watches_would_postpone_takeovers_for_ever(
    virtually: Callable[..., None], memory_api: Any
) -> None:
    async def main() -> None:
        async with Watched(memory_api) as seen:
            await seen.synced()
            await settle(40)
            memory_api.fail(DOWN)
            await settle()
            memory_api.fail(None)
            await settle(1)
            assert seen.informer.gap == 0

    virtually(main())


def test_when_its_place_is_forgotten_the_store_is_replaced_and_deletions_are_told(
    virtually: Callable[..., None], memory_api: Any
) -> None:
    async def main() -> None:
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

    virtually(main())


@pytest.mark.parametrize("error", [Gone(410, "Expired", "too old"), WatchStalled("silent")])
def test_a_dead_watch_is_followed_by_a_list(
    virtually: Callable[..., None], memory_api: Any, error: Exception
) -> None:
    async def main() -> None:
        async with Watched(memory_api) as seen:
            await seen.synced()
            memory_api.fail(error)
            await settle()
            memory_api.fail(None)
            await settle(10)
            assert memory_api.lists == 2

    virtually(main())


def test_an_api_restored_from_a_backup_is_believed(virtually: Callable[..., None], memory_api: Any) -> None:
    async def main() -> None:
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

    virtually(main())


def test_failures_are_retried_for_ever_and_named(virtually: Callable[..., None], memory_api: Any) -> None:
    async def main() -> None:
        memory_api.fail(Forbidden(403, "Forbidden", "leases is forbidden"))
        async with Watched(memory_api) as seen:
            await settle(600)
            assert not seen.informer.synced.is_set()
            assert "leases is forbidden" in seen.informer.last_error
            memory_api.fail(None)
            await settle(10)
            assert seen.informer.synced.is_set()

    virtually(main())


def test_a_throttling_server_is_left_alone_for_as_long_as_it_asks(
    virtually: Callable[..., None], memory_api: Any
) -> None:
    async def main() -> None:
        memory_api.fail(TooManyRequests(429, "TooManyRequests", "later", 30.0))
        async with Watched(memory_api):
            await settle(1)
            memory_api.fail(None)
            await settle(20)
            assert memory_api.lists == 0
            await settle(20)
            assert memory_api.lists == 1

    virtually(main())


def test_an_answer_without_sense_does_not_end_it(virtually: Callable[..., None], memory_api: Any) -> None:
    async def main() -> None:
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

    virtually(main())


# --- what cannot be read ----------------------------------------------------------------------------------


def test_an_unreadable_object_is_named_once_and_the_others_are_served(
    virtually: Callable[..., None], memory_api: Any
) -> None:
    async def main() -> None:
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

    virtually(main())


def test_an_object_that_becomes_unreadable_keeps_its_last_readable_state(
    virtually: Callable[..., None], memory_api: Any
) -> None:
    async def main() -> None:
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

    virtually(main())


def test_a_listener_that_fails_stops_nothing(
    virtually: Callable[..., None], memory_api: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        memory_api.write("a", 1)
        async with Watched(memory_api) as seen:
            seen.informer._objects._on_change = lambda *_: 1 / 0
            await seen.synced()
            memory_api.write("b", 1)
            await settle()
            assert seen.specs == {"a": 1, "b": 1}
            assert "could not be handled" in caplog.text

    virtually(main())


# --- the law ----------------------------------------------------------------------------------------------

_OFTEN = ("stranger writes", "stranger deletes", "own write", "own deletion", "answer arrives", "event arrives")
_SELDOM = ("present", "outage", "recovery", "compaction", "time passes")
_STEPS = st.tuples(st.sampled_from(_OFTEN * 3 + _SELDOM), st.integers(0, 7))


@given(steps=st.lists(_STEPS, min_size=5, max_size=60), list_takes_s=st.sampled_from([0.0, 0.5]))
@settings(max_examples=600, deadline=None)
def test_whatever_the_order_nothing_goes_back_and_the_end_is_the_truth(
    memory_api_factory: Any, run: Callable[..., None], steps: list[tuple[str, int]], list_takes_s: float
) -> None:
    run(_live_through(memory_api_factory(), steps, list_takes_s))


async def _live_through(api: Any, steps: list[tuple[str, int]], list_takes_s: float) -> None:
    told: dict[str, tuple[str, int, Any]] = {}
    newest: dict[str, int] = {}
    deleted_uids: set[str] = set()
    answers: list[Callable[[], object]] = []
    others: list[asyncio.Task[None]] = []

    def on_change(key: Key, old: Any, new: Any) -> None:
        name = key[1]
        assert told.get(name) == old, "a change was told that does not follow from the one before"
        if new is None:
            del told[name]
            deleted_uids.add(old[0])
            return
        assert new[1] > newest.get(name, 0), "an older state replaced a newer one"
        assert new[0] not in deleted_uids, "a deleted object came back"
        newest[name] = new[1]
        told[name] = new

    api.write("a")
    async with Watched(api) as seen:
        seen.informer._objects._on_change = on_change
        informer = seen.informer
        api.list_takes_s = list_takes_s
        await settle(1)
        api.release_events(up_to=api.version)
        for step, number in steps:
            name = "ab"[number % 2]
            if step == "stranger writes":
                api.write(name)
            elif step == "stranger deletes" and name in api.objects:
                api.remove(name)
            elif step == "own write":
                answers.append(partial(informer.put, api.write(name)))
            elif step == "own deletion" and name in api.objects:
                answers.append(partial(informer.forget, ("ns", name), api.remove(name)["metadata"]["uid"]))
            elif step == "answer arrives" and answers:
                answers.pop(number % len(answers))()
            elif step == "event arrives":
                later = [version for version, _, _ in api.history if version > api.hold_events_after]
                api.release_events(up_to=later[0] if later else api.version)
            elif step == "present" and api.outage is None:
                others.append(asyncio.create_task(_expect_present(informer)))
            elif step == "outage":
                api.fail(DOWN)
            elif step == "recovery":
                api.fail(None)
            elif step == "compaction":
                api.compact()
            elif step == "time passes":
                await asyncio.sleep(number)
            await settle()
        api.fail(None)
        api.release_events()
        await settle(60)
        for answer in answers:
            answer()
        await asyncio.gather(*others)
        assert {name: value[1] for name, value in told.items()} == {
            name: int(raw["metadata"]["resourceVersion"]) for name, raw in api.objects.items()
        }
        assert dict(informer.store) == {("ns", name): value for name, value in told.items()}


async def _expect_present(informer: Informer[Any]) -> None:
    with contextlib.suppress(ApiUnreachable):
        await informer.expect_present()
