"""What `helm test` runs in a pod, run here as a process with that pod's account: no pod runs on this cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from tests.integration.chart.helm import RELEASE, Helm, Object, of_kind
from tests.integration.chart.test_rights import OPS, account_of_a_pod, installed, kubeconfig_of, start_operator

from devenv.cluster import Cluster
from devenv.fleet import Fleet
from devenv.postgres import Postgres

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400, func_only=True)]

SOON_S = 60.0


@pytest.fixture
def hooks(helm: Helm) -> list[Object]:
    return helm.template({}, "--show-only", "templates/tests/office.yaml", namespace=OPS)


def test_it_says_what_is_missing_until_nothing_is(
    helm: Helm, bare_cluster: Cluster, postgres: Postgres, tmp_path: Path, hooks: list[Object]
):
    with (
        Fleet(bare_cluster, postgres, rows=1, folder=tmp_path) as fleet,
        installed(helm, bare_cluster, {"managedWorkers": {"enabled": False}}) as operators,
    ):
        (pod,) = of_kind(hooks, "Pod")
        rest = [each for each in hooks if each is not pod]
        bare_cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(rest))
        account = account_of_a_pod(fleet.api, OPS, pod["spec"]["serviceAccountName"], "asking")
        (tmp_path / "token").write_text(account.token)
        (tmp_path / "ca.crt").write_bytes(bare_cluster.ca_file.read_bytes())
        server = urlsplit(bare_cluster.server)
        place = {"KUBERNETES_SERVICE_HOST": server.hostname, "KUBERNETES_SERVICE_PORT": str(server.port)}

        def run(seconds: int) -> subprocess.CompletedProcess[str]:
            """The pod's very command, with less patience."""
            _, *arguments = pod["spec"]["containers"][0]["command"]
            command = [sys.executable, *arguments[:-1], str(seconds)]
            env = {**os.environ, **place, "ACCOUNT": str(tmp_path)}
            return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=90)

        assert "404" in run(2).stderr, "there was no election yet"
        own = tmp_path / "account.kubeconfig"
        own.write_text(kubeconfig_of(bare_cluster, operators))
        operator = start_operator(fleet, "operator-a", own, "")
        fleet.wait_for(lambda: fleet.stream_pool()["status"].get("leaderEpoch"), SOON_S, "an operator is in office")
        assert "a replica of Deployment fingerv7 that is available" in run(2).stderr

        status = {"status": {"replicas": 2, "readyReplicas": 1, "availableReplicas": 1}}
        patch = ("--subresource=status", "--type=merge", "-p", json.dumps(status))
        bare_cluster.kubectl("patch", "deployment", RELEASE, "-n", OPS, *patch)
        done = run(30)
        assert (done.returncode, done.stderr) == (0, "")
        assert "1 available, " in done.stdout

        operator.stop_gracefully()
        done = run(2)
        assert done.returncode == 1
        assert "nobody holds Lease fingerv7-operator" in done.stderr
