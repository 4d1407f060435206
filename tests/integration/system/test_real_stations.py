"""The whole system on a table of real radio stations: 2,131 of them, among eight workers of mixed capacity.

The table is no part of the repository. It is looked for in `shared/data/` beside the repository, or where
FINGERV7_STATIONS_CSV says; any CSV that `make demo STREAMS=…` takes will do.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devenv.cluster import Cluster
from devenv.fleet import Fleet, assignment
from devenv.postgres import Postgres
from devenv.proof import prove
from devenv.streams import invent, read_csv

STATIONS = Path(
    os.environ.get("FINGERV7_STATIONS_CSV")
    or Path(__file__).parents[4] / "shared" / "data" / "radio-stations.csv"  # beside the repository
)
pytestmark = pytest.mark.long

CAPACITIES = (200, 250, 300, 350, 400, 450, 500, 550)
TAKEOVER_S = 10.0
MARGIN_S = 4.0
"""For a test machine whose two cores are everything's: seven assignments of 300 stations are written after T."""
SOON_S = 60.0


@pytest.fixture(scope="module")
def fleet(cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Eight workers that are alive already, and no operator yet."""
    if not STATIONS.is_file():
        pytest.skip(f"no table of real stations at {STATIONS}; name one with FINGERV7_STATIONS_CSV")
    rows = read_csv(STATIONS)
    with Fleet(cluster, postgres, rows=rows, folder=tmp_path_factory.mktemp("stations")) as fleet:
        for number, capacity in enumerate(CAPACITIES, start=1):
            fleet.start_worker(f"fingerv7-{number:03}", capacity)
        fleet.wait_for(lambda: all(fleet.lease(name) for name in fleet.workers), SOON_S, "every worker is alive")
        yield fleet


def test_every_station_is_on_exactly_one_worker(fleet: Fleet) -> None:
    with _timed("operator's start to every station processed"):
        fleet.start_operator()
        fleet.wait_for(lambda: fleet.stream_pool().get("status", {}).get("streams"), SOON_S, "the table was read")
        status = fleet.wait_for(lambda: _settled(fleet), SOON_S, "every station has a worker")
        servable = status["streams"]
        fleet.wait_for(lambda: len(fleet.running()) == servable, SOON_S, f"{servable} stations are processed")
    rows = len(fleet.table.active_ids())
    print(f"{servable} of {rows} rows can be served, {status['quarantined']} are quarantined")
    assert servable + status["quarantined"] == rows
    counts = Counter(fleet.assigned().values())
    for worker in fleet.finger_workers():
        share = servable * worker["spec"]["maxStreams"] / sum(CAPACITIES)
        assert abs(counts[worker["metadata"]["name"]] - share) <= 1
    prove(fleet, allowed_gap_s=TAKEOVER_S, expected=fleet.assigned())


def test_the_stations_of_a_dead_worker_are_taken_over(fleet: Fleet) -> None:
    since, name = fleet.now(), "fingerv7-005"
    served, lost = set(fleet.running()), Counter(fleet.running().values())[name]
    with _timed(f"death of a worker with {lost} stations to all of them elsewhere"):
        fleet.workers[name].kill()
        fleet.wait_for(lambda: name not in fleet.running().values(), SOON_S, "its stations have stopped")
        fleet.wait_for(lambda: fleet.running().keys() == served, SOON_S, "every station is processed again")
    prove(fleet, since=since, allowed_gap_s=TAKEOVER_S + 1.0 + MARGIN_S, expected=served)


def test_a_worker_is_drained(fleet: Fleet) -> None:
    since, name, served = fleet.now(), "fingerv7-003", set(fleet.table.active_ids())
    moving = Counter(fleet.running().values())[name]
    with _timed(f"drain of {moving} stations"):
        fleet.patch_worker(name, {"drain": True})
        fleet.wait_for(lambda: not assignment(fleet.finger_worker(name)).get("streams"), SOON_S, "it has none left")
        fleet.wait_for(
            lambda: (running := fleet.running()).keys() == served and name not in running.values(),
            SOON_S,
            "every station is processed again, by others",
        )
    prove(fleet, since=since, allowed_gap_s=TAKEOVER_S / 2, expected=served)


def test_new_rows_are_served(fleet: Fleet) -> None:
    since, served, added = fleet.now(), set(fleet.table.active_ids()), invent(50, first=90_001)
    with _timed("50 inserted rows to all of them processed"):
        fleet.table.insert(added)
        wanted = served | {row.id for row in added}
        fleet.wait_for(lambda: fleet.running().keys() == wanted, SOON_S, "they are processed")
    prove(fleet, since=since, allowed_gap_s=TAKEOVER_S / 2, expected=wanted)
    # Over all that happened here, no station was ever in two places.
    prove(fleet, allowed_gap_s=TAKEOVER_S + 1.0 + MARGIN_S, expected=wanted)


# --- what is looked at ------------------------------------------------------------------------------------


def _settled(fleet: Fleet) -> dict[str, int]:
    """The pool's status once nothing is left to assign."""
    status: dict[str, int] = fleet.stream_pool()["status"]
    return status if status.get("assigned") and status["assigned"] == status["streams"] else {}


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.2f} s")
