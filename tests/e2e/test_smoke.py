"""The whole product on real pods: images, a kubelet's probes and kills, bound tokens, Pod Security."""

from __future__ import annotations

import json

from .fleet import PodFleet
from .manifests import worker_names

PLANNED_S = 1.0
UNPLANNED_S = 21.0
"""T + 1 s, with the default T."""


def test_all_streams_are_shared_among_workers_that_registered_themselves(fleet: PodFleet) -> None:
    shares = list(fleet.running().values())
    assert {name: shares.count(name) for name in worker_names(3)} == dict.fromkeys(worker_names(3), 20)
    fleet.judge(allowed_gap_s=UNPLANNED_S)


def test_kubectl_get_answers_who_runs_how_much(fleet: PodFleet) -> None:
    fleet.wait_for(lambda: fleet.kubectl("get", "fingerworkers", "--no-headers").count("Active") == 3, "all Active")
    lines = fleet.kubectl("get", "fingerworkers").splitlines()
    assert lines[0].split()[:5] == ["NAME", "READY", "POOL", "STREAMS", "CAPACITY"]
    assert [line.split()[:5] for line in lines[1:]] == [
        [name, "True", "radio", "20", "60"] for name in worker_names(3)
    ]


def test_nothing_may_write_or_become_somebody_and_only_the_sidecar_has_a_token(fleet: PodFleet) -> None:
    pod = fleet.get("pod", "fingerv7-0")
    mounts = {
        each["name"]: {mount["name"] for mount in each["volumeMounts"]}
        for each in (*pod["spec"]["initContainers"], *pod["spec"]["containers"])
    }
    assert "token" in mounts["sidecar"]
    assert "token" not in mounts["fingerv7"]
    tried = "import os; print(os.getuid()); open('/x', 'w')"
    shown = fleet.cluster.kubectl(
        *("-n", fleet.namespace, "exec", "fingerv7-0", "-c", "fingerv7", "--", "python3", "-c"), tried, check=False
    )
    assert shown.split() == ["65532"]


def test_a_deleted_pod_hands_over_before_it_stops(fleet: PodFleet) -> None:
    since = fleet.now()
    uid = fleet.get("pod", "fingerv7-1")["metadata"]["uid"]
    fleet.kubectl("delete", "pod", "fingerv7-1", "--timeout=60s")
    fleet.judge(allowed_gap_s=PLANNED_S, since=since)

    def back() -> bool:
        pod = fleet.get("pod", "fingerv7-1")
        ready = all(each["ready"] for each in pod["status"].get("containerStatuses", [{"ready": False}]))
        return pod["metadata"]["uid"] != uid and ready

    fleet.wait_for(back, "its successor is ready")


def test_a_pod_that_is_killed_without_a_goodbye_is_taken_over_within_the_promise(fleet: PodFleet) -> None:
    since = fleet.now()
    assert "fingerv7-2" in fleet.running().values()
    fleet.kubectl("delete", "pod", "fingerv7-2", "--force", "--grace-period=0")
    # The object is gone before its processes are. How long it takes depends on who dies first: a sidecar that outlives its
    # worker can still prove that nothing runs any more.
    fleet.wait_for(lambda: "fingerv7-2" not in fleet.running().values(), "its streams have left it")
    fleet.judge(allowed_gap_s=UNPLANNED_S, since=since)


def test_an_operator_that_dies_costs_no_stream(fleet: PodFleet) -> None:
    since = fleet.now()
    leader = json.loads(fleet.kubectl("get", "lease", "fingerv7-operator", "-o", "json"))["spec"]["holderIdentity"]
    before = {each["metadata"]["name"] for each in _operators(fleet)}
    name = next(name for name in before if name in leader)
    fleet.kubectl("delete", "pod", name, "--force", "--grace-period=0")
    fleet.wait_for(
        lambda: leader not in fleet.kubectl("get", "lease", "fingerv7-operator", "-o", "json"), "another leads"
    )
    fleet.kubectl("rollout", "status", "deployment/fingerv7-operator", "--timeout=60s")
    fleet.judge(allowed_gap_s=PLANNED_S, since=since)


def _operators(fleet: PodFleet) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(
        fleet.kubectl("get", "pods", "-l", "app=fingerv7-operator", "-o", "json")
    )["items"]
    return found
