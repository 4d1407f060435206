"""From rows of the table to workers' configs: who gets what, and what happens when rows or needs change."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from devenv.cluster import Cluster
from devenv.fleet import Fleet
from devenv.postgres import Postgres
from devenv.proof import prove
from devenv.streams import invent

ROWS = 300
SHARES = {"fingerv7-001": 100, "fingerv7-002": 150, "fingerv7-003": 50}
SPECIALIST = "fingerv7-002"
SOON_S = 20.0
PLANNED_GAP_S = 5.0
"""What a busy machine may make of "well under a second"; half of the time after which it would be a takeover."""


@pytest.fixture(scope="module")
def fleet(cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three workers with exactly as many places as there are rows."""
    folder = tmp_path_factory.mktemp("assignment")
    with Fleet(cluster, postgres, rows=ROWS, folder=folder) as fleet:
        fleet.table.script("ALTER TABLE streams ADD COLUMN capabilities text[]")
        fleet.patch_pool({"source": {"postgres": {"columns": {"capabilities": "capabilities"}}}})
        for name, places in SHARES.items():
            kinds = ("audio_fingerprinting", "speech") if name == SPECIALIST else ()
            fleet.start_worker(name, places, capabilities=kinds)
        fleet.start_operator()
        fleet.wait_all_running(60)
        yield fleet


def test_every_worker_gets_its_share_of_the_rows(fleet: Fleet) -> None:
    assert Counter(fleet.assigned().values()) == SHARES
    assert Counter(fleet.running().values()) == SHARES
    prove(fleet, allowed_gap_s=PLANNED_GAP_S)


def test_kubectl_get_answers_the_first_question(fleet: Fleet) -> None:
    def table(plural: str) -> list[list[str]]:
        return [line.split() for line in fleet.cluster.kubectl("get", plural, "-n", fleet.namespace).splitlines()]

    def settled() -> bool:
        return all(row[:-1][-2:] == ["True", "Active"] for row in table("fingerworkers")[1:])

    fleet.wait_for(settled, SOON_S, "every worker is shown as active, with everything applied")
    titles, *workers = table("fingerworkers")
    assert titles == ["NAME", "READY", "POOL", "STREAMS", "CAPACITY", "LOAD%", "APPLIED", "PHASE", "AGE"]
    assert [row[:-1] for row in workers] == [
        [name, "True", "radio", str(places), str(places), "100", "True", "Active"] for name, places in SHARES.items()
    ]
    fleet.wait_for(lambda: table("streampools")[1][1] == "True", SOON_S, "the pool is shown as ready")
    titles, pool = table("streampools")
    assert titles == (
        [
            "NAME",
            "READY",
            "STREAMS",
            "ASSIGNED",
            "UNASSIGNED",
            "WORKERS",
            "READY-WORKERS",
            "LOAD%",
            "IMBALANCE%",
            "PAUSED",
            "AGE",
        ]
    )
    assert pool[:-1] == ["radio", "True", "300", "300", "0", "3", "3", "100", "0", "false"]


def test_a_deactivated_row_disappears(fleet: Fleet) -> None:
    gone, owner = _some_stream(fleet)
    fleet.table.set_active([gone], active=False)
    fleet.wait_for(lambda: gone not in _configured(fleet, owner), SOON_S, f"{gone} leaves the config of {owner}")
    prove(fleet, allowed_gap_s=PLANNED_GAP_S)
    assert gone not in fleet.assigned()


def test_an_inserted_row_reaches_a_config_by_notification(fleet: Fleet) -> None:
    (row,) = invent(1, first=5001)
    # The next poll is up to half a minute away, far beyond the deadline.
    fleet.table.insert([row])
    owner = fleet.wait_for(lambda: fleet.assigned().get(row.id), 10, "the row is assigned")
    fleet.wait_for(lambda: row.id in _configured(fleet, owner), 10, "the row is in the config of its worker")
    assert _configured(fleet, owner)[row.id]["url"] == row.url
    prove(fleet, allowed_gap_s=PLANNED_GAP_S)


def test_a_changed_url_reaches_the_same_worker_under_the_same_token(fleet: Fleet) -> None:
    changed, owner = _some_stream(fleet)
    before = _configured(fleet, owner)[changed]
    address = "https://moved.radio.example.org/live.mp3"
    fleet.table.query("UPDATE streams SET url = $2, updated_at = now() WHERE id = $1", changed, address)
    fleet.wait_for(lambda: _configured(fleet, owner)[changed]["url"] == address, SOON_S, "the config has the new url")
    assert _configured(fleet, owner)[changed]["token"] == before["token"]
    assert fleet.assigned()[changed] == owner
    prove(fleet, allowed_gap_s=PLANNED_GAP_S)


