"""The whole product as it is installed: Helm, one StreamPool, and the fleet that the operator runs for it.

Each test begins with three workers that are as wanted, whatever their template, and leaves them so; the last two take
everything away again. Each can be run alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.errors import CommandError
from devenv.streams import invent
from fingerv7.contract import FINALIZER

from . import containers
from .fleet import PLANNED_S, UNPLANNED_S, Surroundings, is_ready
from .installation import CRDS, ROOT, apply, evict
from .managed import MAX_STREAMS, ManagedFleet
from .manifests import POOL, SIDECAR, WORKER, declared_worker, plain_pod, secret

OUTAGE_S = 24.0
"""Longer than D + K; and not so long that a node's own Lease, which is renewed every 10 s, grows 50 s old: then all pods of
the node are said not to be ready, some time after they were.
"""
WINDOW_S = 5.0
BAD_IMAGE = "registry.invalid/fingerv7:none"
UNDER_A_WORKER = "fingerworkers,pods,leases,serviceaccounts,roles,rolebindings"


@pytest.fixture(scope="module")
def whole(around: Surroundings) -> Iterator[ManagedFleet]:
    with ManagedFleet(around, workers=3, rows=60, everywhere=True) as running:
        yield running


@pytest.fixture
def fleet(whole: ManagedFleet) -> ManagedFleet:
    whole.wait_settled()
    return whole


def test_one_pool_becomes_a_fleet_that_shares_all_streams(whole: ManagedFleet) -> None:
    shares = list(whole.running().values())
    assert {name: shares.count(name) for name in _names(1, 2, 3)} == dict.fromkeys(_names(1, 2, 3), 20)
    assert sorted(whole.worker_pods()) == whole.names() == _names(1, 2, 3)
    whole.judge(allowed_gap_s=UNPLANNED_S)


def test_helm_test_finds_an_operator_in_office(whole: ManagedFleet) -> None:
    whole.operator.test()


def test_kubectl_get_answers_who_runs_how_much(fleet: ManagedFleet) -> None:
    documented = (ROOT / "README.md").read_text(encoding="utf-8")
    fleet.wait_for(lambda: fleet.kubectl("get", "fingerworkers", "--no-headers").count("Active") == 3, "all Active")
    header, *lines = fleet.kubectl("get", "fingerworkers").splitlines()
    assert header.split() == _header(documented, "fingerv7-001")
    expected = [[name, "True", POOL, "20", str(MAX_STREAMS), "33", "True", "Active"] for name in _names(1, 2, 3)]
    assert [line.split()[:-1] for line in lines] == expected

    header, line = fleet.kubectl("get", "streampools").splitlines()
    assert header.split() == _header(documented, POOL)
    assert line.split()[:-1] == [POOL, "True", "60", "60", "0", "3", "3", "33", "0", "false"]
    # Short names, and what docs/managed-workers.md promises of -o wide.
    wide = fleet.kubectl("get", "spool,fw,pods", "-o", "wide")
    assert "AsWanted" in wide
    assert {"REPLICAS", "UPDATED", "FLEET"} <= set(wide.split())


def test_nothing_may_write_or_become_somebody_and_only_the_sidecar_has_a_token(fleet: ManagedFleet) -> None:
    fleet.assert_locked_up("radio-001")


def test_kubectl_scale_adds_workers_and_drains_those_that_go(fleet: ManagedFleet) -> None:
    since = fleet.now()
    fleet.scale(4)
    fleet.wait_settled()
    assert fleet.names() == _names(1, 2, 3, 4)
    fleet.scale(3)
    fleet.wait_settled()
    fleet.judge(allowed_gap_s=PLANNED_S, since=since)
    (gone,) = set(_names(1, 2, 3, 4)) - set(fleet.names())
    fleet.wait_for(lambda: gone not in _found(fleet), f"nothing of {gone} is left")


def test_a_fleet_that_scales_itself_is_as_large_as_its_streams_need(fleet: ManagedFleet) -> None:
    since, few = fleet.now(), sorted(fleet.table.active_ids())
    later = invent(60, first=61)
    more = [row.id for row in later]
    # Of 30 places each 24 are meant to be taken, and three workers, the fewest, have none at all for 30 of 120 streams.
    bounds = {"minReplicas": 3, "maxReplicas": 6, "stabilizationWindow": f"{WINDOW_S:.0f}s"}
    fleet.patch({"autoscaling": bounds, "defaults": {"maxStreams": 30}})
    try:
        fleet.scale(1)  # nobody looks at it
        fleet.table.insert(later)
        fleet.count = 5
        fleet.wait_settled()
        fleet.judge(allowed_gap_s=PLANNED_S, since=since)
        _shrink(fleet, more[:40], 4)
        _shrink(fleet, more[40:] + few[:20], 3)  # two would do
        assert fleet.condition()[1] == "3 of 3 workers in service; autoscaling between 3 and 6"
        fleet.judge(allowed_gap_s=PLANNED_S, since=since)
        fleet.wait_for(lambda: _found(fleet) == set(fleet.names()), "nothing of the others is left")
    finally:
        fleet.count = 3
        fleet.patch({"autoscaling": None, "defaults": {"maxStreams": MAX_STREAMS}, "replicas": fleet.count})
        fleet.table.delete(more)
        fleet.table.set_active(few, active=True)


def test_a_deleted_pod_hands_over_before_it_stops(fleet: ManagedFleet) -> None:
    since, name = fleet.now(), fleet.busiest()
    uid = fleet.uid(name)
    fleet.kubectl("delete", "pod", name, "--timeout=60s")
    fleet.wait_for(lambda: fleet.is_new(name, uid), "its successor is ready")
    fleet.judge(allowed_gap_s=PLANNED_S, since=since)


def test_an_eviction_hands_over_and_the_budget_refuses_a_second_one(fleet: ManagedFleet) -> None:
    since, name = fleet.now(), fleet.busiest()
    other = next(each for each in fleet.names() if each != name)
    uid = fleet.uid(name)
    evict(fleet.cluster, fleet.namespace, name)
    with pytest.raises(CommandError, match="violate the pod's disruption budget"):
        evict(fleet.cluster, fleet.namespace, other)
    fleet.wait_for(lambda: fleet.is_new(name, uid), "its successor is ready")
    fleet.judge(allowed_gap_s=PLANNED_S, since=since)


def test_a_pod_that_is_killed_without_a_goodbye_is_taken_over_within_the_promise(fleet: ManagedFleet) -> None:
    since, name = fleet.now(), fleet.busiest()
    uid = fleet.uid(name)
    fleet.kubectl("delete", "pod", name, "--force", "--grace-period=0")
    fleet.wait_for(lambda: fleet.is_new(name, uid), "its successor is ready")
    fleet.judge(allowed_gap_s=UNPLANNED_S, since=since)


@pytest.mark.parametrize("container", [WORKER, SIDECAR])
def test_a_container_that_is_killed_is_restarted_in_its_pod(fleet: ManagedFleet, container: str) -> None:
    since, name = fleet.now(), fleet.busiest()
    before = fleet.worker_pods()
    containers.kill(before[name], container)

    def restarted() -> bool:
        then, now = (containers.container_status(each, container) for each in (before[name], fleet.get("pod", name)))
        return bool(now["restartCount"] > then["restartCount"] and now["ready"])

    fleet.wait_for(restarted, f"{container} of {name} is restarted")
    fleet.judge(allowed_gap_s=UNPLANNED_S, since=since)
    assert fleet.uid(name) == before[name]["metadata"]["uid"]


def test_an_operator_that_goes_costs_no_stream_a_moment(fleet: ManagedFleet) -> None:
    since, former = fleet.now(), fleet.operator.leader()
    fleet.operator.kubectl("delete", "pod", fleet.operator.leading_pod(), "--timeout=60s")
    fleet.wait_for(lambda: fleet.operator.leader() not in ("", former), "another leads")
    former = fleet.operator.leader()
    fleet.operator.wait_ready()
    fleet.operator.kubectl("delete", "pod", fleet.operator.leading_pod(), "--force", "--grace-period=0")
    fleet.wait_for(lambda: fleet.operator.leader() not in ("", former), "another leads again")
    fleet.operator.wait_ready()
    verdict = fleet.judge(allowed_gap_s=PLANNED_S, since=since)
    assert verdict.longest_gap_s == 0.0


def test_an_upgrade_to_other_values_costs_no_stream_a_moment(fleet: ManagedFleet) -> None:
    since, before = fleet.now(), (fleet.running(), fleet.uids())
    former = fleet.operator.pods()
    fleet.operator.upgrade({"logLevel": "DEBUG"})
    fleet.wait_for(
        lambda: fleet.operator.leader().partition("_")[0] in fleet.operator.pods() - former,
        "an operator with these values leads",
    )
    verdict = fleet.judge(allowed_gap_s=PLANNED_S, since=since)
    assert verdict.longest_gap_s == 0.0
    assert (fleet.running(), fleet.uids()) == before


def test_without_an_api_server_everybody_stops_and_nobody_is_drained(fleet: ManagedFleet) -> None:
    if not fleet.cluster.can_stop_apiserver:
        pytest.skip("the API server of this cluster is not ours to stop")
    since, before = fleet.now(), fleet.uids()
    began = time.monotonic()
    fleet.cluster.stop_apiserver()
    try:
        fleet.wait_for(lambda: not fleet.running(), "nobody processes anything", deadline_s=OUTAGE_S - 2)
        print(f"all stopped after {time.monotonic() - began:.1f} s")
        time.sleep(max(0.0, began + OUTAGE_S - time.monotonic()))
    finally:
        fleet.cluster.start_apiserver()
    outage_s = time.monotonic() - began
    fleet.judge(allowed_gap_s=outage_s + UNPLANNED_S, since=since)
    print(f"all back {time.monotonic() - began - outage_s:.1f} s after an outage of {outage_s:.1f} s")
    fleet.wait_settled()
    _await_scheduler(fleet)
    assert fleet.uids() == before
    marks = [each for lease in fleet.list("leases") for each in lease["metadata"].get("annotations", {})]
    assert "fingerv7.io/drain" not in marks


def test_a_changed_template_rolls_through_one_worker_at_a_time(fleet: ManagedFleet) -> None:
    since, before = fleet.now(), fleet.uids()
    worst, began = 0, time.monotonic()

    def rolled() -> bool:
        nonlocal worst
        worst = max(worst, fleet.out_of_service())
        return fleet.is_settled()

    fleet.change_template(LOG_LEVEL="DEBUG")
    fleet.wait_for(rolled, "all pods are replaced", deadline_s=240)
    print(f"{fleet.count} workers in {time.monotonic() - began:.1f} s")
    fleet.judge(allowed_gap_s=PLANNED_S, since=since)
    assert not set(before.values()) & set(fleet.uids().values())
    assert worst == 1


def test_an_image_that_cannot_be_pulled_stops_the_rollout_and_the_others_go_on(fleet: ManagedFleet) -> None:
    since, before = fleet.now(), fleet.uids()
    former = fleet.change_template(image=BAD_IMAGE, progress="15s")
    try:
        fleet.wait_for(lambda: fleet.condition()[0] == "RolloutStopped", "the rollout stops", deadline_s=120)
        (stuck,) = {name for name, uid in fleet.uids().items() if uid != before[name]}
        message = fleet.condition()[1]
        assert stuck in message
        assert "ImagePullFailed" in message
        assert any(stuck in each for each in fleet.events("RolloutStopped"))
        assert any(BAD_IMAGE in each for each in fleet.events("ImagePullFailed"))
        fleet.judge(allowed_gap_s=PLANNED_S, since=since)
        rest = set(before) - {stuck}
        fleet.wait_for(lambda: set(fleet.running().values()) == rest, "the others run everything")
    finally:
        fleet.patch(former)
    fleet.wait_settled()
    fleet.judge(allowed_gap_s=PLANNED_S, since=since)
    # The others were never touched: they have this template all the time.
    assert {name: uid for name, uid in fleet.uids().items() if name != stuck}.items() <= before.items()


def test_a_missing_vpn_account_and_a_quota_are_told_and_the_others_go_on(fleet: ManagedFleet) -> None:
    since, before = fleet.now(), fleet.uids()
    accounts = [secret(f"vpn-tiny-{number:03}", {"WIREGUARD_PRIVATE_KEY": "a key"}) for number in (1, 2, 3)]
    apply(fleet.cluster, fleet.namespace, [accounts[0], accounts[2]])
    with fleet.small_pool("tiny", workers=2):
        fleet.wait_condition(
            "SecretMissing", "tiny-002", "container vpn", 'secret "vpn-tiny-002" not found', pool="tiny"
        )
        fleet.wait_for(lambda: is_ready(fleet.get("pod", "tiny-001")), "the worker that has its account is ready")
        apply(fleet.cluster, fleet.namespace, [accounts[1]])
        fleet.wait_for(lambda: fleet.condition("tiny")[0] == "AsWanted", "the other one has found its account")

        fleet.kubectl("create", "quota", "full", f"--hard=pods={fleet.count + 2}")
        fleet.kubectl("wait", "--for=jsonpath={.status.hard.pods}", "quota/full", "--timeout=30s")
        try:
            fleet.kubectl("scale", "streampool/tiny", "--replicas=3")
            fleet.wait_condition("QuotaExceeded", "tiny-003", "exceeded quota: full", pool="tiny")
            assert [is_ready(fleet.get("pod", name)) for name in ("tiny-001", "tiny-002")] == [True, True]
        finally:
            fleet.kubectl("delete", "quota", "full")
        fleet.wait_for(lambda: is_ready(fleet.get("pod", "tiny-003")), "it is made when the quota lets it")
    fleet.judge(allowed_gap_s=PLANNED_S, since=since)
    assert fleet.uids() == before


def test_a_deleted_pool_takes_its_fleet_along(fleet: ManagedFleet) -> None:
    since = fleet.now()
    fleet.kubectl("delete", "streampool", POOL, "--timeout=120s")
    fleet.wait_for(lambda: not _found(fleet), "nothing of any worker is left")
    assert fleet.kubectl("get", "poddisruptionbudgets", "-o", "name") == ""
    assert fleet.running() == {}
    fleet.assert_no_overlap(since)


def test_helm_uninstall_leaves_the_crds_and_nothing_else(whole: ManagedFleet) -> None:
    whole.kubectl("delete", "streampools", "--all", "--timeout=120s")  # without an operator they would stay for ever
    before = whole.operator.cluster_wide()
    # A binding only where it serves all namespaces.
    assert all(names for kind, names in before.items() if kind != "clusterrolebindings"), (
        "they are looked for rightly"
    )
    whole.operator.uninstall()
    _let_go(whole)
    left = "deployments,serviceaccounts,roles,rolebindings,poddisruptionbudgets,pods"
    whole.wait_for(
        lambda: "fingerv7" not in whole.operator.kubectl("get", left, "-o", "name"), "the release's objects are gone"
    )
    whole.wait_for(lambda: not any(whole.operator.cluster_wide().values()), "and those outside of namespaces")
    assert len(whole.operator.crds()) == len(CRDS)


def _let_go(fleet: ManagedFleet) -> None:
    """`fingerv7 uninstall`, of a worker that was left, at a moment when the operators' pods may still be there."""
    apply(fleet.cluster, fleet.namespace, [declared_worker("left", finalizers=[FINALIZER])])
    environment = {**os.environ, "KUBECONFIG": str(fleet.cluster.kubeconfig)}
    where = ("-n", fleet.namespace, "--operator-namespace", fleet.operator.namespace)
    command = [Path(sys.executable).parent / "fingerv7", "uninstall", "--yes", *where]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    print(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert "finalizers" not in fleet.get("fingerworker", "left")["metadata"]
    fleet.kubectl("delete", "fingerworker", "left", "--timeout=30s")


def _shrink(fleet: ManagedFleet, ended: list[str], count: int) -> None:
    """So many workers stay once these streams have ended: after the window, and without a moment out of service."""
    began = time.monotonic()
    fleet.table.set_active(ended, active=False)
    fleet.wait_for(lambda: fleet.desired() == count, f"{count} workers are to stay")
    assert time.monotonic() - began >= WINDOW_S
    fleet.count, worst = count, 0

    def shrunk() -> bool:
        nonlocal worst
        worst = max(worst, fleet.out_of_service())
        return fleet.is_settled()

    fleet.wait_for(shrunk, f"{count} workers are as wanted")
    print(f"{count} workers after {time.monotonic() - began:.1f} s")
    assert worst == 0


def _await_scheduler(fleet: ManagedFleet) -> None:
    """Until it watches again. One that sees a pod of the same name instead of the one that it knew, after a watch that
    was interrupted, ends itself (1.36.3, `Scheduler cache is corrupted`); kubelets restart it where it is a pod.
    """
    apply(fleet.cluster, fleet.namespace, [plain_pod("scheduled", fleet.images["operator"], ["sleep", "600"])])
    fleet.wait_for(lambda: bool(fleet.get("pod", "scheduled")["spec"].get("nodeName")), "pods are scheduled again")
    fleet.kubectl("delete", "pod", "scheduled", "--force", "--grace-period=0")


def _names(*numbers: int) -> list[str]:
    return [f"{POOL}-{number:03}" for number in numbers]


def _found(fleet: ManagedFleet) -> set[str]:
    """Names of workers of which something exists."""
    names = fleet.kubectl("get", UNDER_A_WORKER, "-o", "jsonpath={.items[*].metadata.name}").split()
    return {name for name in names if re.fullmatch(rf"{POOL}-\d+", name)}


def _header(text: str, first: str) -> list[str]:
    """The columns above the first line of `text` that begins with this name."""
    lines = text.splitlines()
    index = next(index for index, line in enumerate(lines) if re.match(rf"{first}\s+(True|False)\s", line))
    while not lines[index].startswith("NAME"):
        index -= 1
    return lines[index].split()
