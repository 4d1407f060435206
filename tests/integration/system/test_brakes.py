"""What is held back on purpose is shown by a condition, an Event and a metric, and ends when a user says so."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from devenv.fleet import FAST
from devenv.fleet_api import fingerv7
from devenv.ports import ReservedPort
from devenv.streams import invent

from .conftest import LEASE_S, SOON_S

pytestmark = pytest.mark.integration

WORKERS = 5


@pytest.fixture
def reserved_port() -> Iterator[int]:
    """For the operator's metrics."""
    port = ReservedPort()
    yield port.number
    port.release()


def test_a_stream_that_ends_every_worker_it_lands_on_is_kept_from_the_others(
    start_system: Any, reserved_port: int
) -> None:
    port = reserved_port
    environment = {**LEASE_S, "FINGERV7_LISTEN": f"127.0.0.1:{port}"}
    system = start_system(workers=WORKERS, rows=20, liveness=FAST, operator_environment=environment)
    fleet = system.fleet
    pool = fingerv7(fleet.namespace, "streampools", fleet.pool)

    def annotate(word: str) -> None:
        fleet.api.merge(pool, {"metadata": {"annotations": {f"fingerv7.io/{word}": "now"}}})

    (poison,) = invent(1, first=6666)
    fleet.table.insert([poison])
    victims: list[str] = []
    for _ in range(3):
        # It is still in the journal of a worker that was killed, until that is noticed.
        name = fleet.wait_for(
            lambda: next((n for i, n in fleet.running().items() if i == poison.id and n not in victims), ""),
            SOON_S,
            "somebody processes the stream",
        )
        victims.append(name)
        fleet.workers[name].worker.restart = False
        fleet.workers[name].kill_worker()
        system.await_worker(name, "Ready", False, "Released")
    message = system.await_pool("StreamsSuspected", True, "SuspectedPoison", poison.id, "fingerv7.io/release-streams")
    print(message)
    system.await_event("StreamPool", fleet.pool, "SuspectedPoison", poison.id, "three workers died")
    fleet.wait_for(lambda: len(fleet.running()) == 20, SOON_S, "all the other streams are processed")
    assert poison.id not in fleet.running()
    status = fleet.stream_pool()["status"]
    assert (status["streams"], status["assigned"], status["unassigned"]) == (21, 20, 1)
    assert status["unassignedReasons"] == {"SuspectedPoison": 1}
    assert metric(port, "suspected_streams") == 1

    for name in victims:
        fleet.workers[name].worker.restart = True
    # The last of them died within the last ten seconds.
    system.await_worker(victims[-1], "Ready", True, "BackingOff", "eligible again in")
    system.await_event("FingerWorker", victims[-1], "BackingOff")
    assert metric(port, "backing_off_workers") >= 1
    annotate("end-back-off")
    system.await_event("StreamPool", fleet.pool, "BackOffEnded", victims[-1], "fingerv7.io/end-back-off=now")
    for name in victims:
        system.await_worker(name, "Ready", True, "Active")
    assert metric(port, "backing_off_workers") == 0

    annotate("release-streams")
    system.await_event("StreamPool", fleet.pool, "StreamsReleased", poison.id)
    fleet.wait_for(lambda: poison.id in fleet.running(), SOON_S, "the stream has another chance")
    system.await_pool("StreamsSuspected", False, "NoneSuspected")
    assert metric(port, "suspected_streams") == 0
    assert fleet.stream_pool()["status"]["answeredOverrides"] == {
        "fingerv7.io/end-back-off": "now",
        "fingerv7.io/release-streams": "now",
    }


def test_a_held_takeover_is_released_by_an_annotation(start_system: Any, reserved_port: int) -> None:
    port = reserved_port
    environment = {**LEASE_S, "FINGERV7_LISTEN": f"127.0.0.1:{port}"}
    liveness = {**FAST, "massFailure": {"thresholdPercent": 50, "maxHold": "10m"}}
    system = start_system(workers=4, rows=20, liveness=liveness, operator_environment=environment)
    fleet = system.fleet
    dead = [f"fingerv7-{number:03}" for number in range(3)]
    for name in dead:
        fleet.workers[name].kill()
    system.await_pool("TakeoverHeld", True, "MassFailure", "3 of 4 workers", "fingerv7.io/release-takeovers=now")
    system.await_event("StreamPool", fleet.pool, "MassFailure", "3 of 4 workers")
    for name in dead:
        system.await_worker(name, "Ready", False, "TakeoverHeld")
    assert metric(port, "held_workers") == 3
    pool = fingerv7(fleet.namespace, "streampools", fleet.pool)
    fleet.api.merge(pool, {"metadata": {"annotations": {"fingerv7.io/release-takeovers": "now"}}})
    fleet.wait_all_running(SOON_S)
    assert set(fleet.running().values()) == {"fingerv7-003"}
    system.await_event("StreamPool", fleet.pool, "TakeoversReleased", "3 workers", "taken over at once")
    system.await_pool("TakeoverHeld", False, "NotHeld")
    assert metric(port, "held_workers") == 0


def metric(port: int, name: str) -> float:
    """Of the one pool; the endpoint that shows it is alive as well."""
    health, body = ask(port, "/healthz")
    assert health == 200, body
    assert json.loads(body)["stuck"] == {}
    found = re.search(rf"^fingerv7_pool_{name}{{.*}} (\S+)$", ask(port, "/metrics")[1], re.MULTILINE)
    assert found, name
    return float(found[1])


def ask(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
