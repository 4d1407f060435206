from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fingerv7.adapters.kube.errors import ApiUnreachable, Forbidden, OutcomeUnknown
from fingerv7.adapters.kube.events import EventRecorder

from .virtual_time import virtually

POOL = {"kind": "StreamPool", "apiVersion": "fingerv7.io/v1alpha1", "name": "radio", "uid": "u-1"}


async def say(recorder: EventRecorder, message: str = "41 streams move", **changes: str) -> None:
    await recorder.record("ns", {**POOL, **changes}, type="Warning", reason="TakeoverHeld", message=message)


@virtually
async def test_an_event_names_its_object_reason_and_message(memory_api: Any) -> None:
    recorder = EventRecorder(memory_api, instance="replica-1")
    await say(recorder)
    await recorder.close()
    (event,) = memory_api.objects.values()
    assert event["involvedObject"] == {**POOL, "namespace": "ns"}
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "TakeoverHeld", "41 streams move")
    assert event["count"] == 1
    assert event["source"] == {"component": "fingerv7-operator", "host": "replica-1"}


@virtually
async def test_what_stays_true_is_counted_at_a_limited_rate(memory_api: Any) -> None:
    recorder = EventRecorder(memory_api)
    for _ in range(600):
        await say(recorder)
        await asyncio.sleep(1)
    await recorder.close()
    (event,) = memory_api.objects.values()
    writes = len(memory_api.history)
    assert event["count"] == 301
    assert writes == 2


@virtually
async def test_after_an_hour_it_is_said_again(memory_api: Any) -> None:
    recorder = EventRecorder(memory_api)
    await say(recorder)
    await asyncio.sleep(3601)
    await say(recorder)
    await recorder.close()
    assert len(memory_api.objects) == 2


@virtually
async def test_another_object_or_another_message_is_another_event(memory_api: Any) -> None:
    recorder = EventRecorder(memory_api)
    await say(recorder)
    await say(recorder, "40 streams move")
    await say(recorder, uid="u-2")
    await recorder.close()
    assert len(memory_api.objects) == 3


@virtually
async def test_an_event_that_has_expired_is_written_anew_with_its_count(memory_api: Any) -> None:
    recorder = EventRecorder(memory_api)
    await say(recorder)
    await asyncio.sleep(1)
    memory_api.remove(next(iter(memory_api.objects)))
    await asyncio.sleep(600)
    await say(recorder)
    await recorder.close()
    (event,) = memory_api.objects.values()
    assert event["count"] == 2


@pytest.mark.parametrize("trouble", [ApiUnreachable("down"), OutcomeUnknown("lost")])
@virtually
async def test_a_short_outage_loses_no_event(memory_api: Any, trouble: Exception) -> None:
    recorder = EventRecorder(memory_api)
    memory_api.fail(trouble)
    await say(recorder)
    await asyncio.sleep(0.2)
    memory_api.fail(None)
    await asyncio.sleep(5)
    await recorder.close()
    assert len(memory_api.objects) == 1
    assert recorder.dropped == 0


@virtually
async def test_nothing_that_goes_wrong_reaches_the_caller(memory_api: Any) -> None:
    recorder = EventRecorder(memory_api, queue_size=2)
    memory_api.fail(Forbidden(403, "Forbidden", "events is forbidden"))
    for number in range(10):
        await say(recorder, str(number))
    assert recorder.dropped == 8
    await asyncio.sleep(1)
    assert recorder.dropped == 10
    memory_api.fail(None)
    await say(recorder, "x" * 10_000)
    await recorder.close()
    (event,) = memory_api.objects.values()
    assert len(event["message"]) == 1024


@virtually
async def test_closing_does_not_wait_for_a_dead_server(memory_api: Any) -> None:
    recorder = EventRecorder(memory_api)
    memory_api.fail(ApiUnreachable("down"))
    for number in range(100):
        await say(recorder, str(number))
    started = asyncio.get_running_loop().time()
    await recorder.close(drain_s=2)
    assert asyncio.get_running_loop().time() - started < 2.1
