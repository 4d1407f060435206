"""A control plane of our own is as good as a real cluster where it matters here, and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from devenv.cluster import Cluster, start_cluster, start_cluster_in
from devenv.errors import CommandError, DevenvError
from devenv.gobuild import read_release
from devenv.homes import load_record, owned_home, reap_abandoned
from devenv.processes import is_alive
from devenv.progress import no_progress
from devenv.surroundings import Surroundings

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
PYTHONPATH = os.pathsep.join((str(ROOT / "hack"), str(ROOT / "examples")))
OWNER = """
import time
from devenv.cluster import start_cluster
cluster = start_cluster(name="killed")
print(cluster.kubeconfig.parent, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    with start_cluster(name="devenv-tests") as cluster:
        if not cluster.can_stop_apiserver:
            pytest.skip("these are about the control plane of plain processes; here is another cluster")
        yield cluster


def ask(
    cluster: Cluster, path: str, token: str, *, method: str = "GET", body: object = None, ca_file: Path | None = None
) -> tuple[int, dict[str, object]]:
    context = ssl.create_default_context(cafile=ca_file or cluster.ca_file)
    url = urlsplit(cluster.server)
    assert url.hostname is not None
    connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=10, context=context)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, headers=headers, body=json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def running_in(folder: Path) -> list[str]:
    """Whatever runs with this working folder, by the kernel's word instead of our records'."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str((entry / "cwd").readlink()).removesuffix(" (deleted)") == str(folder):
                found.append((entry / "comm").read_text().strip())
        except OSError:
            continue
    return sorted(found)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


def test_the_server_is_verified_and_has_its_real_version(own: Cluster) -> None:
    status, version = ask(own, "/version", own.admin_token)
    assert status == 200
    assert version["gitVersion"] == read_release().kubernetes


def test_a_client_that_trusts_another_authority_does_not_talk_to_it(own: Cluster, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(trustme.CA().cert_pem.bytes())
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(own, "/version", own.admin_token, ca_file=other)


def kubeconfig_only(cluster: Cluster) -> Surroundings:
    return Surroundings(env={**os.environ, "FINGERV7_KUBECONFIG": str(cluster.kubeconfig)})


def test_a_service_account_without_roles_is_known_and_refused(own: Cluster) -> None:
    token = own.service_account_token("default", "nobody-special")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    status, answer = ask(own, "/apis/authentication.k8s.io/v1/selfsubjectreviews", token, method="POST", body=review)
    assert status == 201
    assert "system:serviceaccount:default:nobody-special" in json.dumps(answer)
    status, answer = ask(own, "/api/v1/namespaces/default/configmaps", token)
    assert status == 403
    assert "nobody-special" in str(answer["message"])


def test_a_role_opens_what_it_names(own: Cluster) -> None:
    token = own.service_account_token("default", "reader")
    own.kubectl("create", "role", "reader", "--verb=list", "--resource=configmaps")
    own.kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader")
    wait_for(lambda: ask(own, "/api/v1/namespaces/default/configmaps", token)[0] == 200, "permission to list")
    assert ask(own, "/api/v1/namespaces/default/secrets", token)[0] == 403


def test_a_namespace_gets_its_service_account_and_goes_when_deleted(own: Cluster) -> None:
    own.kubectl("create", "namespace", "brief")
    wait_for(lambda: own.kubectl("get", "sa", "-n", "brief", "-o", "name") != "", "the default account")
    own.kubectl("delete", "namespace", "brief", "--timeout=60s")
    assert own.kubectl("get", "namespace", "brief", "--ignore-not-found") == ""


def test_a_failed_kubectl_says_what_the_server_said(own: Cluster) -> None:
    with pytest.raises(CommandError, match=r'(?s)kubectl get nonsense.*doesn.t have a resource type "nonsense"'):
        own.kubectl("get", "nonsense")
    assert own.kubectl("get", "nonsense", check=False) == ""


def test_kubectl_takes_manifests_from_its_input(own: Cluster) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "from-input"}, "data": {"a": "b"}}
    own.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    assert own.kubectl("get", "configmap", "from-input", "-o", "jsonpath={.data.a}") == "b"


def test_the_api_server_comes_back_on_its_port_with_its_objects(own: Cluster) -> None:
    own.kubectl("create", "configmap", "before-the-outage")
    own.stop_apiserver()
    with pytest.raises(ConnectionRefusedError):
        ask(own, "/version", own.admin_token)
    own.start_apiserver()
    assert ask(own, "/version", own.admin_token)[0] == 200
    assert own.kubectl("get", "configmap", "before-the-outage", "-o", "name").strip() == "configmap/before-the-outage"


@pytest.mark.long
def test_two_clusters_stand_side_by_side_and_one_goes_without_the_other(own: Cluster) -> None:
    with start_cluster(name="second", progress=no_progress) as second:
        folder = second.kubeconfig.parent
        assert second.server != own.server
        assert {"etcd", "kube-apiserver"} <= set(running_in(folder))
        second.kubectl("create", "configmap", "only-in-the-second")
        assert own.kubectl("get", "configmap", "only-in-the-second", "--ignore-not-found") == ""
        assert ask(own, "/version", second.admin_token, ca_file=own.ca_file)[0] == 401
    assert running_in(folder) == []
    assert not folder.exists()
    assert ask(own, "/version", own.admin_token)[0] == 200


@pytest.mark.long
def test_nothing_outlives_an_owner_that_was_killed(own: Cluster) -> None:
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().decode().strip())
        assert {"etcd", "kube-apiserver"} <= set(running_in(folder))
        owner.kill()
    wait_for(lambda: running_in(folder) == [], "the end of all processes")
    reap_abandoned()
    assert not folder.exists()


def test_an_existing_cluster_is_used_when_named_and_stays_when_we_are_done(own: Cluster) -> None:
    with start_cluster_in(owned_home("guest"), kubeconfig_only(own), no_progress) as guest:
        assert guest.server == own.server
        assert guest.kubeconfig != own.kubeconfig
        assert "default" in guest.kubectl("get", "namespaces")
        with pytest.raises(DevenvError, match="not ours to stop"):
            guest.stop_apiserver()
    assert ask(own, "/version", own.admin_token)[0] == 200


def test_a_named_cluster_that_does_not_answer_is_an_error(own: Cluster, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(own.kubeconfig.read_text().replace(own.server, "https://127.0.0.1:1"))
    around = Surroundings(env={**os.environ, "FINGERV7_KUBECONFIG": str(config)})
    with pytest.raises(CommandError, match=r"127\.0\.0\.1:1"):
        start_cluster_in(owned_home("guest"), around, no_progress)


class Devenv:
    """`python -m devenv` with a state folder of its own."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "fingerv7" / "clusters"
        self.environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "XDG_STATE_HOME": str(state)}

    def popen(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            # Interruptible also when the tests themselves run in the background of a script, which ignores SIGINT.
            ["env", "--default-signal=INT", sys.executable, "-m", "devenv", *args],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *args: str) -> str:
        with self.popen(*args) as process:
            out, err = process.communicate()
        assert process.returncode == 0, err
        return out


