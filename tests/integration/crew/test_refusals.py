"""What keeps a worker from running: each becomes a condition and an Event on the StreamPool, and the others go on."""

from __future__ import annotations

import pytest

from devenv.fleet import Fleet, WorkerSpec
from devenv.fleet_api import core, fingerv7, rbac
from devenv.fleet_objects import finger_worker

from .conftest import Crew, StartCrew, template

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240, func_only=True)]


WORKER = {"name": "fingerv7", "image": "fingerv7:1", "command": ["fingerv7"]}


def await_pods(crew: Crew, *names: str) -> None:
    crew.wait(lambda: sorted(crew.pods()) == sorted(names), f"exactly these pods: {names}")


@pytest.mark.long
def test_a_quota_that_refuses_pods(start_crew: StartCrew) -> None:
    def allow_two(fleet: Fleet) -> None:
        path = core(fleet.namespace, "resourcequotas")
        fleet.api.create(path, {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "2"}}})
        # No quota controller counts here; the API server itself does while it admits pods.
        fleet.api.merge(f"{path}/small/status", {"status": {"hard": {"pods": "2"}, "used": {"pods": "0"}}})

    crew = start_crew(hollow=True, before=allow_two, replicas=3)
    message = crew.await_condition("QuotaExceeded", "exceeded quota: small", "radio-00")
    assert len(crew.pods()) == 2, message
    crew.wait(lambda: crew.events("QuotaExceeded"), "an Event tells it")
    path = core(crew.namespace, "resourcequotas", "small")
    crew.api.merge(path, {"spec": {"hard": {"pods": "5"}}})
    crew.api.merge(f"{path}/status", {"status": {"hard": {"pods": "5"}}})
    await_pods(crew, "radio-001", "radio-002", "radio-003")
    crew.wait(lambda: crew.condition()[0] == "Starting", "it says so no longer")


def test_a_namespace_whose_pod_security_level_refuses_the_template(start_crew: StartCrew) -> None:
    def enforce(fleet: Fleet) -> None:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        fleet.api.merge(f"/api/v1/namespaces/{fleet.namespace}", {"metadata": {"labels": labels}})

    volumes = [{"name": "host", "hostPath": {"path": "/"}}]
    crew = start_crew(hollow=True, before=enforce, replicas=2, template=template(volumes=volumes))
    crew.await_condition("PodRefused", 'violates PodSecurity "restricted', "hostPath", "radio-001, radio-002")
    crew.wait(lambda: crew.events("PodRefused"), "an Event tells it")
    assert crew.pods() == {}
    # Another template is tried at once, whatever the back-off of the last one.
    crew.patch(template={"spec": {"volumes": None}})
    await_pods(crew, "radio-001", "radio-002")


def test_a_worker_that_somebody_else_declared_is_left_alone(start_crew: StartCrew) -> None:
    def declare(fleet: Fleet) -> None:
        spec = WorkerSpec(name="radio-002", max_streams=7)
        fleet.api.create(fingerv7(fleet.namespace, "fingerworkers"), finger_worker(spec, fleet.pool))

    crew = start_crew(hollow=True, before=declare, replicas=3)
    crew.await_condition("NameTaken", "FingerWorker radio-002 was declared by somebody else and is left alone")
    crew.wait(lambda: crew.events("NameTaken"), "an Event tells it")
    await_pods(crew, "radio-001", "radio-003")
    assert crew.fleet.finger_worker("radio-002")["spec"]["maxStreams"] == 7
    assert crew.of_worker("radio-002") == ["FingerWorker", "Lease"]
    crew.api.delete(fingerv7(crew.namespace, "fingerworkers", "radio-002"))
    await_pods(crew, "radio-001", "radio-002", "radio-003")


def test_an_account_that_is_somebody_elses_is_left_alone(start_crew: StartCrew) -> None:
    def occupy(fleet: Fleet) -> None:
        fleet.api.create(rbac(fleet.namespace, "roles"), {"metadata": {"name": "radio-001"}, "rules": []})

    crew = start_crew(hollow=True, before=occupy, replicas=2)
    crew.await_condition("NameTaken", "radio-001: Role radio-001 is somebody else's")
    await_pods(crew, "radio-002")
    assert crew.api.get(rbac(crew.namespace, "roles", "radio-001"))["rules"] in ([], None)


