"""What is known of a worker's Lease stays for as long as somebody may ask, and no longer."""

from __future__ import annotations

from fingerv7.contract import POOL_LABEL
from fingerv7.runtime.fleet import Fleet

KEY = ("ns", "a")
WORKER = {
    "metadata": {"namespace": "ns", "name": "a", "uid": "uid-a", "resourceVersion": "5"},
    "spec": {"poolRef": {"name": "radio"}, "maxStreams": 10},
}
LEASE = {
    "metadata": {
        "namespace": "ns",
        "name": "a",
        "uid": "lease-a",
        "resourceVersion": "6",
        "labels": {POOL_LABEL: "radio"},
    },
    "spec": {"holderIdentity": "pod/1", "renewTime": "2026-01-01T00:00:00.000000Z"},
}


class Watched:
    """A fleet that has seen a worker with its Lease."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fleet = Fleet(None, namespace=None, clock=lambda: self.now)  # type: ignore[arg-type]
        self.fleet.put_worker(WORKER)
        self.fleet.leases.put(LEASE)

    def silent_s(self) -> float:
        return self.now - self.fleet.observation(*KEY).since

    def remembered(self) -> bool:
        return KEY in self.fleet._observations


def test_the_silence_of_a_deleted_lease_is_measured_for_as_long_as_its_worker_exists():
    watched = Watched()
    watched.fleet.leases.forget(KEY, "lease-a")
    watched.now = 30.0
    assert watched.silent_s() == 30.0
    watched.fleet.workers.forget(KEY, "uid-a")
    assert watched.silent_s() == 0.0
    assert not watched.remembered()


def test_a_lease_that_outlives_its_worker_is_watched_on():
    watched = Watched()
    watched.fleet.workers.forget(KEY, "uid-a")
    watched.now = 30.0
    assert watched.silent_s() == 30.0
    watched.fleet.leases.forget(KEY, "lease-a")
    assert not watched.remembered()


def test_a_pool_without_workers_and_leases_is_forgotten():
    watched = Watched()
    watched.fleet.workers.forget(KEY, "uid-a")
    assert set(watched.fleet.leases_of(("ns", "radio"))) == {"a"}
    watched.fleet.leases.forget(KEY, "lease-a")
    assert not watched.fleet._members


def test_a_status_that_only_shows_something_wakes_nobody():
    watched, woken = Watched(), []
    watched.fleet.listen(("ns", "radio"), lambda: woken.append(1))
    newer = {**WORKER, "metadata": {**WORKER["metadata"], "resourceVersion": "7"}}
    watched.fleet.put_worker({**newer, "status": {"phase": "Active", "loadPercent": 3}})
    assert not woken
    newer["metadata"] = {**newer["metadata"], "resourceVersion": "8"}
    watched.fleet.put_worker({**newer, "status": {"assignment": {"epoch": 0, "leaderEpoch": 9, "streams": []}}})
    assert len(woken) == 1
    newer["metadata"] = {**newer["metadata"], "resourceVersion": "9"}
    watched.fleet.put_worker({**newer, "spec": {**WORKER["spec"], "drain": True}})
    assert len(woken) == 2
