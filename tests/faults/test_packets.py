"""Packets that are lost between one sidecar and the API server: connections are not broken, they never answer again.

The sidecar lives in a network namespace of its own; its worker shares its folder and reaches the journal as ever.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from devenv.cluster import Cluster
from devenv.fleet import Fleet
from devenv.postgres import Postgres

from .api_proxy import ApiProxy, Request
from .island import Island
from .seen import (
    PROMISED_GAP_S,
    SOON_S,
    TAKEOVER_S,
    await_ready,
    gaps,
    holds,
    judge,
    judge_worker,
    started,
    worker_name,
)

CUT_OFF = worker_name(9)
A_WHILE_S = 3.0
"""D - R - q: an outage that costs nothing."""
BACK_S = 3.0
"""R + q, and a second for a busy machine. After 2 T of silence TCP by itself tries an old connection 5 s later."""
UNDER_WAY_S = 0.2
"""What was sent before the cut has arrived by then."""


@dataclass(frozen=True)
class Link:
    fleet: Fleet
    island: Island
    proxy: ApiProxy
    """At the other end: what it has seen came through."""

    def arrived(self, since_s: float, until_s: float = float("inf")) -> list[Request]:
        return [request for request in list(self.proxy.requests) if since_s < request.at_s < until_s]

    def mend(self, cut_at_s: float) -> float:
        """Returns when; nothing has come through until then."""
        mended_at_s = time.monotonic()
        self.island.mend()
        assert self.arrived(cut_at_s + UNDER_WAY_S, mended_at_s) == []
        return mended_at_s

    def await_renewal(self, mended_at_s: float) -> None:
        self.fleet.wait_for(
            lambda: any(each.is_write and each.status == 200 for each in self.arrived(mended_at_s)),
            BACK_S,
            f"{CUT_OFF} renews again",
        )


@pytest.fixture
def link(cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Link]:
    folder = tmp_path_factory.mktemp("packets")
    with (
        Island(folder) as island,
        ApiProxy(cluster.server, cluster.ca_file, host=island.address) as proxy,
        Fleet(cluster, postgres, rows=40, folder=folder) as fleet,
    ):
        spec = fleet.declare_worker(CUT_OFF, 60)
        environment = proxy.sidecar_environment(folder / "proxy.crt")
        fleet.workers[CUT_OFF] = worker = fleet.make_worker(spec, sidecar_environment=environment)
        worker.sidecar.process.through = island.through
        worker.start()
        yield Link(started(fleet, 3), island, proxy)


@pytest.mark.long
def test_a_sidecar_whose_packets_are_lost_stops_in_time_and_is_back_as_soon_as_they_flow(link: Link) -> None:
    fleet = link.fleet
    await_ready(fleet, *fleet.workers)
    before, since = fleet.assigned(), fleet.now()

    cut_at_s = time.monotonic()
    link.island.cut()
    fleet.wait_for(lambda: time.monotonic() > cut_at_s + A_WHILE_S, SOON_S, "the while is over")
    link.await_renewal(link.mend(cut_at_s))
    await_ready(fleet, CUT_OFF)
    assert fleet.assigned() == before
    judge(fleet, f"a sidecar's packets lost for {A_WHILE_S:.0f} s", since=since, allowed_gap_s=0.0)

    lost = [stream for stream, worker in before.items() if worker == CUT_OFF]
    since, cut_at_s = fleet.now(), time.monotonic()
    link.island.cut()
    fleet.wait_for(lambda: CUT_OFF not in fleet.running().values(), SOON_S, "it has stopped by itself")
    assert time.monotonic() < cut_at_s + TAKEOVER_S, "it did not wait for its streams to be elsewhere"
    fleet.wait_for(lambda: holds(fleet, CUT_OFF) == 0, SOON_S, f"{CUT_OFF} was taken over")
    fleet.wait_for(lambda: time.monotonic() > cut_at_s + 2 * TAKEOVER_S, SOON_S, "2 T are over")
    fleet.wait_all_running(SOON_S)
    stopped = gaps(fleet, since)
    assert {gap.stream for gap in stopped} == set(lost)
    judge_worker("a sidecar's packets lost for 2 T", stopped, lost, PROMISED_GAP_S)
    link.await_renewal(link.mend(cut_at_s))
    await_ready(fleet, CUT_OFF)
    judge(fleet, "and flowing again", since=since, allowed_gap_s=PROMISED_GAP_S)
