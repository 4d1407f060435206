"""A managed pool in a release's life: what upgrades mean for its workers, and what an uninstallation leaves behind.

The operator runs as a process, with the environment and the account that the chart gives its pods; workers' pods are made
and never run here, where there is no node.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.chart.helm import RELEASE, Helm, Object
from tests.integration.chart.test_rights import ELECTION, SOON_S, account_of_a_pod, kubeconfig_of, pods

from devenv.cluster import Cluster
from devenv.errors import CommandError
from devenv.fleet import Fleet, OperatorProcess
from devenv.fleet_api import core, fingerv7, leases, rbac
from devenv.postgres import Postgres

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400, func_only=True)]

TEMPLATE = {"spec": {"containers": [{"name": "fingerv7", "image": "fingerv7", "command": ["fingerv7"]}]}}
WORKERS = {"workers": {"replicas": 2, "template": TEMPLATE, "defaults": {"maxStreams": 50}}}
NO_CRDS = {"crds": {"enabled": False}}
"""The Fleet has put them there."""
NEVER_S = 30.0


class Release:
    """A release, and one operator of it at a time."""

    def __init__(self, helm: Helm, fleet: Fleet) -> None:
        self.fleet = fleet
        self.namespace = f"{fleet.namespace}-ops"
        self._helm = helm.on(fleet.cluster.kubeconfig)
        self._operator: OperatorProcess | None = None
        self._started = 0

    def install(self) -> None:
        self._helm.install(self.namespace, NO_CRDS)
        self._start()

    def upgrade(self, values: Object) -> None:
        """As a rollout of the Deployment does it, but for the order."""
        self._helm.upgrade(self.namespace, {**NO_CRDS, **values})
        self._stop()
        self._start()

    def uninstall(self) -> None:
        began = time.monotonic()
        self._helm.uninstall(self.namespace)
        assert time.monotonic() - began < NEVER_S
        self._stop()

    def holder(self) -> str:
        """Who is in office."""
        lease = self.fleet.api.get(leases(self.namespace, "fingerv7-operator"))
        return str(lease["spec"].get("holderIdentity") or "")

    def _start(self) -> None:
        self._started += 1
        cluster = self.fleet.cluster
        account = account_of_a_pod(self.fleet.api, self.namespace, RELEASE, f"{RELEASE}-{self._started}")
        own = self.fleet.folder / "account.kubeconfig"
        own.write_text(kubeconfig_of(cluster, account))
        text = cluster.kubectl("get", "deployment", RELEASE, "-n", self.namespace, "-o", "json")
        (container,) = json.loads(text)["spec"]["template"]["spec"]["containers"]
        given = {each["name"]: each["value"] for each in container["env"] if each.get("value")}
        del given["FINGERV7_LISTEN"]
        place = {"FINGERV7_KUBECONFIG": str(own), "POD_NAMESPACE": self.namespace}
        self._operator = self.fleet.start_operator(f"operator-{self._started}", **given, **place, **ELECTION)

    def _stop(self) -> None:
        if self._operator:
            self._operator.stop_gracefully()
            self._operator = None


@pytest.fixture
def fleet(bare_cluster: Cluster, postgres: Postgres, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(bare_cluster, postgres, rows=5, liveness={}, pool_spec=WORKERS, folder=tmp_path) as fleet:
        yield fleet


@pytest.fixture
def release(helm: Helm, fleet: Fleet) -> Iterator[Release]:
    """Installed, with the pool's two pods made."""
    release = Release(helm, fleet)
    release.install()
    fleet.wait_for(lambda: len(pods(fleet)) == 2, SOON_S, "two pods")
    yield release
    try:
        release.uninstall()
    except CommandError as error:
        if "not found" not in error.stderr:
            raise
    fleet.cluster.kubectl("delete", "namespace", release.namespace, "--wait=false")


def uids(fleet: Fleet) -> set[str]:
    return {each["metadata"]["uid"] for each in pods(fleet)}


def sidecars(fleet: Fleet) -> list[str]:
    return [each["spec"]["initContainers"][0]["image"] for each in pods(fleet)]


def workers_ready(fleet: Fleet) -> str:
    """The condition's reason."""
    conditions = fleet.stream_pool().get("status", {}).get("conditions", [])
    return next((each["reason"] for each in conditions if each["type"] == "WorkersReady"), "")


def office(fleet: Fleet) -> int:
    """Grows with each operator that takes office."""
    return int(fleet.stream_pool().get("status", {}).get("leaderEpoch", 0))


def in_office_after(fleet: Fleet, before: int) -> None:
    fleet.wait_for(lambda: office(fleet) > before, SOON_S, "the next operator is in office")


