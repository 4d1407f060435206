"""The node of plain processes is good enough to judge by: budgets hold, tokens work, and nothing of it stays behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.errors import CommandError
from devenv.homes import load_record, reap_abandoned
from devenv.network import Network
from devenv.node_files import SANDBOX_IMAGE
from devenv.pods import PodCluster
from devenv.remains import containers
from devenv.status import render_status

from . import manifests
from .installation import apply, evict
from .manifests import plain_pod

PYTHONPATH = os.pathsep.join(sys.path)
OWNER = """
import json, time
from devenv.pods import start_pods
pods = start_pods(name="killed")
pods.cluster.kubectl("create", "-f", "-", input=json.dumps(POD))
pods.cluster.kubectl("wait", "--for=condition=Ready", "pod/left", "--timeout=60s")
print(pods.cluster.kubeconfig.parent, flush=True)
time.sleep(600)
"""


@pytest.fixture
def namespace(pods: PodCluster) -> Iterator[str]:
    name = f"node-{uuid.uuid4().hex[:8]}"
    pods.cluster.kubectl("create", "-f", "-", input=json.dumps(manifests.namespace(name)))
    yield name
    pods.cluster.kubectl("delete", "namespace", name, "--timeout=90s")


def test_a_pod_calls_the_api_server_by_its_service_with_its_own_token(
    pods: PodCluster, namespace: str, images: dict[str, str]
) -> None:
    code = (
        "import ssl, urllib.request as u; d = '/var/run/secrets/kubernetes.io/serviceaccount/'; import os; "
        "c = ssl.create_default_context(cafile=d + 'ca.crt'); h = os.environ['KUBERNETES_SERVICE_HOST']; "
        "r = u.Request(f'https://{h}/apis/authentication.k8s.io/v1/selfsubjectreviews', method='POST', "
        'data=b\'{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}\', '
        "headers={'Authorization': 'Bearer ' + open(d + 'token').read(), 'Content-Type': 'application/json'}); "
        "print(u.urlopen(r, context=c).read().decode())"
    )
    cluster = pods.cluster
    apply(cluster, namespace, [plain_pod("caller", images["operator"], ["python3", "-c", code])])
    cluster.kubectl(
        *("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/caller", "-n", namespace, "--timeout=60s")
    )
    user = json.loads(cluster.kubectl("logs", "caller", "-n", namespace))["status"]["userInfo"]
    assert user["username"] == f"system:serviceaccount:{namespace}:default"
    assert user["extra"]["authentication.kubernetes.io/pod-name"] == ["caller"]


def test_an_eviction_is_refused_while_a_budget_forbids_it(
    pods: PodCluster, namespace: str, images: dict[str, str]
) -> None:
    sleeping = plain_pod("kept", images["operator"], ["sleep", "600"])
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "kept"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "kept"}}},
    }
    apply(pods.cluster, namespace, [sleeping, budget])
    pods.cluster.kubectl("wait", "--for=condition=Ready", "pod/kept", "-n", namespace, "--timeout=60s")
    healthy = ("--for=jsonpath={.status.currentHealthy}=1", "pdb/kept", "-n", namespace, "--timeout=30s")
    pods.cluster.kubectl("wait", *healthy)
    with pytest.raises(CommandError, match="violate the pod's disruption budget"):
        evict(pods.cluster, namespace, "kept")
    pods.cluster.kubectl("delete", "pdb", "kept", "-n", namespace)
    evict(pods.cluster, namespace, "kept")
    pods.cluster.kubectl("wait", "--for=delete", "pod/kept", "-n", namespace, "--timeout=30s")


def test_restricted_is_enforced(pods: PodCluster, namespace: str, images: dict[str, str]) -> None:
    careless = plain_pod("careless", images["operator"])
    del careless["spec"]["containers"][0]["securityContext"]
    with pytest.raises(CommandError, match="violates PodSecurity"):
        apply(pods.cluster, namespace, [careless])


def test_nothing_of_a_node_outlives_the_next_start_after_its_owner_was_killed(pods: PodCluster) -> None:
    if not pods.cluster.can_stop_apiserver:
        pytest.skip("this is about the node of plain processes; here is another cluster")
    code = OWNER.replace("POD", repr(plain_pod("left", SANDBOX_IMAGE)))
    with subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": PYTHONPATH}, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        home = Path(owner.stdout.readline().decode().strip())
        owner.kill()
    record = load_record(home)
    assert record is not None
    assert record.node is not None
    # Containers outlive containerd on purpose.
    assert len(containers(record.node)) == 1
    assert "1 on bridge fingerv7-" in render_status([record])
    deadline = time.monotonic() + 60
    while home.exists():
        assert time.monotonic() < deadline, f"{home} is still there"
        reap_abandoned()
    assert containers(record.node) == []
    assert not Path(record.node.folder).exists()
    assert record.node.folder not in Path("/proc/self/mountinfo").read_text()
    assert not Path("/sys/class/net", Network(number=record.node.network).bridge).exists()
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert Network(number=record.node.network).table not in tables.split()
