"""One sidecar and the real API server: what is stored, what the worker reads, and what /readyz says."""

from __future__ import annotations

from datetime import datetime

import pytest

from devenv.fleet_api import rbac
from devenv.fleet_objects import role, role_binding, sidecar_rules

pytestmark = pytest.mark.integration

TAKEOVER_S = 5.0


def moment(lease, key):
    return datetime.fromisoformat(lease["spec"][key])


def test_a_stream_from_its_grant_to_its_acknowledgement(world):
    uid = world.declare()
    sidecar = world.start()
    sidecar.until(lambda: world.applied() == (uid, "pod-a", 0), "nothing runs, and that is acknowledged at once")
    assert sidecar.running() == []
    lease = world.lease()
    assert lease["metadata"]["labels"] == {"fingerv7.io/pool": "radio"}
    assert lease["spec"]["leaseDurationSeconds"] == TAKEOVER_S

    world.assign(1, "a", "b")
    sidecar.until(lambda: sidecar.running() == ["a", "b"], "the config is filled")
    sidecar.await_problem("epoch 1 is not confirmed by the worker yet")
    assert world.applied() == (uid, "pod-a", 0)
    sidecar.confirm()
    sidecar.until(lambda: world.applied() == (uid, "pod-a", 1), "the confirmation is acknowledged")
    sidecar.await_ready()


def test_strangers_who_edit_or_delete_the_lease_do_not_stop_the_worker(world):
    sidecar = world.start_running("a")
    written = (sidecar.folder / "assignment.json").stat()

    edited = world.edit_lease({"metadata": {"labels": {"theirs": "yes"}}})
    sidecar.until(lambda: moment(world.lease(), "renewTime") > moment(edited, "renewTime"), "renewed over the edit")
    assert world.lease()["metadata"]["labels"] == {"theirs": "yes", "fingerv7.io/pool": "radio"}
    assert world.applied()[2] == 1

    world.delete_lease()
    sidecar.until(lambda: (world.applied() or ("", "", 0))[2] == 1, "acquired and acknowledged again")
    assert world.lease()["metadata"]["uid"] != edited["metadata"]["uid"]
    assert (sidecar.folder / "assignment.json").stat().st_ino == written.st_ino, "the config was never touched"


def test_without_its_fingerworker_the_worker_runs_nothing(world):
    sidecar = world.start_running("a")
    world.dismiss()
    sidecar.until(lambda: sidecar.running() == [], "the config is emptied")
    sidecar.await_problem("does not exist")
    sidecar.until(lambda: world.applied() is None, "nothing is acknowledged")

    uid = world.declare()

    def followed():
        sidecar.confirm()  # as often as there is another config
        return world.applied() == (uid, "pod-a", 0)

    sidecar.until(followed, "the new one is acknowledged")
    world.assign(1, "z")
    sidecar.until(lambda: sidecar.running() == ["z"], "filled again")


def test_missing_rights_are_named_one_after_the_other(world, cluster):
    world.declare()
    name, token = "nobody", cluster.service_account_token(world.namespace, "nobody")
    sidecar = world.start(token=token)
    sidecar.await_problem("forbidden to read Lease", "the service account needs the verb get on leases")

    of_worker, of_lease, creating = sidecar_rules(world.name)
    path = rbac(world.namespace, "roles", name)
    world.api.create(rbac(world.namespace, "roles"), role(name, [of_lease]))
    world.api.create(rbac(world.namespace, "rolebindings"), role_binding(name, world.namespace))
    sidecar.await_problem("does not exist", "no verb create on leases", "waiting for the operator")
    world.api.merge(path, {"rules": [of_lease, creating]})
    sidecar.await_problem("needs the verbs get and watch on fingerworkers.fingerv7.io")
    world.api.merge(path, {"rules": [of_lease, creating, of_worker]})
    sidecar.await_ready()


def test_an_outage_longer_than_the_fence_deadline_empties_the_config(world, cluster):
    sidecar = world.start_running("a")
    cluster.stop_apiserver()
    try:
        sidecar.until(lambda: sidecar.running() == [], "the config is emptied")
        sidecar.await_problem("fenced", "no answer")
    finally:
        cluster.start_apiserver()
    sidecar.until(lambda: sidecar.running() == ["a"], "filled again")
    sidecar.confirm()
    sidecar.await_ready()


def test_another_pod_of_the_same_name_waits_until_the_first_must_have_stopped(world):
    first = world.start_running("a")
    second = world.start("pod-b")
    second.await_problem("another pod holds the Lease as pod-a/", "INSTANCE_ID")
    first.process.kill()
    last = moment(world.lease(), "renewTime")
    second.until(lambda: world.holder() == "pod-b", "taken over")
    assert (moment(world.lease(), "acquireTime") - last).total_seconds() >= TAKEOVER_S
    second.until(lambda: second.running() == ["a"], "filled")


def test_a_deleted_lease_does_not_let_the_other_pod_in_any_sooner(world):
    first = world.start_running("a")
    second = world.start("pod-b")
    second.await_problem("another pod holds the Lease as pod-a/")
    first.process.kill()
    last = moment(world.lease(), "renewTime")
    world.delete_lease()
    second.await_problem("was held by pod-a/")
    second.until(lambda: world.holder() == "pod-b", "acquired")
    assert (moment(world.lease(), "acquireTime") - last).total_seconds() >= TAKEOVER_S


def test_a_pod_that_never_saw_the_first_one_waits_as_well(world):
    first = world.start_running("a")
    first.process.kill()
    world.delete_lease()
    second = world.start("pod-b")
    second.await_problem("must have stopped")
    assert world.applied() is None
    acquired = moment(world.lease(), "acquireTime")
    second.until(lambda: second.running() == ["a"], "filled")
    second.confirm()
    second.until(world.applied, "acknowledged")
    assert (moment(world.lease(), "renewTime") - acquired).total_seconds() >= TAKEOVER_S
