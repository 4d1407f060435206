"""docs/install.md, "Without cluster-wide rights": its commands, by two people, the second of whom is a namespace's admin."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.integration.chart.helm import CHART, CLUSTER_WIDE, RELEASE, Helm, environment
from tests.integration.chart.test_life import CRDS, until

from devenv.cluster import Cluster
from devenv.errors import CommandError
from devenv.kubeconfig import render
from devenv.kubectl import find_kubectl
from devenv.progress import no_progress
from devenv.surroundings import here

pytestmark = [pytest.mark.integration, pytest.mark.timeout(200, func_only=True)]

ROOT = CHART.parents[1]
SECTION = re.search(
    r"^### Without cluster-wide rights\n(.*?)^###? ",
    (ROOT / "docs" / "install.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)
assert SECTION is not None
BLOCKS = re.findall(r"^```(?:yaml)?\n(.*?)^```$", SECTION[1], re.DOTALL | re.MULTILINE)
BEFORE, VALUES, INSTALL = (block.replace("MY-REGISTRY", "registry.example") for block in BLOCKS)
OPS, RADIO = "fingerv7", "radio"
"""As the document has them."""
PERSON = "somebody"
POOL = {
    "apiVersion": "fingerv7.io/v1alpha1",
    "kind": "StreamPool",
    "metadata": {"name": "radio"},
    "spec": {"source": {"postgres": {"secretRef": {"name": "streams-db"}, "table": "streams"}}},
}


class Person:
    """A shell beside charts and crds, with kubectl, Helm and rights of somebody's own."""

    def __init__(self, kubeconfig: Path, helm: Helm, folder: Path) -> None:
        tools = f"{find_kubectl(here(), no_progress).parent}:{helm.binary.parent}:{os.environ['PATH']}"
        self._env = {**environment(folder, kubeconfig), "PATH": tools}
        self._folder = folder

    def types(self, commands: str) -> str:
        """What they printed. Raises CommandError."""
        shell = ["bash", "-euo", "pipefail", "-c", commands]
        done = subprocess.run(
            shell, env=self._env, cwd=self._folder, capture_output=True, text=True, check=False, timeout=150
        )
        if done.returncode != 0:
            raise CommandError(shell, done.returncode, done.stderr)
        return done.stdout


@pytest.fixture
def cluster(bare_cluster: Cluster) -> Iterator[Cluster]:
    """Both namespaces, and an account that is `admin` there and nothing elsewhere."""
    for name in (OPS, RADIO):
        bare_cluster.kubectl("create", "namespace", name)
        admin = ("--clusterrole=admin", f"--serviceaccount={RADIO}:{PERSON}", "-n", name)
        bare_cluster.kubectl("create", "rolebinding", PERSON, *admin)
    bare_cluster.kubectl("create", "serviceaccount", PERSON, "-n", RADIO)
    yield bare_cluster
    bare_cluster.kubectl("delete", "streampools", "--all", "-n", RADIO)
    bare_cluster.kubectl("delete", "namespace", OPS, RADIO)
    bare_cluster.kubectl("delete", CLUSTER_WIDE, "-l", f"app.kubernetes.io/instance={RELEASE}")
    bare_cluster.kubectl("delete", "crd", *CRDS)


@pytest.fixture
def people(cluster: Cluster, each_helm: Helm, tmp_path: Path) -> tuple[Person, Person]:
    """With all rights, and with the account's."""
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    (tmp_path / "crds").symlink_to(ROOT / "crds")
    (tmp_path / "values.yaml").write_text(VALUES)
    own = tmp_path / "kubeconfig"
    token = cluster.kubectl("create", "token", PERSON, "-n", RADIO).strip()
    authority = cluster.ca_file.read_bytes()
    own.write_text(render(name="own", server=cluster.server, ca_pem=authority, user=PERSON, token=token))
    return Person(cluster.kubeconfig, each_helm, tmp_path), Person(own, each_helm, tmp_path)


def test_an_admin_of_two_namespaces_installs_what_was_prepared(cluster: Cluster, people: tuple[Person, Person]):
    administrator, person = people
    administrator.types(BEFORE)
    pool = f"kubectl apply -n {RADIO} -f - <<'END'\n{json.dumps(POOL)}\nEND\n"
    until(lambda: person.types(pool), "the role `admin` has been extended: a pool")
    with pytest.raises(CommandError, match=r"(?s)attempting to grant RBAC.*/status"):
        person.types(INSTALL.strip().replace(RELEASE, "alone", 1) + " --set rbac.create=true")
    person.types(f"helm uninstall alone --namespace {OPS}")

    person.types(INSTALL)
    hooks = f"helm template {RELEASE} charts/fingerv7 -n {OPS} --show-only templates/tests/office.yaml"
    person.types(f"{hooks} | kubectl create -f -")  # `helm test`

    def may(verb: str, resource: str, namespace: str) -> str:
        account = f"--as=system:serviceaccount:{OPS}:{RELEASE}"
        asked = ("auth", "can-i", verb, resource, account, "-n", namespace)
        return cluster.kubectl(*asked, check=False).strip()

    (deployment,) = json.loads(cluster.kubectl("get", "deployments", "-n", OPS, "-o", "json"))["items"]
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == RELEASE
    assert may("patch", "streampools.fingerv7.io/status", RADIO) == "yes"
    assert may("update", "leases.coordination.k8s.io/fingerv7-operator", OPS) == "yes"
    assert may("list", "fingerworkers.fingerv7.io", "default") == "no"

    with pytest.raises(CommandError, match="cannot list resource"):
        person.types("kubectl get streampools --all-namespaces")
    person.types(f"helm upgrade {RELEASE} charts/fingerv7 --namespace {OPS} --reuse-values --set logLevel=DEBUG")
    person.types(f"helm uninstall {RELEASE} --namespace {OPS}")
    assert may("patch", "streampools.fingerv7.io/status", RADIO) == "yes", "Roles are not the release's"


def test_all_objects_of_that_installation_are_in_namespaces(helm: Helm):
    objects = helm.template(yaml.safe_load(VALUES))
    assert objects
    assert all("namespace" in each["metadata"] for each in objects)
