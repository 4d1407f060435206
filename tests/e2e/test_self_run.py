"""Workers in a StatefulSet of the user's own, with an operator that has rights in their namespace only."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from .fleet import PLANNED_S, UNPLANNED_S, Surroundings
from .manifests import WORKER, worker_names
from .self_run import SelfRunFleet

DRAIN = "fingerv7.io/drain"
RENEW = """
import json, os, ssl, sys, urllib.error, urllib.request as u
d = "/var/run/secrets/kubernetes.io/serviceaccount/"
c = ssl.create_default_context(cafile=d + "ca.crt")
a = {"Authorization": "Bearer " + open(d + "token").read(), "Content-Type": "application/json"}
p = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}/apis/coordination.k8s.io/v1/namespaces/"
p += open(d + "namespace").read() + "/leases/" + sys.argv[1]
for attempt in range(20):
    lease = u.urlopen(u.Request(p, headers=a), context=c).read()
    try:
        print(u.urlopen(u.Request(p, lease, a, method="PUT"), context=c).status)
    except urllib.error.HTTPError as e:
        if e.code == 409:
            continue
        print(e.code, e.read().decode())
    break
"""
"""Writes a Lease back as it is, with the sidecar's own credentials."""


@pytest.fixture(scope="module")
def fleet(around: Surroundings) -> Iterator[SelfRunFleet]:
    with SelfRunFleet(around, workers=3, rows=60, everywhere=False) as running:
        yield running


def test_all_streams_are_shared_among_workers_that_registered_themselves(fleet: SelfRunFleet) -> None:
    even = dict.fromkeys(worker_names(3), 20)
    fleet.wait_for(lambda: Counter(fleet.running().values()) == even, "each has its share")
    fleet.judge(allowed_gap_s=UNPLANNED_S)


def test_nothing_may_write_or_become_somebody_and_only_the_sidecar_has_a_token(fleet: SelfRunFleet) -> None:
    fleet.assert_locked_up("fingerv7-0")


def test_a_sidecar_may_not_speak_for_its_neighbour_although_they_share_an_account(fleet: SelfRunFleet) -> None:
    def renew(name: str) -> str:
        return fleet.kubectl("exec", "fingerv7-0", "-c", "sidecar", "--", "python3", "-c", RENEW, name)

    assert renew("fingerv7-0") == "200\n"
    refusal = renew("fingerv7-1")
    assert refusal.startswith(("403", "422"))
    assert "ValidatingAdmissionPolicy" in refusal


def test_a_deleted_pod_hands_over_before_it_stops(fleet: SelfRunFleet) -> None:
    since = fleet.now()
    uid = fleet.uid("fingerv7-1")
    fleet.kubectl("delete", "pod", "fingerv7-1", "--timeout=60s")
    fleet.judge(allowed_gap_s=PLANNED_S, since=since)
    fleet.wait_for(lambda: fleet.is_new("fingerv7-1", uid), "its successor is ready")


def test_a_pod_that_is_killed_without_a_goodbye_is_taken_over_within_the_promise(fleet: SelfRunFleet) -> None:
    since = fleet.now()
    fleet.wait_for(lambda: "fingerv7-2" in fleet.running().values(), "it processes streams")
    fleet.kubectl("delete", "pod", "fingerv7-2", "--force", "--grace-period=0")
    # The object is gone before its processes are. How long it takes depends on who dies first: a sidecar that outlives its
    # worker can still prove that nothing runs any more.
    fleet.wait_for(lambda: "fingerv7-2" not in fleet.running().values(), "its streams have left it")
    fleet.judge(allowed_gap_s=UNPLANNED_S, since=since)


def test_fingerworkers_deleted_while_their_pods_still_end_do_not_come_back(fleet: SelfRunFleet) -> None:
    fleet.wait_for(fleet.all_ready, "all workers are back")
    since = fleet.now()
    fleet.kubectl("delete", "statefulset", WORKER, "--wait=false")
    # Nobody has room for their streams, so all of them wait in their preStop hooks for as long as a drain may take.
    fleet.wait_for(
        lambda: all(DRAIN in lease["metadata"].get("annotations", {}) for lease in fleet.list("leases")), "all drain"
    )
    fleet.kubectl("delete", "fingerworkers", "--all", "--timeout=60s")
    fleet.wait_for(lambda: not fleet.worker_pods(), "their pods have ended")
    time.sleep(3)  # a sidecar's registration was answered within one second
    assert fleet.list("fingerworkers") == []
    assert fleet.running() == {}
    fleet.assert_no_overlap(since)
