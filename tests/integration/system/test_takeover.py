"""Workers that die, hang or freeze: their streams are elsewhere in time, and never in two places."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest

from devenv.cluster import Cluster
from devenv.fleet import Fleet, assignment
from devenv.postgres import Postgres
from devenv.proof import prove
from reference_worker import checker
from reference_worker.verdict import Gap

TAKEOVER_S = 10.0
PROMISED_GAP_S = TAKEOVER_S + 1.0
MARGIN_S = 1.0
"""For a test machine whose two cores are everything's; the figures of a quiet one are in docs/benchmarks.md."""
SOON_S = 30.0
DEAD, ORPHANED, FROZEN, HUNG = (f"fingerv7-{number:03}" for number in range(1, 5))
OTHERS = [f"fingerv7-{number:03}" for number in range(5, 10)]


@dataclass(frozen=True)
class Aftermath:
    """Four of nine workers failed at the same moment, each in its own way."""

    fleet: Fleet
    before: dict[str, str]
    """By stream: who had it when it happened."""
    gaps: list[Gap]
    """Every time that a stream was on nobody, since then."""
    began: datetime

    def gaps_of(self, name: str) -> list[Gap]:
        return [gap for gap in self.gaps if gap.first_worker == name and self.before[gap.stream] == name]


@pytest.fixture(scope="module")
def aftermath(cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    folder = tmp_path_factory.mktemp("takeover")
    with Fleet(cluster, postgres, rows=180, folder=folder) as fleet:
        for name in (DEAD, ORPHANED, FROZEN, HUNG, *OTHERS):
            sidecar = {"REPORT_TIMEOUT": "2s"} if name == HUNG else {}
            fleet.start_worker(name, 60, sidecar_environment=sidecar)
        fleet.start_operator()
        fleet.wait_all_running(60)
        before, began = fleet.assigned(), fleet.now()
        fleet.workers[DEAD].kill()
        fleet.workers[ORPHANED].kill_sidecar(restart=False)
        frozen = fleet.workers[FROZEN].sidecar.process
        frozen.send(signal.SIGSTOP)
        thaw_at = time.monotonic() + 2 * TAKEOVER_S
        fleet.workers[HUNG].worker.process.send(signal.SIGSTOP)
        try:
            fleet.wait_for(
                lambda: not set(fleet.running().values()) & {DEAD, ORPHANED, FROZEN},
                SOON_S,
                "they run nothing any more",
            )
            fleet.wait_all_running(SOON_S)
            fleet.wait_for(lambda: time.monotonic() > thaw_at, 3 * TAKEOVER_S, "twice the takeover time is over")
        finally:
            frozen.send(signal.SIGCONT)
        gaps = checker.check(fleet.journal_dsn, allowed_gap_s=0.0, since=began).gaps
        yield Aftermath(fleet, before, gaps, began)


def test_a_worker_and_its_sidecar_killed_at_once_are_replaced_within_the_promise(aftermath: Aftermath) -> None:
    _on_nobody_for_at_most(aftermath, DEAD, PROMISED_GAP_S)


def test_a_worker_whose_sidecar_was_killed_stops_by_itself_and_is_replaced(aftermath: Aftermath) -> None:
    _on_nobody_for_at_most(aftermath, ORPHANED, PROMISED_GAP_S)


def test_a_frozen_sidecar_stops_its_worker_too_and_does_no_harm_when_it_thaws(aftermath: Aftermath) -> None:
    _on_nobody_for_at_most(aftermath, FROZEN, PROMISED_GAP_S)
    fleet = aftermath.fleet
    # It thinks that no time has passed; what it does first must be to find out.
    fleet.wait_for(lambda: _ready(fleet, FROZEN), SOON_S, f"{FROZEN} is heard again")
    prove(fleet, since=aftermath.began, allowed_gap_s=2 * TAKEOVER_S)


def test_a_hung_worker_beside_a_live_sidecar_is_restarted_and_goes_on(aftermath: Aftermath) -> None:
    # Its sidecar misses its reports, empties its config and lets the liveness probe fail.
    _on_nobody_for_at_most(aftermath, HUNG, PROMISED_GAP_S)
    worker = aftermath.fleet.workers[HUNG]
    assert worker.probe.failures == worker.worker.restarts == 1


def test_of_all_that_nothing_was_ever_in_two_places(aftermath: Aftermath) -> None:
    fleet = aftermath.fleet
    verdict = prove(fleet, allowed_gap_s=PROMISED_GAP_S + MARGIN_S)
    assert not verdict.refusals


@pytest.mark.long
def test_when_most_of_a_fleet_goes_silent_takeovers_wait_and_then_proceed(
    cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    hold_s = 4.0
    liveness = {
        "renewInterval": "1s",
        "requestTimeout": "1s",
        "fenceAfter": "5s",
        "stopTime": "3s",
        "takeoverAfter": "10s",
        "massFailure": {"thresholdPercent": 50, "maxHold": f"{hold_s:.0f}s"},
    }
    folder = tmp_path_factory.mktemp("brake")
    with Fleet(cluster, postgres, rows=40, liveness=liveness, folder=folder) as fleet:
        names = [f"fingerv7-{number:03}" for number in range(1, 5)]
        for name in names:
            fleet.start_worker(name, 50)
        fleet.start_operator()
        fleet.wait_all_running(60)
        lost = [stream for stream, worker in fleet.running().items() if worker != names[0]]
        for name in names[1:]:
            fleet.workers[name].kill()
        held = fleet.wait_for(lambda: _takeover_held(fleet), SOON_S, "takeovers are held, and the pool says so")
        print(held)
        assert "3 of 4 workers went silent at once" in held
        assert not fleet.running().keys() & set(lost), "something was taken over before the hold was over"
        fleet.wait_for(lambda: not _takeover_held(fleet), SOON_S, "the brake let go")
        # One worker at a time, a quarter of T apart.
        verdict = prove(fleet, allowed_gap_s=PROMISED_GAP_S + hold_s + 2 * TAKEOVER_S / 4 + MARGIN_S)
        assert verdict.longest_gap_s > TAKEOVER_S - 2.0 + hold_s, "nothing was held"


# --- what is looked at ------------------------------------------------------------------------------------


def _on_nobody_for_at_most(aftermath: Aftermath, name: str, promised_s: float) -> None:
    lost = {stream for stream, worker in aftermath.before.items() if worker == name}
    gaps = aftermath.gaps_of(name)
    assert lost
    assert {gap.stream for gap in gaps} == lost
    longest_s = max(gap.seconds for gap in gaps)
    print(
        f"{len(lost)} streams of {name} were on nobody for at most {longest_s:.2f} s; promised are {promised_s:.0f} s"
    )
    assert longest_s <= promised_s + MARGIN_S
    assert not {gap.second_worker for gap in gaps} & {DEAD, ORPHANED, FROZEN}


def _ready(fleet: Fleet, name: str) -> bool:
    status = fleet.finger_worker(name)["status"]
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status["conditions"])
    epoch = assignment(fleet.finger_worker(name)).get("epoch", 0)
    return ready and status.get("appliedEpoch") == epoch


def _takeover_held(fleet: Fleet) -> str:
    """The condition's message; empty when it is not true."""
    conditions = fleet.stream_pool()["status"]["conditions"]
    return next((c["message"] for c in conditions if c["type"] == "TakeoverHeld" and c["status"] == "True"), "")
