"""A fleet from its template to its end: made, scaled, rolled, mended and removed, with streams on it all the time.

The tests are one story, in this order: each goes on where the one before ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from uuid import uuid4

import pytest

from devenv.fleet_api import ApiError, core, fingerv7, leases, rbac
from devenv.proof import prove

from .conftest import Crew, StartCrew, template
from .node import BAD_IMAGE

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240, func_only=True)]

PLANNED_GAP_S = 8.0


@pytest.fixture(scope="module")
def crew(start_shared_crew: StartCrew) -> Iterator[Crew]:
    crew = start_shared_crew(replicas=3, rollout={"progressTimeout": "30s"})
    crew.await_settled(3)
    crew.fleet.wait_all_running(60)
    yield crew


def test_a_template_becomes_workers_with_pods_and_accounts(crew: Crew) -> None:
    assert crew.names() == ["radio-001", "radio-002", "radio-003"] == sorted(crew.pods())
    pool = crew.fleet.stream_pool()["metadata"]["uid"]
    for worker in crew.fleet.finger_workers():
        name, uid = worker["metadata"]["name"], worker["metadata"]["uid"]
        assert [owner["uid"] for owner in worker["metadata"]["ownerReferences"]] == [pool]
        assert worker["metadata"]["labels"]["fingerv7.io/managed"] == "true"
        owned = [core(crew.namespace, "pods", name), core(crew.namespace, "serviceaccounts", name)]
        owned += [rbac(crew.namespace, kind, name) for kind in ("roles", "rolebindings")]
        for path in owned:
            assert [owner["uid"] for owner in crew.api.get(path)["metadata"]["ownerReferences"]] == [uid]
        assert crew.api.get(rbac(crew.namespace, "roles", name))["rules"] == [
            {
                "apiGroups": ["fingerv7.io"],
                "resources": ["fingerworkers"],
                "resourceNames": [name],
                "verbs": ["get", "watch"],
            },
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "resourceNames": [name],
                "verbs": ["get", "update"],
            },
        ]
    budget = crew.budget()
    assert budget
    assert budget["spec"]["minAvailable"] == 2
    prove(crew.fleet, allowed_gap_s=PLANNED_GAP_S)


def test_a_patch_that_names_another_uid_changes_nothing(crew: Crew) -> None:
    # What the operator relies on where it names no resourceVersion.
    path = fingerv7(crew.namespace, "fingerworkers", "radio-001")
    for uid, refused in ((str(uuid4()), True), (crew.api.get(path)["metadata"]["uid"], False)):
        patch = {"metadata": {"uid": uid, "annotations": {"example.com/word": "one"}}}
        with pytest.raises(ApiError) if refused else contextlib.nullcontext():
            crew.api.merge(path, patch)


def test_kubectl_scales_it_up_and_the_new_one_gets_its_share(crew: Crew) -> None:
    crew.scale(4)
    crew.await_settled(4)
    crew.wait(lambda: "radio-004" in crew.fleet.running().values(), "radio-004 processes streams")
    crew.wait(lambda: (crew.budget() or {})["spec"]["minAvailable"] == 3, "three may not be evicted")


def test_scaling_down_empties_a_worker_before_anything_of_it_goes(crew: Crew) -> None:
    crew.fleet.wait_all_running(60)
    since = crew.fleet.now()
    crew.scale(3)
    crew.wait(lambda: len(crew.names()) == 3, "one FingerWorker is gone")
    crew.await_settled(3)
    (gone,) = {"radio-001", "radio-002", "radio-003", "radio-004"} - set(crew.names())
    crew.wait(lambda: crew.of_worker(gone) == [], f"nothing of {gone} is left")
    crew.fleet.wait_all_running(60)
    prove(crew.fleet, since=since, allowed_gap_s=PLANNED_GAP_S)


def test_sizes_change_without_new_pods(crew: Crew) -> None:
    uids, name = crew.uids(), crew.names()[0]
    crew.patch(overrides=[{"name": name, "maxStreams": 20, "location": "attic"}])
    crew.wait(lambda: crew.fleet.finger_worker(name)["spec"].get("location") == "attic", "the override is applied")
    assert crew.fleet.finger_worker(name)["spec"]["maxStreams"] == 20
    crew.patch(overrides=[])
    crew.wait(lambda: "location" not in crew.fleet.finger_worker(name)["spec"], "and taken back")
    assert crew.uids() == uids


def test_another_template_is_rolled_out_one_by_one_with_a_drain_first(crew: Crew) -> None:
    crew.fleet.wait_all_running(60)
    before, since = crew.uids(), crew.fleet.now()
    crew.node.most_ending = 0
    crew.patch(template=template("fingerv7:2"))
    crew.await_condition("RollingOut")
    crew.wait(lambda: not set(before.values()) & set(crew.uids().values()), "every pod was replaced", 150)
    crew.await_settled(3)
    assert {pod["spec"]["containers"][0]["image"] for pod in crew.pods().values()} == {"fingerv7:2"}
    assert crew.node.most_ending == 1
    crew.fleet.wait_all_running(60)
    prove(crew.fleet, since=since, allowed_gap_s=PLANNED_GAP_S)


def test_a_rollout_that_does_not_work_stops_at_the_first_pod(crew: Crew) -> None:
    before = crew.uids()
    crew.patch(template=template(BAD_IMAGE), rollout={"progressTimeout": "5s"})
    message = crew.await_condition("RolloutStopped", "is not in service after 5 s", "2 workers keep their old pod")
    assert "ImagePullFailed" in message
    crew.wait(lambda: crew.events("RolloutStopped"), "an Event tells it")
    crew.wait(lambda: crew.events("ImagePullFailed"), "and another one why")
    assert len(set(before.values()) & set(crew.uids().values())) == 2
    crew.fleet.wait_all_running(60)
    crew.patch(template=template("fingerv7:3"))
    crew.wait(
        lambda: {pod["spec"]["containers"][0]["image"] for pod in crew.pods().values()} == {"fingerv7:3"},
        "a template that works is rolled out",
        150,
    )
    crew.await_settled(3)


def test_a_pod_that_somebody_deletes_is_made_again(crew: Crew) -> None:
    name, since = crew.names()[1], crew.fleet.now()
    uid = crew.uids()[name]
    crew.fleet.wait_all_running(60)
    crew.api.delete(core(crew.namespace, "pods", name))
    crew.wait(lambda: crew.uids().get(name, uid) != uid, f"{name} has another pod")
    crew.await_settled(3)
    crew.wait(lambda: name in crew.fleet.running().values(), f"{name} processes streams again")
    prove(crew.fleet, since=since, allowed_gap_s=PLANNED_GAP_S)


def test_a_worker_that_somebody_deletes_drains_and_is_made_anew(crew: Crew) -> None:
    name, since = crew.names()[0], crew.fleet.now()
    crew.fleet.wait_all_running(60)
    uid, pod = crew.fleet.finger_worker(name)["metadata"]["uid"], crew.uids()[name]
    crew.api.delete(fingerv7(crew.namespace, "fingerworkers", name))
    crew.wait(lambda: crew.fleet.finger_worker(name)["metadata"]["uid"] != uid, f"there is another {name}")
    crew.wait(lambda: crew.uids().get(name, pod) != pod, f"{name} has a pod of its own")
    crew.wait(lambda: name in crew.fleet.running().values(), f"{name} processes streams again")
    crew.await_settled(3)
    prove(crew.fleet, since=since, allowed_gap_s=PLANNED_GAP_S)


def test_a_lease_that_somebody_deletes_is_made_by_the_operator_and_held_again(crew: Crew) -> None:
    # Its sidecar may not create one.
    name, since = crew.names()[1], crew.fleet.now()
    crew.fleet.wait_all_running(60)
    crew.api.delete(leases(crew.namespace, name))
    crew.wait(lambda: (crew.fleet.lease(name) or {}).get("spec", {}).get("holderIdentity"), f"{name} is held again")
    crew.await_settled(3)
    crew.fleet.wait_all_running(60)
    prove(crew.fleet, since=since, allowed_gap_s=21.0)


def test_a_new_leader_goes_on_with_a_rollout_that_it_finds(crew: Crew) -> None:
    crew.patch(template=template("fingerv7:4"))
    crew.await_condition("RollingOut")
    crew.wait(
        lambda: any(
            "fingerv7.io/drain-for" in worker["metadata"].get("annotations", {})
            for worker in crew.fleet.finger_workers()
        ),
        "a worker is marked",
    )
    (operator,) = crew.fleet.operators.values()
    operator.stop_gracefully()
    operator.start()
    crew.wait(
        lambda: {pod["spec"]["containers"][0]["image"] for pod in crew.pods().values()} == {"fingerv7:4"},
        "the rollout is finished",
        150,
    )
    crew.await_settled(3)


def test_without_spec_workers_the_fleet_is_drained_and_removed(crew: Crew) -> None:
    names = crew.names()
    crew.fleet.patch_pool({"workers": None})
    crew.wait(lambda: crew.names() == [], "no FingerWorker is left")
    crew.wait(lambda: not any(crew.of_worker(name) for name in names), "nothing of them is left")
    crew.wait(lambda: crew.budget() is None, "nor the budget")
    crew.wait(lambda: crew.condition() == ("", ""), "nor anything in the status")
    assert "replicas" not in crew.status()


def test_deleting_the_pool_leaves_nothing(crew: Crew) -> None:
    crew.fleet.patch_pool(
        {"workers": {"template": template("fingerv7:5"), "replicas": 2, "defaults": {"maxStreams": 30}}}
    )
    crew.await_settled(2)
    crew.fleet.wait_all_running(60)
    names, since = crew.names(), crew.fleet.now()
    path = fingerv7(crew.namespace, "streampools", crew.fleet.pool)
    crew.api.delete(path)
    crew.fleet.wait_for(lambda: crew.api.find(path) is None, 60, "the pool is gone")
    crew.fleet.wait_for(lambda: not any(crew.of_worker(name) for name in names), 60, "nothing of them is left")
    assert crew.budget() is None
    assert crew.fleet.running() == {}
    prove(crew.fleet, since=since, allowed_gap_s=PLANNED_GAP_S, expected=())
