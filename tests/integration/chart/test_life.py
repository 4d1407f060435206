"""A release from its installation to its end, on a real cluster. No pod runs there, so nobody waits for one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.chart.helm import CLUSTER_WIDE, RELEASE, Helm, Object

from devenv.cluster import Cluster
from devenv.errors import CommandError
from devenv.kubectl import find_kubectl
from devenv.progress import no_progress
from devenv.surroundings import here

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400, func_only=True)]

OPS, RADIO = "ops-life", "radio-life"
PASTED = "radio"
"""Where the chart's notes put a first pool."""
CRDS = ("streampools.fingerv7.io", "fingerworkers.fingerv7.io")
FINALIZER = "fingerv7.io/drain"
SOON_S = 60.0
NEVER_S = 30.0
"""An uninstallation that waits for a finalizer waits for ever; one that does not takes a few seconds."""


@pytest.fixture
def release(bare_cluster: Cluster, each_helm: Helm) -> Iterator[Helm]:
    """Helm on a cluster without anything of ours, and two namespaces."""
    clean(bare_cluster)
    for name in (OPS, RADIO):
        bare_cluster.kubectl("create", "namespace", name)
    helm = each_helm.on(bare_cluster.kubeconfig)
    yield helm
    try:
        helm.uninstall(OPS)
    except CommandError as error:
        if "not found" not in error.stderr:
            raise
    clean(bare_cluster)


def clean(cluster: Cluster) -> None:
    for kind in ("fingerworkers", "streampools"):
        for each in find(cluster, kind, "-A"):
            name, namespace = each["metadata"]["name"], each["metadata"]["namespace"]
            patch = ("--type=merge", "-p", '{"metadata":{"finalizers":null}}')
            cluster.kubectl("patch", kind, name, "-n", namespace, *patch)
    cluster.kubectl("delete", "crd", "--ignore-not-found", *CRDS)
    cluster.kubectl("delete", "namespace", "--ignore-not-found", OPS, RADIO)


def find(cluster: Cluster, kind: str, *args: str) -> list[Object]:
    """The objects of a kind; none where the kind does not exist."""
    text = cluster.kubectl("get", kind, *args, "-o", "json", check=False)
    return json.loads(text)["items"] if text else []


def ours(cluster: Cluster) -> set[str]:
    """Every object that carries the release's label, as kind/name."""
    namespaced = "deployments,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies"
    wide = f"customresourcedefinitions,{CLUSTER_WIDE}"
    label = ("-l", f"app.kubernetes.io/instance={RELEASE}")
    found = [*find(cluster, namespaced, "-A", *label), *find(cluster, wide, *label)]
    return {f"{each['kind']}/{each['metadata']['name']}" for each in found}


def declare(cluster: Cluster) -> None:
    """A pool and a worker as the operator leaves them: with its finalizer."""
    metadata = {"namespace": RADIO, "finalizers": [FINALIZER]}
    source = {"postgres": {"secretRef": {"name": "streams-db"}, "table": "streams"}}
    worker = {"poolRef": {"name": "radio"}, "maxStreams": 50, "capabilities": ["audio_fingerprinting"]}
    for kind, name, spec in (("StreamPool", "radio", {"source": source}), ("FingerWorker", "radio-001", worker)):
        body = {
            "apiVersion": "fingerv7.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, **metadata},
            "spec": spec,
        }
        until(lambda body=body: cluster.kubectl("create", "-f", "-", input=json.dumps(body)), f"{kind} is served")


def until(condition, what: str):
    deadline = time.monotonic() + SOON_S
    while True:
        try:
            if found := condition():
                return found
        except CommandError:
            pass
        assert time.monotonic() < deadline, f"not within {SOON_S:.0f} s: {what}"
        time.sleep(0.3)


def uninstall(helm: Helm) -> None:
    began = time.monotonic()
    helm.uninstall(OPS)
    assert time.monotonic() - began < NEVER_S