def test_a_template_that_no_pod_can_be_built_from(start_crew: StartCrew) -> None:
    ported = {**WORKER, "ports": [{"containerPort": 8090}]}
    crew = start_crew(hollow=True, replicas=2, template={"spec": {"containers": [ported]}})
    crew.await_condition("TemplateInvalid", "has port 8090, which the sidecar uses")
    crew.wait(lambda: crew.events("TemplateInvalid"), "an Event tells it")
    crew.patch(template=template())
    await_pods(crew, "radio-001", "radio-002")


@pytest.mark.long
def test_no_image_for_the_sidecar(start_crew: StartCrew) -> None:
    crew = start_crew(hollow=True, operator={}, replicas=1)
    crew.await_condition("SidecarImageMissing", "FINGERV7_SIDECAR_IMAGE")
    crew.patch(sidecar={"image": "sidecar:own"})
    await_pods(crew, "radio-001")
    (pod,) = crew.pods().values()
    assert pod["spec"]["initContainers"][0]["image"] == "sidecar:own"


@pytest.mark.long
def test_one_worker_without_its_secret_and_one_whose_pod_was_evicted(start_crew: StartCrew) -> None:
    crew = start_crew(hollow=True, replicas=3)
    missing = {"reason": "CreateContainerConfigError", "message": 'secret "vpn-radio-002" not found'}
    crew.node.waiting["radio-002"] = missing
    await_pods(crew, "radio-001", "radio-002", "radio-003")
    crew.await_condition(
        "SecretMissing", 'radio-002: container fingerv7: CreateContainerConfigError: secret "vpn-radio'
    )
    crew.wait(lambda: crew.events("SecretMissing"), "an Event tells it")
    del crew.node.waiting["radio-002"]
    crew.wait(lambda: crew.condition()[0] == "Starting", "it says so no longer")
    uid = crew.uids()["radio-003"]
    path = core(crew.namespace, "pods", "radio-003")
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}
    crew.api.merge(f"{path}/status", {"status": evicted})
    crew.wait(lambda: crew.uids().get("radio-003", uid) != uid, "the evicted pod is made again")


@pytest.mark.long
def test_a_secret_that_a_volume_needs_and_no_container_tells_of(start_crew: StartCrew) -> None:
    volumes = [{"name": "vpn", "secret": {"secretName": "vpn-$(FINGERWORKER_NAME)"}}]
    crew = start_crew(hollow=True, replicas=2, template=template(volumes=volumes))
    crew.node.waiting["radio-002"] = {"reason": "ContainerCreating"}
    await_pods(crew, "radio-001", "radio-002")
    crew.await_condition(
        "SecretMissing", "radio-002: its volume vpn needs Secret vpn-radio-002, which does not exist"
    )
    crew.wait(lambda: crew.events("SecretMissing"), "an Event tells it")


@pytest.mark.long
def test_a_config_map_or_a_key_of_one_that_a_volume_needs(start_crew: StartCrew) -> None:
    sources = [{"secret": {"name": "not-needed", "optional": True}}, {"configMap": {"name": "$(FINGERWORKER_NAME)"}}]
    chosen = {"name": "shared", "items": [{"key": "rates", "path": "rates"}]}
    volumes = [{"name": "own", "projected": {"sources": sources}}, {"name": "all", "configMap": chosen}]
    crew = start_crew(hollow=True, replicas=1, template=template(volumes=volumes))
    crew.node.waiting["radio-001"] = {"reason": "ContainerCreating"}
    crew.await_condition(
        "ConfigMapMissing", "radio-001: its volume own needs ConfigMap radio-001, which does not exist"
    )
    crew.wait(lambda: crew.events("ConfigMapMissing"), "an Event tells it")
    path = core(crew.namespace, "configmaps")
    crew.api.create(path, {"metadata": {"name": "radio-001"}, "data": {"any": "thing"}})
    crew.api.create(path, {"metadata": {"name": "shared"}, "data": {"prices": "1"}})
    crew.await_condition("ConfigMapMissing", "its volume all needs the key rates of ConfigMap shared")
    crew.api.merge(f"{path}/shared", {"binaryData": {"rates": ""}})
    crew.wait(lambda: crew.condition()[0] == "Starting", "it says so no longer")


