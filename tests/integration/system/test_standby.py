"""The second replica knows everything before it is needed: its takeover lists nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.faults.api_proxy import ApiProxy, Request
from tests.faults.seen import start_standby

from devenv.cluster import Cluster
from devenv.fleet import FAST, Fleet, assignment
from devenv.fleet_api import fingerv7, leases
from devenv.postgres import Postgres
from devenv.proof import prove
from devenv.streams import invent

pytestmark = [pytest.mark.integration, pytest.mark.long]

ELECTION = {
    "FINGERV7_LEASE_SECONDS": "6",
    "FINGERV7_RENEW_DEADLINE_SECONDS": "4",
    "FINGERV7_RETRY_SECONDS": "1",
}
KINDS = ("fingerworkers", "leases", "streampools")
SOON_S = 30.0
TAKEOVER_S = 10.0


def lists(requests: list[Request]) -> list[Request]:
    """Requests for whole collections, apart from those that answer one object only."""
    return [
        each
        for each in requests
        if each.method == "GET"
        and each.path.rpartition("/")[2] in KINDS
        and not each.is_watch
        and each.query.get("limit") != "1"
    ]


def test_a_standby_that_takes_over_lists_nothing(
    cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder: Path = tmp_path_factory.mktemp("standby")
    fleet = Fleet(cluster, postgres, rows=60, liveness=FAST, operator_environment=ELECTION, folder=folder)
    with ApiProxy(cluster.server, cluster.ca_file) as proxy, fleet:
        names = [f"fingerv7-{number:03}" for number in range(1, 4)]
        for name in names:
            fleet.start_worker(name, 60)
        leader = fleet.start_operator("operator-a")
        fleet.wait_all_running(60)
        kubeconfig = proxy.kubeconfig(folder / "operator.kubeconfig", folder / "proxied.kubeconfig")
        standby = fleet.start_operator("operator-b", FINGERV7_KUBECONFIG=str(kubeconfig))
        start_standby(fleet, standby)
        fleet.wait_for(lambda: len(lists(proxy.requests)) >= len(KINDS), SOON_S, "it has listed every kind")
        assert {each.path.rpartition("/")[2] for each in lists(proxy.requests)} == set(KINDS)
        _stand_by_for_a_while(fleet, names[0])

        before, since = len(proxy.requests), fleet.now()
        leader.kill()
        victim = fleet.workers[names[0]]
        victim.kill()
        began = time.monotonic()
        fleet.wait_for(lambda: standby.said("in office"), SOON_S, "operator-b is in office")
        in_office_s = time.monotonic() - began
        (row,) = invent(1, first=9001)
        fleet.table.insert([row])
        fleet.wait_for(lambda: row.id in fleet.running(), SOON_S, "a new row is processed")
        fleet.wait_for(lambda: not assignment(fleet.finger_worker(victim.name)).get("streams"), SOON_S, "taken over")
        # Its own observations count: it has heard nothing of the victim for as long as the leader would have.
        verdict = prove(fleet, since=since, allowed_gap_s=TAKEOVER_S + 3.0)

        afterwards = proxy.requests[before:]
        assert lists(afterwards) == [], "the takeover cost a list"
        asked = [each.query for each in afterwards if each.path.endswith("fingerworkers") and "limit" in each.query]
        assert [query["limit"] for query in asked] == ["1"]
        print(
            f"in office {in_office_s:.2f} s after the leader was killed, streams on nobody for at most "
            f"{verdict.longest_gap_s:.2f} s, {len(afterwards)} requests, of them lists: 0 and one with limit=1"
        )


def test_a_standby_forgets_and_learns_pools_like_the_leader(
    cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder: Path = tmp_path_factory.mktemp("standby")
    with Fleet(cluster, postgres, rows=10, operator_environment=ELECTION, folder=folder) as fleet:
        fleet.start_worker("fingerv7-001", 60)
        leader = fleet.start_operator("operator-a")
        fleet.wait_all_running(60)
        standby = fleet.start_operator("operator-b")
        start_standby(fleet, standby)
        pools = fingerv7(fleet.namespace, "streampools")
        source = fleet.stream_pool()["spec"]["source"]
        for name in ("short-lived", "late"):
            fleet.api.create(
                pools,
                {
                    "apiVersion": "fingerv7.io/v1alpha1",
                    "kind": "StreamPool",
                    "metadata": {"name": name},
                    "spec": {"source": source},
                },
            )
        fleet.wait_for(lambda: fleet.api.get(f"{pools}/short-lived").get("status"), SOON_S, "it is looked after")
        fleet.api.delete(f"{pools}/short-lived")
        fleet.wait_for(lambda: fleet.api.find(f"{pools}/short-lived") is None, SOON_S, "it is gone")
        fleet.patch_pool({"paused": True})
        leader.kill()
        fleet.wait_for(lambda: standby.said("in office"), SOON_S, "operator-b is in office")
        epoch = int(next(line["leader_epoch"] for line in standby.lines() if line["message"] == "in office"))
        for name in (fleet.pool, "late"):
            path = f"{pools}/{name}"
            fleet.wait_for(
                lambda path=path: fleet.api.get(path).get("status", {}).get("leaderEpoch") == epoch,
                SOON_S,
                f"{name} is looked after by operator-b",
            )
        conditions = {c["type"]: c["status"] for c in fleet.stream_pool()["status"]["conditions"]}
        assert conditions["Paused"] == "True", "it goes by the newest spec"
        standby.stop_gracefully()
        assert standby.process.exit_code == 0


def _stand_by_for_a_while(fleet: Fleet, name: str) -> None:
    """Until the worker has renewed a few times more, so that the standby has heard it itself."""
    seen: set[str] = set()

    def heard() -> bool:
        seen.add(fleet.api.get(leases(fleet.namespace, name))["spec"].get("renewTime", ""))
        return len(seen) > 2

    fleet.wait_for(heard, SOON_S, f"{name} renews")