def test_what_finds_no_room_is_counted_and_the_rest_is_served(fleet: Fleet) -> None:
    too_many = invent(20, first=6001)
    served = fleet.table.active_ids()
    fleet.table.insert(too_many)
    _await_status(fleet, unassigned=20, unassignedReasons={"NoCapacity": 20}, assigned=ROWS, streams=ROWS + 20)
    _await_condition(fleet, "Ready", "False", "StreamsUnassigned")
    _await_condition(fleet, "CapacitySufficient", "False", "NoCapacity")
    # Who was placed stays placed.
    prove(fleet, allowed_gap_s=PLANNED_GAP_S, expected=served)
    fleet.table.delete([row.id for row in too_many])
    _await_status(fleet, unassigned=0, assigned=ROWS)
    _await_condition(fleet, "Ready", "True", "Serving")


def test_a_heavy_row_takes_the_places_of_several(fleet: Fleet) -> None:
    heavy, owner = _some_stream(fleet)
    neighbours = sorted(i for i, worker in fleet.assigned().items() if worker == owner and i != heavy)
    # No room for it: of all that could be left out, it alone is.
    _weigh(fleet, heavy, 11)
    _await_status(fleet, unassignedReasons={"NoCapacity": 1}, assigned=ROWS - 1)
    fleet.table.set_active(neighbours[:10], active=False)
    fleet.wait_for(
        lambda: fleet.running().get(heavy) == owner, SOON_S, "the heavy row runs where ten others made room"
    )
    _await_status(fleet, unassigned=0, assigned=ROWS - 10, loadPercent=100)
    assert Counter(fleet.assigned().values())[owner] == SHARES[owner] - 10
    _weigh(fleet, heavy, 1)
    fleet.table.set_active(neighbours[:10], active=True)
    _await_status(fleet, unassigned=0, assigned=ROWS)
    # What its owner took out of the table, or made too heavy for it, was on nobody meanwhile.
    prove(fleet, allowed_gap_s=2 * SOON_S)


def test_a_needed_capability_decides_who_may_have_a_stream(fleet: Fleet) -> None:
    others = [i for i, worker in fleet.assigned().items() if worker != SPECIALIST]
    speech, unheard = sorted(others)[:7], sorted(others)[7:9]
    _require(fleet, speech, ["speech"])
    _require(fleet, unheard, ["clairvoyance"])
    try:
        fleet.wait_for(
            lambda: {fleet.running().get(i) for i in speech} == {SPECIALIST}, SOON_S, "speech is with the specialist"
        )
        _await_status(fleet, unassignedReasons={"NoCapableWorker": 2}, unassigned=2, assigned=ROWS - 2)
        assert not set(unheard) & fleet.running().keys()
    finally:
        _require(fleet, [*speech, *unheard], None)
    _await_status(fleet, unassigned=0, assigned=ROWS)
    prove(fleet, allowed_gap_s=SOON_S)


# --- what is looked at ------------------------------------------------------------------------------------


def _some_stream(fleet: Fleet) -> tuple[str, str]:
    return min(fleet.assigned().items())


def _configured(fleet: Fleet, worker: str) -> dict[str, dict[str, Any]]:
    """By id: the streams in a worker's config file."""
    text = (fleet.workers[worker].config_dir / "assignment.json").read_text(encoding="utf-8")
    return {stream["id"]: stream for stream in json.loads(text)["streams"]}


def _await_status(fleet: Fleet, **wanted: Any) -> None:
    def fits() -> bool:
        status = fleet.stream_pool()["status"]
        return all(status.get(field) == value for field, value in wanted.items())

    fleet.wait_for(fits, SOON_S, f"the pool's status has {wanted}")


def _await_condition(fleet: Fleet, kind: str, status: str, reason: str) -> None:
    wanted = (kind, status, reason)
    fleet.wait_for(
        lambda: (
            wanted in [(c["type"], c["status"], c["reason"]) for c in fleet.stream_pool()["status"]["conditions"]]
        ),
        SOON_S,
        f"the pool's condition {wanted}",
    )


def _weigh(fleet: Fleet, stream: str, weight: int) -> None:
    fleet.table.query("UPDATE streams SET weight = $2, updated_at = now() WHERE id = $1", stream, weight)


def _require(fleet: Fleet, ids: list[str], capabilities: list[str] | None) -> None:
    fleet.table.query(
        "UPDATE streams SET capabilities = $2, updated_at = now() WHERE id = ANY ($1)", ids, capabilities
    )