def test_a_release_is_installed_upgraded_and_uninstalled(bare_cluster: Cluster, release: Helm, tmp_path: Path):
    notes = release.install(OPS)
    assert "which names no registry" in notes
    installed = ours(bare_cluster)
    assert {f"CustomResourceDefinition/{name}" for name in CRDS} <= installed
    wide = f"{OPS}-{RELEASE}"
    assert f"ClusterRoleBinding/{wide}-operator" in installed
    assert {f"PodDisruptionBudget/{RELEASE}", f"FlowSchema/{wide}-leases"} <= installed
    declare(bare_cluster)
    paste(bare_cluster, notes, tmp_path)
    assert find(bare_cluster, "streampools", "-n", PASTED), "the notes are to be pasted"
    assert find(bare_cluster, "secrets", "-n", PASTED)
    bare_cluster.kubectl("delete", "namespace", PASTED)

    other = {"replicas": 1, "watchNamespaces": [RADIO], "flowControl": {"enabled": False}, "logLevel": "DEBUG"}
    release.upgrade(OPS, other)
    upgraded = ours(bare_cluster)
    assert f"Role/{wide}-operator" in upgraded - installed
    gone = {f"ClusterRole/{wide}-operator", f"PodDisruptionBudget/{RELEASE}", f"FlowSchema/{wide}-leases"}
    assert gone <= installed - upgraded
    (deployment,) = find(bare_cluster, "deployments", "-n", OPS)
    assert deployment["spec"]["replicas"] == 1
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "FINGERV7_NAMESPACES", "value": RADIO} in env

    uninstall(release)
    assert ours(bare_cluster) == {f"CustomResourceDefinition/{name}" for name in CRDS}
    assert [each["metadata"]["name"] for each in find(bare_cluster, "streampools", "-A")] == ["radio"]
    (worker,) = find(bare_cluster, "fingerworkers", "-A")
    assert "deletionTimestamp" not in worker["metadata"]

    release.install(OPS)  # the CRDs that stayed are taken over
    assert ours(bare_cluster) == installed


def paste(cluster: Cluster, notes: str, folder: Path) -> None:
    """The commands that make a first pool, in a shell, as they stand there."""
    begin, end = notes.index("kubectl create namespace"), notes.index("\nEND\n") + len("\nEND\n")
    kubectl = find_kubectl(here(), no_progress)
    env = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "PATH": f"{kubectl.parent}:{os.environ['PATH']}"}
    (folder / "ca.crt").write_text("a certificate")
    command = ["bash", "-euo", "pipefail", "-c", notes[begin:end]]
    subprocess.run(command, env=env, cwd=folder, check=True, capture_output=True, timeout=60)


def test_crds_that_are_not_kept_go_when_the_last_finalizer_does(bare_cluster: Cluster, release: Helm, tmp_path: Path):
    """The order that docs/install.md warns of: the operator is gone before its objects are."""
    release.install(OPS, {"crds": {"keep": False}})
    declare(bare_cluster)
    uninstall(release)
    for crd in find(bare_cluster, "crd"):
        if crd["metadata"]["name"] in CRDS:
            assert "deletionTimestamp" in crd["metadata"]
    command = [Path(sys.executable).parent / "fingerv7", "uninstall", "--yes", "--all-namespaces"]
    env = {**os.environ, "KUBECONFIG": str(bare_cluster.kubeconfig)}
    until(
        lambda: find(bare_cluster, "fingerworkers", "-A") and not find(bare_cluster, "leases", "-n", OPS), "both are"
    )
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    until(lambda: not ours(bare_cluster), "nothing is left")


def test_crds_of_somebody_else_are_left_alone(bare_cluster: Cluster, release: Helm):
    crds = Path(__file__).resolve().parents[3] / "crds"
    bare_cluster.kubectl("apply", "--server-side", "-f", str(crds))
    with pytest.raises(CommandError, match="invalid ownership metadata"):
        release.install(OPS)
    release.install("ops-second", {"crds": {"enabled": False}})
    release.uninstall("ops-second")
    bare_cluster.kubectl("delete", "namespace", "ops-second", "--wait=false")
    assert len([each for each in find(bare_cluster, "crd") if each["metadata"]["name"] in CRDS]) == 2
