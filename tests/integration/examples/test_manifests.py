"""The examples before a real API server, and what the operator makes of their templates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devenv.cluster import Cluster
from devenv.errors import CommandError
from fingerv7.api.streampool import StreamPool
from fingerv7.contract import Timing, parse_duration
from fingerv7.core.managed.guard import FENCE_PROBE
from fingerv7.core.managed.pod import Recipe, Sidecar, build_pod
from fingerv7.runtime.rules import recipe_of
from fingerv7_sidecar.settings import read_settings

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[3] / "examples"
FILES = (
    "network-policy/workers.yaml",
    "old-fleet/pool.yaml",
    "own-workers/workers.yaml",
    "vpn/pool.yaml",
    "vpn/secrets.yaml",
)
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"

Json = dict[str, Any]


def documents(file: str) -> list[Json]:
    return list(yaml.safe_load_all((EXAMPLES / file).read_text(encoding="utf-8")))


def the(kind: str, file: str) -> Json:
    return next(each for each in documents(file) if each["kind"] == kind)


def pods(file: str, namespace: str) -> Iterator[Json]:
    """Of all replicas, as the operator builds them."""
    pool = StreamPool.parse(the("StreamPool", file))
    name, spec = pool.metadata.name, pool.spec
    assert spec.workers
    recipe = recipe_of(spec, spec.workers, "registry.example/sidecar:1")
    for ordinal in range(1, spec.workers.replicas + 1):
        yield build_pod(
            recipe,
            namespace=namespace,
            pool=name,
            worker=f"{name}-{ordinal:03d}",
            worker_uid=f"5c2b9a52-0000-4000-8000-{ordinal:012d}",
            ordinal=ordinal,
            drain_key="0123456789abcdef",
        )


def create(cluster: Cluster, namespace: str, body: Json) -> None:
    """Strictly, as a dry run: a field that the API server does not know is an error."""
    arguments = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
    cluster.kubectl("-n", namespace, *arguments, input=json.dumps(body))


def create_pod(cluster: Cluster, namespace: str, pod: Json) -> None:
    cluster.kubectl("-n", namespace, "create", "serviceaccount", pod["metadata"]["name"], check=False)
    create(cluster, namespace, pod)


@pytest.mark.parametrize("file", FILES)
def test_every_object_is_accepted(cluster, namespace, file):
    for document in documents(file):
        create(cluster, namespace, document)


def test_the_old_fleets_pods_run_in_a_restricted_namespace(cluster, namespace):
    cluster.kubectl("label", "namespace", namespace, RESTRICTED)
    built = list(pods("old-fleet/pool.yaml", namespace))
    assert len(built) == 8
    for pod in built:
        create_pod(cluster, namespace, pod)


def test_a_vpn_needs_a_namespace_that_is_not_restricted(cluster, namespace):
    built = list(pods("vpn/pool.yaml", namespace))
    secrets = {each["metadata"]["name"] for each in documents("vpn/secrets.yaml")}
    for pod in built:
        create_pod(cluster, namespace, pod)
        vpn = next(each for each in pod["spec"]["initContainers"] if each["name"] == "vpn")
        assert vpn["envFrom"][0]["secretRef"]["name"] in secrets
    cluster.kubectl("label", "namespace", namespace, RESTRICTED)
    with pytest.raises(CommandError, match="NET_ADMIN") as refused:
        create_pod(cluster, namespace, built[0])
    # Of all containers only the VPN's is complained of.
    assert '"vpn"' in refused.value.stderr
    assert "fingerv7" not in refused.value.stderr.partition("violates")[2]


def test_own_workers_run_in_a_restricted_namespace(cluster, namespace):
    cluster.kubectl("label", "namespace", namespace, RESTRICTED)
    template = the("StatefulSet", "own-workers/workers.yaml")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fingerv7-worker-0"}, "spec": template["spec"]}
    cluster.kubectl("-n", namespace, "create", "serviceaccount", "fingerv7-worker")
    create(cluster, namespace, pod)


def test_own_workers_are_what_the_operator_would_build():
    """Its probes, its hook and its grace; the sidecar's settings by its own reader."""
    pool = StreamPool.parse(the("StreamPool", "own-workers/workers.yaml")).spec
    spec = the("StatefulSet", "own-workers/workers.yaml")["spec"]["template"]["spec"]
    sidecar, worker = spec["initContainers"][0], spec["containers"][0]
    environment = {each["name"]: each.get("value", "fingerv7-worker-0") for each in sidecar["env"]}
    environment["PUBLIC_LISTEN"] = environment["PUBLIC_LISTEN"].replace("$(POD_IP)", "10.0.0.7")
    settings = read_settings(environment | {"KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    recipe = Recipe(
        {"spec": {"containers": [{"name": "fingerv7", "image": "x", "command": worker["command"][4:]}]}},
        "fingerv7",
        guard=True,
        sidecar=Sidecar("x", {}, {}),
        timing=pool.liveness.timing(),
        drain_timeout_s=pool.drain_timeout_ms / 1000,
    )
    built = build_pod(
        recipe,
        namespace="radio",
        pool="radio",
        worker="fingerv7-worker-0",
        worker_uid="u",
        ordinal=1,
        drain_key=settings.drain_key,
    )["spec"]
    theirs = built["containers"][0]
    assert worker["command"] == theirs["command"]
    assert worker["livenessProbe"] == theirs["livenessProbe"]
    assert worker["livenessProbe"]["exec"]["command"][2] == FENCE_PROBE
    assert {**worker["startupProbe"], "timeoutSeconds": 1} == theirs["startupProbe"]
    assert worker["lifecycle"]["preStop"]["httpGet"]["path"] == theirs["lifecycle"]["preStop"]["httpGet"]["path"]
    assert (
        worker["lifecycle"]["preStop"]["httpGet"]["httpHeaders"]
        == (theirs["lifecycle"]["preStop"]["httpGet"]["httpHeaders"])
    )
    assert spec["terminationGracePeriodSeconds"] == built["terminationGracePeriodSeconds"]
    assert settings.register


def test_the_old_fleet_keeps_its_times():
    liveness = StreamPool.parse(the("StreamPool", "old-fleet/pool.yaml")).spec.liveness
    assert (liveness.warning_after_ms, liveness.takeover_after_ms) == (60_000, 180_000)
    assert liveness.timing() == Timing.derive(parse_duration("180s"))
