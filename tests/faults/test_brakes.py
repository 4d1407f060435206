"""Most of a fleet falls silent, and then all of it: more likely the network than so many deaths.

Workers that are really dead behind the brake are in tests/integration/system/test_takeover.py, its release by
annotation in test_brakes.py there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from devenv.cluster import Cluster
from devenv.fleet import FAST, Fleet
from devenv.ports import ReservedPort
from devenv.postgres import Postgres
from reference_worker.verdict import Window

from .seen import (
    PROMISED_GAP_S,
    SOON_S,
    TAKEOVER_S,
    await_condition,
    await_event,
    await_ready,
    holds,
    is_ready,
    judge,
    metric,
    started,
    worker_name,
)
from .wire import State, Wire

HOLD_S = 6.0
WORKERS = 5
NAMES = [worker_name(number) for number in range(1, WORKERS + 1)]
SILENT = NAMES[:3]
"""60 %."""


@dataclass(frozen=True)
class Network:
    fleet: Fleet
    wires: dict[str, Wire]
    metrics_port: int

    def cut(self, *names: str) -> None:
        for name in names:
            self.wires[name].state = State.SILENT

    def mend(self) -> None:
        for wire in self.wires.values():
            wire.state = State.OPEN
        await_ready(self.fleet, *NAMES)
        self.fleet.wait_for(self._shared, SOON_S, "every worker has streams")
        await_condition(self.fleet, "TakeoverHeld", False)
        self.fleet.wait_all_running(SOON_S)

    def _shared(self) -> bool:
        return {*self.fleet.running().values()} == {*NAMES} and all(is_ready(self.fleet, name) for name in NAMES)


@pytest.fixture(scope="module")
def made(cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Five workers, each on a cable of its own to the API server. What was taken over comes back at once."""
    liveness = {**FAST, "massFailure": {"thresholdPercent": 50, "maxHold": f"{HOLD_S:.0f}s"}}
    port = ReservedPort()
    with contextlib.ExitStack() as stack:
        stack.callback(port.release)
        wires = {name: stack.enter_context(Wire.to(cluster.server)) for name in NAMES}
        fleet = stack.enter_context(
            Fleet(
                cluster,
                postgres,
                rows=40,
                liveness=liveness,
                pool_spec={"balancing": {"cooldown": "1s", "maxMovesPerRoundPercent": 100}},
                operator_environment={"FINGERV7_LISTEN": f"127.0.0.1:{port.number}"},
                folder=tmp_path_factory.mktemp("brakes"),
            )
        )
        for name, wire in wires.items():
            fleet.start_worker(name, 20, sidecar_environment={"KUBERNETES_API_URL": wire.url})
        yield Network(started(fleet, 0), wires, port.number)


@pytest.fixture
def network(made: Network) -> Iterator[Network]:
    """All cables whole, every worker with streams."""
    made.mend()
    yield made
    made.mend()


@pytest.mark.long
def test_of_sixty_percent_nothing_is_taken_until_max_hold_is_over(network: Network) -> None:
    fleet = network.fleet
    since = fleet.now()
    lost = [stream for stream, worker in fleet.running().items() if worker in SILENT]
    network.cut(*SILENT)
    told = await_condition(fleet, "TakeoverHeld", True, "3 of 5 workers")
    print(told)
    assert not fleet.running().keys() & set(lost), "something was taken over before the hold was over"
    await_event(fleet, "StreamPool", "MassFailure")
    assert metric(network.metrics_port, "fingerv7_pool_condition", 'type="TakeoverHeld"') == 1
    assert metric(network.metrics_port, "fingerv7_pool_held_workers") == len(SILENT)
    await_condition(fleet, "TakeoverHeld", True, "Releasing", "proceed at a bounded rate")
    await_event(fleet, "StreamPool", "Releasing")
    fleet.wait_for(lambda: all(holds(fleet, name) == 0 for name in SILENT), SOON_S, "all three were taken over")
    # One worker at a time, a quarter of T apart.
    allowed_s = PROMISED_GAP_S + HOLD_S + 2 * TAKEOVER_S / 4
    judge(fleet, f"60 % silent, maxHold {HOLD_S:.0f} s", since=since, allowed_gap_s=allowed_s)
    network.mend()
    judge(fleet, "60 % silent and back", since=since, allowed_gap_s=allowed_s)


@pytest.mark.long
def test_when_everybody_falls_silent_they_all_go_on_where_they_were(network: Network) -> None:
    fleet = network.fleet
    before, since = fleet.assigned(), fleet.now()
    network.cut(*NAMES)
    await_condition(fleet, "TakeoverHeld", True, "5 of 5 workers")
    assert fleet.running() == {}, "everybody has stopped by itself"
    network.mend()
    # Heard again while the brake held: nobody lost anything.
    assert fleet.assigned() == before
    outage = Window(since, fleet.now(), PROMISED_GAP_S + HOLD_S)
    judge(fleet, "100 % silent for longer than T", since=since, allowed_gap_s=1.0, windows=[outage])