@pytest.fixture
def devenv(own: Cluster, tmp_path: Path) -> Iterator[Devenv]:
    devenv = Devenv(tmp_path)
    yield devenv
    devenv.run("down", "--all")


@pytest.mark.long
def test_up_stays_until_down_and_its_output_holds_no_password(devenv: Devenv) -> None:
    shown = devenv.run("up", "--name", "mine")
    home = devenv.folder / "mine"
    assert f"export KUBECONFIG={home}/kubeconfig" in shown
    dsn = (home / "postgres.dsn").read_text()
    assert (home / "postgres.dsn").stat().st_mode & 0o077 == 0
    assert dsn.split(":")[2].split("@")[0] not in shown

    assert "mine: up, processes, https://127.0.0.1:" in devenv.run("status")
    assert "mine is up already" in devenv.run("up", "--name", "mine")

    record = load_record(home)
    assert record is not None
    assert {each.name for each in record.components} >= {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "postgres",
    }
    assert "mine is down" in devenv.run("down", "--name", "mine")
    assert not any(is_alive(each) for each in record.components)
    assert not any(Path(folder).exists() for folder in (str(home), *record.folders))
    assert devenv.run("status") == "nothing is up; `make up` starts a cluster\n"


@pytest.mark.long
def test_up_repairs_what_a_crash_left(devenv: Devenv) -> None:
    devenv.run("up", "--name", "mine", "--no-postgres")
    home = devenv.folder / "mine"
    record = load_record(home)
    assert record is not None
    for each in record.components:
        os.kill(each.pid, signal.SIGKILL)
    wait_for(lambda: "mine: dead" in devenv.run("status"), "status dead")
    assert "mine is up:" in devenv.run("up", "--name", "mine", "--no-postgres")


@pytest.mark.long
def test_an_interrupted_up_leaves_nothing(devenv: Devenv) -> None:
    with devenv.popen("up", "--name", "mine") as process:
        home = devenv.folder / "mine"
        wait_for(lambda: "etcd" in running_in(home), "the start of etcd")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert "interrupted; what was started is stopped" in err
    assert running_in(home) == []
    assert not home.exists()
