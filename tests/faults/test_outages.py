"""An API server that is away for longer than T: everything stops by itself, and everything goes on as it was.

An outage shorter than D is in tests/integration/system/test_leadership.py: no stream stops.
"""

from __future__ import annotations

import pytest

from devenv.cluster import Cluster
from devenv.fleet import Fleet
from devenv.postgres import Postgres
from reference_worker.verdict import Window

from .seen import ELECTION, SOON_S, TAKEOVER_S, await_ready, judge, leads, serves_new_row, start_standby, started

FENCE_S = 5.0


@pytest.mark.long
@pytest.mark.timeout(300, func_only=True)
def test_in_an_outage_longer_than_t_every_worker_stops_and_goes_on_where_it_was(
    cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if not cluster.can_stop_apiserver:
        pytest.skip("the API server is not ours to stop")
    folder = tmp_path_factory.mktemp("outage")
    with Fleet(cluster, postgres, rows=40, operator_environment=ELECTION, folder=folder) as fleet:
        started(fleet, 4)
        leader = fleet.operators["operator-a"]
        start_standby(fleet, fleet.start_operator("operator-b"))
        await_ready(fleet, *fleet.workers)
        before, since = fleet.assigned(), fleet.now()
        cluster.stop_apiserver()
        fleet.wait_for(lambda: not fleet.running(), SOON_S, "every worker has stopped by itself")
        stopped_s = (fleet.now() - since).total_seconds()
        fleet.wait_for(
            lambda: (fleet.now() - since).total_seconds() > 1.5 * TAKEOVER_S, SOON_S, "the outage has lasted 1.5 T"
        )
        cluster.start_apiserver()
        back = fleet.now()
        # Who could not renew its election Lease has ended; in a cluster the kubelet starts it again.
        for operator in fleet.operators.values():
            if not operator.alive:
                assert operator.process.exit_code != 0
                operator.start()
        await_ready(fleet, *fleet.workers)
        fleet.wait_for(lambda: any(leads(fleet, each) for each in fleet.operators.values()), SOON_S, "in office")
        assert fleet.assigned() == before, "nothing moves: nobody was silent while others were heard"
        serves_new_row(fleet, 7001)
        assert leader.process.pid
        down_s = (back - since).total_seconds()
        print(f"stopped after {stopped_s:.1f} s, API back after {down_s:.1f} s")
        # It ran on for a while after the outage began, and needs no longer to be back after its end.
        outage = Window(since, fleet.now(), down_s)
        judge(fleet, f"API server away for {down_s:.0f} s", since=since, allowed_gap_s=1.0, windows=[outage])