def test_an_upgrade_that_is_not_about_workers_leaves_their_pods_alone(release: Release, fleet: Fleet):
    made, before = uids(fleet), office(fleet)
    release.upgrade({"logLevel": "DEBUG", "replicas": 1, "watchNamespaces": [fleet.namespace]})
    in_office_after(fleet, before)
    fleet.patch_pool({"workers": {"replicas": 3}})
    fleet.wait_for(lambda: len(pods(fleet)) == 3, SOON_S, "the pool is served: a third pod")
    assert made < uids(fleet)


def test_another_sidecar_is_rolled_out(release: Release, fleet: Fleet):
    assert sidecars(fleet) == ["fingerv7-worker-sidecar:0.1.0"] * 2
    release.upgrade({"sidecarImage": {"repository": "registry.example/sidecar", "tag": "2"}})
    wanted = ["registry.example/sidecar:2"] * 2
    fleet.wait_for(lambda: sidecars(fleet) == wanted, SOON_S, "both pods have the new sidecar")


def test_without_the_right_to_pods_the_pool_says_so_and_what_runs_stays(release: Release, fleet: Fleet):
    made = uids(fleet)
    release.upgrade({"managedWorkers": {"enabled": False}})
    fleet.patch_pool({"workers": {"replicas": 3}})
    fleet.wait_for(lambda: workers_ready(fleet) == "OperatorForbidden", SOON_S, "the pool says OperatorForbidden")
    assert uids(fleet) == made
    release.upgrade({})
    fleet.wait_for(lambda: len(pods(fleet)) == 3, SOON_S, "it goes on")
    assert made < uids(fleet)


def test_a_pool_whose_namespace_is_not_served_is_left_alone_until_it_is_again(release: Release, fleet: Fleet):
    made, before = uids(fleet), release.holder()
    release.upgrade({"watchNamespaces": ["default"]})
    fleet.wait_for(
        lambda: release.holder() not in ("", before), SOON_S, "an operator of other namespaces is in office"
    )
    fleet.patch_pool({"workers": {"replicas": 3}})
    assert uids(fleet) == made
    release.upgrade({})
    fleet.wait_for(lambda: len(pods(fleet)) == 3, SOON_S, "the pool is served again: a third pod")
    assert made < uids(fleet)


def test_a_pool_that_is_deleted_without_the_right_to_pods_goes_nevertheless(release: Release, fleet: Fleet):
    release.upgrade({"managedWorkers": {"enabled": False}})
    fleet.wait_for(lambda: workers_ready(fleet) == "OperatorForbidden", SOON_S, "the pool says OperatorForbidden")
    path = fingerv7(fleet.namespace, "streampools", fleet.pool)
    fleet.api.delete(path)
    fleet.wait_for(lambda: fleet.api.find(path) is None and not fleet.finger_workers(), SOON_S, "pool and workers go")
    fleet.wait_for(lambda: not pods(fleet), SOON_S, "and their pods, by the garbage collector")


def test_an_uninstallation_leaves_workers_that_the_next_installation_takes_over(release: Release, fleet: Fleet):
    made, before = uids(fleet), office(fleet)
    release.uninstall()
    assert uids(fleet) == made
    assert fleet.api.find(rbac(fleet.namespace, "roles", "radio-001")), "without its rights a worker would fence"
    release.install()
    in_office_after(fleet, before)
    fleet.patch_pool({"workers": {"replicas": 3}})
    fleet.wait_for(lambda: len(pods(fleet)) == 3, SOON_S, "the pool is served: a third pod")
    assert made < uids(fleet)


def test_a_pool_that_is_deleted_without_an_operator_goes_when_its_finalizers_are_taken_off(
    release: Release, fleet: Fleet
):
    release.uninstall()
    path = fingerv7(fleet.namespace, "streampools", fleet.pool)
    fleet.api.delete(path)
    assert "deletionTimestamp" in fleet.api.get(path)["metadata"], "nobody takes its finalizer off"
    fleet.wait_for(lambda: let_go(fleet), SOON_S, "the last operator's Lease is too old for it to be alive")
    fleet.wait_for(lambda: fleet.api.find(path) is None and not fleet.finger_workers(), SOON_S, "pool and workers go")
    accounts = core(fleet.namespace, "serviceaccounts", "radio-001")
    fleet.wait_for(lambda: not pods(fleet) and fleet.api.find(accounts) is None, SOON_S, "and what they own")


def let_go(fleet: Fleet) -> bool:
    """`fingerv7 uninstall`: whether it was not refused."""
    command = [Path(sys.executable).parent / "fingerv7", "uninstall", "--yes", "-n", fleet.namespace]
    env = {**os.environ, "KUBECONFIG": str(fleet.cluster.kubeconfig)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 or "the operator is still running" in done.stderr, done.stderr
    return done.returncode == 0