@pytest.mark.long
def test_a_field_that_no_pod_has(start_crew: StartCrew) -> None:
    misspelt = {"name": "fingerv7", "image": "fingerv7:1", "command": ["fingerv7"], "imagePullPolcy": "Always"}
    crew = start_crew(hollow=True, replicas=2, template={"spec": {"containers": [misspelt]}})
    crew.await_condition(
        "TemplateInvalid", "radio-001, radio-002", 'unknown field "spec.containers[0].imagePullPolcy"'
    )
    crew.wait(lambda: crew.events("TemplateInvalid"), "an Event tells it")
    assert crew.pods() == {}
    crew.patch(template={"spec": {"containers": [{**misspelt, "imagePullPolcy": None, "stdin": "yes"}]}})
    crew.await_condition("TemplateInvalid", "stdin")
    crew.patch(template=template())
    await_pods(crew, "radio-001", "radio-002")


def test_a_change_that_no_pod_can_be_made_of_costs_no_pod(start_crew: StartCrew) -> None:
    crew = start_crew(hollow=True, replicas=2)
    await_pods(crew, "radio-001", "radio-002")
    crew.await_condition("Starting")
    before = crew.uids()
    for wrong, sentence in (
        (
            {"containers": [{**WORKER, "imagePullPolcy": "Always"}]},
            'unknown field "spec.containers[0].imagePullPolcy"',
        ),
        ({"volumes": [{"name": "Not A Name", "emptyDir": {}}]}, "spec.volumes[0].name: Invalid value"),
    ):
        crew.patch(template={"spec": wrong})
        crew.wait(lambda said=sentence: said in crew.condition()[1], f"the condition says {sentence}")
        assert crew.uids() == before
        crew.patch(template={"spec": {"containers": [WORKER], "volumes": None}})
        crew.await_condition("Starting")
    assert crew.uids() == before
    crew.patch(template=template("fingerv7:2"))
    crew.wait(lambda: not set(before.values()) & set(crew.uids().values()), "a pod that can be made replaces them")


@pytest.mark.long
def test_a_fleet_that_is_as_large_as_its_streams_need(start_crew: StartCrew) -> None:
    auto = {"minReplicas": 1, "maxReplicas": 6, "targetLoadPercent": 80, "stabilizationWindow": "3s"}
    crew = start_crew(hollow=True, rows=100, autoscaling=auto)
    # 30 places each, of which 24 are meant to be taken.
    crew.wait(lambda: len(crew.names()) == 5, "five workers for a hundred streams")
    crew.wait(lambda: crew.status().get("desiredReplicas") == 5, "the status says so")
    crew.fleet.table.set_active(sorted(crew.fleet.table.active_ids())[:80], active=False)
    crew.wait(lambda: len(crew.names()) == 1, "one for twenty")
    crew.wait(lambda: list(crew.pods()) == crew.names(), "and one pod")


def test_an_operator_without_the_rights(start_crew: StartCrew) -> None:
    def withdraw(fleet: Fleet) -> None:
        path = rbac(fleet.namespace, "roles", "fingerv7-operator")
        rules = [rule for rule in fleet.api.get(path)["rules"] if "pods" not in rule["resources"]]
        fleet.api.merge(path, {"rules": rules})

    crew = start_crew(hollow=True, before=withdraw, replicas=1)
    crew.await_condition("OperatorForbidden", "cannot watch pods")
    crew.wait(lambda: crew.events("OperatorForbidden"), "an Event tells it")
    path = fingerv7(crew.namespace, "streampools", crew.fleet.pool)
    crew.api.delete(path)
    crew.fleet.wait_for(lambda: crew.api.find(path) is None, 60, "a pool can be deleted all the same")
