"""What a fleet's loop makes of a pool, without a cluster."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fingerv7.api.conditions import WorkersReady as Reason
from fingerv7.api.streampool import StreamPool
from fingerv7.core.managed.model import Scaling
from fingerv7.core.managed.report import Report, report
from fingerv7.core.managed.round import Memory, decide
from fingerv7.core.model import Stream, Worker
from fingerv7.runtime.crew import CrewLoop

SOURCE = {"postgres": {"secretRef": {"name": "db"}, "table": "streams"}}


def a_pool(container=None, *, spec=None, **workers):
    container = {"name": "fingerv7", "image": "fingerv7:1", "command": ["fingerv7"], **(container or {})}
    template = {"spec": {"containers": [container], **(spec or {})}}
    return StreamPool.parse(
        {
            "metadata": {"name": "radio", "namespace": "music", "uid": "u"},
            "kind": "StreamPool",
            "spec": {"source": SOURCE, "workers": {"template": template, **workers}},
        }
    )


def a_loop(pool):
    office = SimpleNamespace(
        api=None,
        term=SimpleNamespace(unknown={}, may_write=True),
        recorder=None,
        clocks=SimpleNamespace(monotonic=lambda: 0.0, wall=lambda: 0.0),
        sidecar_image="sidecar:1",
        sidecar_pull_policy="IfNotPresent",
    )
    loop = CrewLoop.__new__(CrewLoop)
    loop._key, loop._office = ("music", "radio"), office
    loop._recipe = loop._blocked = loop._cooked_for = None
    loop._clock, loop._stale_at_s = lambda: 0.0, float("inf")
    loop._cook(pool)
    return loop


@pytest.mark.parametrize(
    "pool",
    [
        a_pool({"securityContext": "abc"}),
        a_pool({"securityContext": ["abc"]}),
        a_pool(spec={"securityContext": 5}),
        a_pool(spec={"terminationGracePeriodSeconds": 2**70}),
        a_pool({"env": [None]}),
        a_pool(sidecar={"resources": {"limits": {"cpu": 2**70}}}),
    ],
)
def test_whatever_is_wrong_with_a_template_is_said_and_said_again(pool):
    loop = a_loop(pool)
    for _ in range(2):
        assert loop._recipe is None
        assert loop._blocked.reason == "TemplateInvalid"
        assert loop._blocked.message.startswith("spec.workers")
        loop._cook(pool)


def test_a_template_that_works():
    loop = a_loop(a_pool())
    assert loop._blocked is None
    assert loop._recipe.revision


def test_without_an_image_for_the_sidecar():
    loop = a_loop(a_pool())
    loop._office.sidecar_image = ""
    loop._cook(a_pool(replicas=7))
    assert loop._blocked.reason == "SidecarImageMissing"


async def test_what_comes_and_goes_is_told_once_a_minute():
    loop, told, now = a_loop(a_pool()), [], [0.0]

    async def record(*_, message, **__):
        told.append((now[0], message))

    loop._clock = lambda: now[0]
    loop._office.recorder = SimpleNamespace(record=record)
    loop._loop, loop._told, loop._shown = SimpleNamespace(), {}, None
    for at in range(0, 120, 10):
        now[0] = float(at)
        troubles = [(Reason.CRASHING, "it crashes")] if at % 20 == 0 else []
        await loop._tell(a_pool(), Report(None, {}, troubles))
    assert told == [(0.0, "it crashes"), (80.0, "it crashes")]


def test_the_demand_of_a_catalog_is_counted_once_and_that_of_a_large_one_elsewhere():
    class Catalog(dict):
        counted = 0

        def values(self):
            self.counted += 1
            return super().values()

    def served(count):
        return Catalog({f"s{n}": Stream(f"s{n}", "http://x") for n in range(count)}), frozenset({"s0"})

    loop = a_loop(a_pool())
    scaling = Scaling(least=1, most=5, target_percent=80, window_s=0.0)
    crew = SimpleNamespace(wanted=SimpleNamespace(scaling=scaling))
    loop._counted, loop._loop = None, SimpleNamespace(served=None)
    assert loop._demand() is None
    loop._loop.served = served(7)
    assert not loop._counts_much(crew)
    assert loop._demand() == loop._demand() == {frozenset(): 6}
    assert loop._loop.served[0].counted == 1
    loop._loop.served = served(20_000)
    assert loop._counts_much(crew)
    assert loop._demand() == {frozenset(): 19_999}
    assert not loop._counts_much(crew)


async def test_a_right_that_is_withdrawn_is_told_also_where_pods_were_seen_before_and_no_workers_are_wanted():
    worker = Worker("radio-001", "uid", 1, "radio", 50, managed=True)
    pool = StreamPool.parse(
        {
            "metadata": {"name": "radio", "namespace": "music", "uid": "u"},
            "kind": "StreamPool",
            "spec": {"source": SOURCE},
        }
    )
    loop, told = a_loop(pool), []

    async def tell(_, seen):
        told.append(seen)

    loop._fleet = SimpleNamespace(
        workers_of=lambda _: {"radio-001": worker}, lease=lambda *_: None, workers=SimpleNamespace(store={})
    )
    loop._pods = SimpleNamespace(error="403 Forbidden: pods is forbidden", pod=lambda *_: None)
    loop._writer, loop._mounts = SimpleNamespace(refused={}, hindered={}), SimpleNamespace(lacking={})
    loop._clock, loop._tell = lambda: 0.0, tell
    await loop._report_blindness(pool)
    assert told[0].condition.reason == "OperatorForbidden"
    crew = loop._gather(a_pool())
    loop._memory = Memory()
    shown = report(crew, decide(crew, loop._memory))
    assert shown.condition.reason == "OperatorForbidden"
    assert "cannot watch pods" in shown.condition.message
    loop._pods.error = ""
    assert loop._gather(a_pool()).hindered == {}
