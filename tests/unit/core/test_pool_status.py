from __future__ import annotations

from dataclasses import replace

import pytest

from fingerv7.core.pool_status import PoolView, SourceView, pool_status

SERVING = PoolView(
    generation=1,
    leader_epoch=7,
    streams=20,
    assigned=20,
    unassigned=(),
    workers=2,
    ready=2,
    silent=(),
    moving_in_s=None,
    capacity=40,
    weight=20,
    imbalance_percent=0.0,
    balanced=True,
    cooling_down=False,
    source=SourceView(reachable=True, reason="Reachable", message="", identity="db"),
    starting="",
    paused=False,
    deleting=False,
)


def _conditions(view: PoolView) -> dict[str, tuple[bool, str]]:
    return {each.type: (each.status, each.reason) for each in pool_status(view)["conditions"]}


def test_a_pool_that_serves_all_says_so():
    assert _conditions(SERVING) == {
        "Ready": (True, "Serving"),
        "SourceReachable": (True, "Reachable"),
        "SourceChanged": (False, "Unchanged"),
        "SourceShared": (False, "Exclusive"),
        "Balanced": (True, "Balanced"),
        "CapacitySufficient": (True, "Sufficient"),
        "TakeoverHeld": (False, "NotHeld"),
        "StreamsSuspected": (False, "NoneSuspected"),
        "Paused": (False, "NotRequested"),
    }


@pytest.mark.parametrize(
    ("changes", "ready", "capacity"),
    [
        ({"unassigned": [("s1", "NoCapacity")]}, (False, "StreamsUnassigned"), (False, "NoCapacity")),
        ({"unassigned": [("s1", "NoCapableWorker")]}, (False, "StreamsUnassigned"), (False, "NoCapableWorker")),
        ({"ready": 0, "capacity": 0}, (False, "NoReadyWorkers"), (False, "NoReadyWorkers")),
        ({"ready": 0, "capacity": 0, "workers": 0}, (False, "NoWorkers"), (False, "NoReadyWorkers")),
        ({"ready": 0, "capacity": 0, "streams": 0}, (False, "NoReadyWorkers"), (True, "Sufficient")),
        ({"ready": 0, "capacity": 0, "starting": "waits"}, (False, "Starting"), (True, "Sufficient")),
    ],
)
def test_what_is_lacking_is_told(changes, ready, capacity):
    conditions = _conditions(replace(SERVING, **changes))
    assert (conditions["Ready"], conditions["CapacitySufficient"]) == (ready, capacity)
