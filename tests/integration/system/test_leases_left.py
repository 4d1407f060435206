"""The Lease of a worker that is no more goes soon after it, however it ended: nobody keeps track of it any more."""

from __future__ import annotations

import pytest

from devenv.fleet_api import Object, fingerv7
from devenv.fleet_objects import FAST
from fingerv7.contract import APPLIED, RELEASED

pytestmark = [pytest.mark.integration, pytest.mark.long]

GONE_S = 30
"""T, and a busy machine."""


def test_of_workers_that_made_their_lease_themselves(start_system):
    fleet = start_system(workers=1, liveness=FAST, registration="Open").fleet
    killed, stopped = names = "self-1", "self-2"
    for name in names:
        fleet.start_worker(name, 80, declare=False)
    fleet.wait_for(lambda: len(fleet.finger_workers()) == 1 + len(names), 30, "both have registered")
    # One that says that it runs nothing is let go at once, and then its Lease, still fresh, asks for another FingerWorker.
    fleet.wait_for(lambda: all(_is_at_work(fleet.lease(name)) for name in names), 30, "both are at work")
    fleet.workers[killed].kill()
    fleet.workers[stopped].stop_gracefully()
    paths = {name: fingerv7(fleet.namespace, "fingerworkers", name) for name in names}
    for path in paths.values():
        fleet.api.delete(path)
    for name, path in paths.items():
        fleet.wait_for(lambda path=path: fleet.api.find(path) is None, GONE_S, f"{name} is gone")
        fleet.wait_for(lambda name=name: fleet.lease(name) is None, GONE_S, "and its Lease")
    assert fleet.lease("fingerv7-000")


def _is_at_work(lease: Object | None) -> bool:
    said = (lease or {}).get("metadata", {}).get("annotations", {})
    return APPLIED in said and RELEASED not in said
