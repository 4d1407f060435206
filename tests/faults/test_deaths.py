"""A worker that dies whenever it gets streams: it gets them more and more seldom, and nobody waits for it.

Its deaths are played from outside. One stream that kills every worker is in tests/integration/system/test_brakes.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Self

import pytest

from devenv.cluster import Cluster
from devenv.fleet import Fleet
from devenv.fleet_api import fingerv7
from devenv.postgres import Postgres
from fingerv7.contract import END_BACK_OFF
from reference_worker.checker import running_streams

from .seen import SOON_S, await_ready, condition, judge, started, worker_name

WORKERS = 5
FIRST_S = 10.0
"""The first back-off; each that follows is twice as long."""
RESTART_GAP_S = 6.0
"""A worker that ended is proof of its own, so nobody waits for T: its streams move at once, or it is back soon."""


@pytest.fixture(scope="module")
def fleet(cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(cluster, postgres, rows=40, folder=tmp_path_factory.mktemp("deaths")) as fleet:
        yield started(fleet, WORKERS, max_streams=20)


class Executioner:
    """Kills every worker that processes something which `condemns` names, from `with` to its end."""

    def __init__(self, fleet: Fleet, condemns: Callable[[dict[str, str]], Iterable[str]]) -> None:
        self._fleet = fleet
        self._condemns = condemns
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.killed: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            for name in self._condemns(running_streams(self._fleet.journal_dsn)):
                worker = self._fleet.workers[name]
                if worker.worker.process.alive:
                    worker.kill_worker()
                    self.killed.append(name)


@pytest.mark.long
def test_a_worker_that_dies_whenever_it_gets_streams_gets_them_less_and_less(fleet: Fleet) -> None:
    await_ready(fleet, *fleet.workers)
    sick, since = worker_name(1), fleet.now()
    with Executioner(fleet, lambda running: {sick} & set(running.values())) as executioner:
        first = fleet.wait_for(lambda: _backing_off_s(fleet, sick), SOON_S, f"{sick} is backing off")
        second = fleet.wait_for(
            lambda: next((s for s in [_backing_off_s(fleet, sick)] if s > FIRST_S), 0.0), 2 * SOON_S, "for longer"
        )
        print(f"at first for {first:.0f} s, then for {second:.0f} s; {len(executioner.killed)} deaths")
        fault = f"a worker killed whenever it has streams, {len(executioner.killed)} times"
        judge(fleet, fault, since=since, allowed_gap_s=RESTART_GAP_S)
        assert sick not in fleet.running().values()
        assert first <= FIRST_S < second
    path = fingerv7(fleet.namespace, "streampools", fleet.pool)
    fleet.api.merge(path, {"metadata": {"annotations": {END_BACK_OFF: "it-is-mended"}}})
    await_ready(fleet, sick)


def _backing_off_s(fleet: Fleet, name: str) -> float:
    """From `died lately; eligible again in 20 s`; 0 when it is not backing off."""
    ready = condition(fleet.finger_worker(name), "Ready")
    return float(ready["message"].split()[-2]) if ready.get("reason") == "BackingOff" else 0.0
