"""What the operator learns from a watch that lies, breaks or has lost its place: a little later the same."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.cluster import Cluster
from devenv.fleet import Fleet
from devenv.fleet_api import core
from devenv.postgres import Postgres

from .api_proxy import ApiProxy
from .seen import (
    SOON_S,
    TAKEOVER_S,
    await_ready,
    gaps,
    holds,
    judge,
    serves_new_row,
    started,
    worker_name,
)

KOPF_NOTICES_S = 75.0
"""70 s without an event or a bookmark, and a moment."""


@pytest.fixture
def watched(
    cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Fleet, ApiProxy]]:
    """Four workers, and an operator behind a proxy."""
    folder = tmp_path_factory.mktemp("watches")
    with (
        ApiProxy(cluster.server, cluster.ca_file) as proxy,
        Fleet(cluster, postgres, rows=40, folder=folder) as fleet,
    ):
        kubeconfig = proxy.kubeconfig(folder / "operator.kubeconfig", folder / "proxied.kubeconfig")
        fleet.start_operator("operator-a", FINGERV7_KUBECONFIG=str(kubeconfig))
        yield started(fleet, 4), proxy


@pytest.mark.long
def test_watches_that_stall_silently_kill_nobody_and_hide_no_death_and_no_change(
    watched: tuple[Fleet, ApiProxy],
) -> None:
    fleet, proxy = watched
    await_ready(fleet, *fleet.workers)
    before, since = fleet.assigned(), fleet.now()
    stalled_at = time.monotonic()
    # Every watch of Leases, and the one of StreamPools that there is: kopf is to open another.
    proxy.stalls = lambda r: r.kind == "leases" or (r.kind == "streampools" and r.at_s < stalled_at)
    changed = fleet.patch_pool({"statusRefreshInterval": "29s"})["metadata"]["generation"]
    fleet.wait_for(lambda: time.monotonic() > stalled_at + 2 * TAKEOVER_S, SOON_S, "2 T are over")
    assert fleet.assigned() == before
    assert gaps(fleet, since) == [], "a stream was stopped"
    warnings = [line for line in fleet.operators["operator-a"].lines() if "lags behind" in line["message"]]
    assert warnings, "it has noticed"
    assert fleet.stream_pool()["status"]["observedGeneration"] < changed
    judge(fleet, "Lease watch stalled for 2 T, everybody lives", since=since, allowed_gap_s=0.0)

    dead = fleet.workers[worker_name(1)]
    killed_at = fleet.now()
    dead.kill()
    fleet.wait_for(lambda: holds(fleet, dead.name) == 0, SOON_S, f"{dead.name} was taken over")
    # Only direct reads tell about workers; one of each silence, so the last one can be T old.
    judge(
        fleet, "a worker killed while the Lease watch is stalled", since=killed_at, allowed_gap_s=2 * TAKEOVER_S + 1
    )
    fleet.wait_for(
        lambda: fleet.stream_pool()["status"]["observedGeneration"] >= changed,
        KOPF_NOTICES_S,
        "kopf has noticed that its watch of StreamPools stalled",
    )
    proxy.stalls = lambda _: False


@pytest.mark.long
def test_watches_that_lost_their_place_by_a_compaction_list_again(
    cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A restarted API server remembers nothing from before its start, and by then neither does etcd: 410."""
    if not cluster.can_stop_apiserver:
        pytest.skip("the API server is not ours to stop")
    patient, folder = {"takeoverAfter": "60s"}, tmp_path_factory.mktemp("compaction")
    in_office = {"FINGERV7_LEASE_SECONDS": "60", "FINGERV7_RENEW_DEADLINE_SECONDS": "50"}
    with Fleet(cluster, postgres, rows=40, liveness=patient, operator_environment=in_office, folder=folder) as fleet:
        started(fleet, 3)
        operator = fleet.operators["operator-a"]
        await_ready(fleet, *fleet.workers)
        before, since, spoken = fleet.assigned(), fleet.now(), len(operator.lines())
        for number in range(20):
            fleet.api.create(core(fleet.namespace, "configmaps"), {"metadata": {"name": f"revision-{number}"}})
        cluster.stop_apiserver()
        _compact(Path(cluster.kubeconfig).parent / "etcd-client.sock:0")
        cluster.start_apiserver()
        fleet.wait_for(
            lambda: any("too old resource version" in str(line) for line in operator.lines()[spoken:]),
            2 * SOON_S,
            "a watch was answered 410",
        )
        serves_new_row(fleet, 7001)
        await_ready(fleet, *fleet.workers)
        assert before.items() <= fleet.assigned().items()
        judge(fleet, "etcd compacted while the API server restarts: 410", since=since, allowed_gap_s=0.0)


def _compact(etcd: Path) -> None:
    """Forget all revisions but the newest, as etcd's JSON gateway understands it."""
    revision = int(_post(etcd, "/v3/kv/range", {"key": "AA=="})["header"]["revision"])
    _post(etcd, "/v3/kv/compaction", {"revision": str(revision), "physical": True})


def _post(etcd: Path, path: str, body: dict[str, object]) -> dict[str, dict[str, str]]:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.closing(connection):
        connection.sock.connect(str(etcd))
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return json.loads(text)
