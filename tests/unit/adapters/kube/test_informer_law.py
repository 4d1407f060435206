"""What an informer holds under any order of own writes, strangers' writes, late answers and outages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fingerv7.adapters.kube.errors import ApiUnreachable
from fingerv7.adapters.kube.informer import Informer, Key

from .memory_api import MemoryApi
from .virtual_time import virtually
from .watched import DOWN, Watched, settle

_OFTEN = ("stranger writes", "stranger deletes", "own write", "own deletion", "answer arrives", "event arrives")
_SELDOM = ("present", "outage", "recovery", "compaction", "time passes")
_STEPS = st.tuples(st.sampled_from(_OFTEN * 3 + _SELDOM), st.integers(0, 7))


@given(steps=st.lists(_STEPS, min_size=5, max_size=60), list_takes_s=st.sampled_from([0.0, 0.5]))
@settings(max_examples=600, deadline=None)
@virtually
async def test_whatever_the_order_nothing_goes_back_and_the_end_is_the_truth(
    steps: list[tuple[str, int]], list_takes_s: float
) -> None:
    api = MemoryApi()
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
