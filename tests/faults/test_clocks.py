"""A wall clock that jumps by an hour, forwards and back: nobody compares one with anybody else's.

libfaketime takes the place of the C library's clocks in one process. The monotonic clocks stay, as they do when
somebody sets the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devenv.cluster import Cluster
from devenv.fleet import Fleet
from devenv.packages import Tool, install_tools
from devenv.postgres import Postgres
from devenv.progress import print_progress
from devenv.surroundings import here

from .seen import (
    ELECTION,
    PROMISED_GAP_S,
    SOON_S,
    await_ready,
    gaps,
    holds,
    judge,
    judge_worker,
    leads,
    serves_new_row,
    start_standby,
    worker_name,
)

HOUR_S = 3600
AHEAD, BEHIND, OTHER, DEAD = (worker_name(number) for number in range(1, 5))


class FakeClock:
    """The wall clock of one process, which is told by a file."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._library = library
        self._file = folder / "clock"
        folder.mkdir(parents=True)
        self.set(0)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset_s: int) -> None:
        temporary = self._file.with_suffix(".new")
        temporary.write_text(f"{offset_s:+d}s\n")
        temporary.replace(self._file)


@pytest.fixture(scope="module")
def libfaketime() -> Path:
    """Raises MissingRequirementsError with what to install, where it is missing and cannot be installed."""
    install_tools((Tool("faketime", "faketime"),), "a wall clock that jumps", here(), print_progress)
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@pytest.fixture(scope="module")
def clocks(
    cluster: Cluster, postgres: Postgres, libfaketime: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Fleet, dict[str, FakeClock]]]:
    folder = tmp_path_factory.mktemp("clocks")
    clocks = {
        name: FakeClock(libfaketime, folder / "clocks" / name) for name in (AHEAD, BEHIND, "operator-a", "operator-b")
    }
    with Fleet(cluster, postgres, rows=40, operator_environment=ELECTION, folder=folder) as fleet:
        for name in (AHEAD, BEHIND):
            fleet.start_worker(name, 30, sidecar_environment=clocks[name].environment)
        for name in (OTHER, DEAD):
            fleet.start_worker(name, 30)
        fleet.start_operator("operator-a", **clocks["operator-a"].environment)
        fleet.wait_all_running(90)
        await_ready(fleet, *fleet.workers)
        yield fleet, clocks


def test_a_sidecars_clock_that_jumps_costs_a_moment_at_most(clocks: tuple[Fleet, dict[str, FakeClock]]) -> None:
    fleet, fake = clocks
    before, since = fleet.assigned(), fleet.now()
    for name, offset_s in ((AHEAD, HOUR_S), (BEHIND, -HOUR_S), (AHEAD, 0), (BEHIND, 0)):
        jumped_at = fleet.now()
        fake[name].set(offset_s)
        _await_renewal_at(fleet, name, offset_s)
        await_ready(fleet, name)
        fleet.wait_all_running(SOON_S)
        lost = [stream for stream, worker in before.items() if worker == name]
        # A clock that leaps ahead may mean that the machine slept, so the sidecar stops its worker and asks first.
        judge_worker(f"a sidecar's clock jumps to {offset_s:+d} s", gaps(fleet, jumped_at), lost, 3.0)
    assert fleet.assigned() == before
    judge(fleet, "wall clocks of sidecars moved by an hour", since=since, allowed_gap_s=3.0)


def test_an_operators_clock_that_jumps_moves_nothing(clocks: tuple[Fleet, dict[str, FakeClock]]) -> None:
    fleet, fake = clocks
    leader = fleet.operators["operator-a"]
    standby = fleet.start_operator("operator-b", **fake["operator-b"].environment)
    start_standby(fleet, standby)
    before, since = fleet.assigned(), fleet.now()
    for leaders_s, standbys_s in ((HOUR_S, -HOUR_S), (-HOUR_S, HOUR_S)):
        fake["operator-a"].set(leaders_s)
        fake["operator-b"].set(standbys_s)
        _await_election_renewal_at(fleet, leaders_s)
        assert leads(fleet, leader)
        assert fleet.assigned() == before
    serves_new_row(fleet, 7001)
    assert gaps(fleet, since) == [], "a stream was stopped"
    # And with the clocks an hour wrong a death is still a matter of T.
    killed_at = fleet.now()
    fleet.workers[DEAD].kill()
    fleet.wait_for(lambda: holds(fleet, DEAD) == 0, SOON_S, f"{DEAD} was taken over")
    judge(
        fleet, "a worker killed while operators' clocks are off by 1 h", since=killed_at, allowed_gap_s=PROMISED_GAP_S
    )


def _await_renewal_at(fleet: Fleet, name: str, offset_s: int) -> None:
    """Until its Lease shows the new time: the jump has reached the process."""
    fleet.wait_for(lambda: _off_by(fleet, name, offset_s), SOON_S, f"{name} renews with a clock of {offset_s:+d} s")


def _await_election_renewal_at(fleet: Fleet, offset_s: int) -> None:
    fleet.wait_for(lambda: _off_by(fleet, "fingerv7-operator", offset_s), SOON_S, f"a clock of {offset_s:+d} s")


def _off_by(fleet: Fleet, lease: str, offset_s: int) -> bool:
    found = fleet.lease(lease)
    assert found
    renewed = datetime.fromisoformat(found["spec"]["renewTime"])
    return abs((renewed - datetime.now(UTC)).total_seconds() - offset_s) < 60
