"""What a fleet's loop makes of a pool, without a cluster."""

from __future__ import annotations

from types import SimpleNamespace

from fingerv7.core.managed.report import report
from fingerv7.core.managed.round import Memory, decide
from fingerv7.core.model import Worker
from fingerv7.runtime.crew import CrewLoop

from .managed_pools import a_pool, without_workers


async def test_a_right_that_is_withdrawn_is_told_also_where_pods_were_seen_before_and_no_workers_are_wanted():
    worker, told = Worker("radio-001", "uid", 1, "radio", 50, managed=True), []

    async def tell(_, seen):
        told.append(seen)

    loop = CrewLoop.__new__(CrewLoop)
    loop._key, loop._memory, loop._clock = ("music", "radio"), Memory(), lambda: 0.0
    loop._office = SimpleNamespace(term=SimpleNamespace(unknown={}), clocks=SimpleNamespace(wall=lambda: 0.0))
    loop._fleet = SimpleNamespace(
        workers_of=lambda _: {"radio-001": worker}, lease=lambda *_: None, workers=SimpleNamespace(store={})
    )
    loop._pods = SimpleNamespace(error="403 Forbidden: pods is forbidden", pod=lambda *_: None)
    loop._writer, loop._mounts = SimpleNamespace(refused={}, hindered={}), SimpleNamespace(lacking={})
    loop._recipe, loop._reporter = SimpleNamespace(revision="r", blocked=None), SimpleNamespace(tell=tell)
    await loop._report_blindness(without_workers())
    assert told[0].condition.reason == "OperatorForbidden"
    crew = loop._gather(a_pool())
    shown = report(crew, decide(crew, loop._memory))
    assert shown.condition.reason == "OperatorForbidden"
    assert "cannot watch pods" in shown.condition.message
