"""What the chart renders, and what it refuses to render."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.integration.chart.helm import CHART, Helm, Object, of_kind
from tests.integration.chart.matrix import DIGEST, MATRIX
from tests.integration.chart.monitoring import POD_MONITOR

from devenv.cluster import Cluster

pytestmark = pytest.mark.integration

SNAPSHOTS = Path(__file__).parent / "snapshots"
STRICT = ("--strict", str(CHART))


@pytest.fixture(params=MATRIX)
def values(request: pytest.FixtureRequest) -> Object:
    return MATRIX[request.param]


def test_lint_finds_nothing(each_helm: Helm, values: Object, tmp_path: Path):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    assert "0 chart(s) failed" in each_helm.run("lint", *STRICT, "--values", str(file))


def test_both_lines_of_helm_render_the_same(each_helm: Helm, helm: Helm, values: Object):
    assert each_helm.template(values) == helm.template(values)


@pytest.mark.parametrize("name", ["default", "namespaced", "several-namespaces", "everything"])
def test_what_is_rendered_is_what_was_reviewed(helm: Helm, name: str):
    """After a change that is meant: SNAPSHOTS=write make chart, and read the difference."""
    objects = [each for each in helm.template(MATRIX[name]) if each["kind"] != "CustomResourceDefinition"]
    text = yaml.safe_dump_all(objects, sort_keys=False, width=118)
    path = SNAPSHOTS / f"{name}.yaml"
    if os.environ.get("SNAPSHOTS") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


@pytest.fixture(scope="module")
def with_namespaces(bare_cluster: Cluster) -> Iterator[Cluster]:
    """The namespaces and accounts that the matrix names, and PodMonitors. The operator's may hold restricted pods only."""
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    objects: list[Object] = [POD_MONITOR]
    for name, labels in (("ops", restricted), ("radio", {}), ("tv", {})):
        objects.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    for name in (
        "fingerv7",
        "fingerv7-test",
        "fingerv7-radio-operator",
        "fingerv7-radio-operator-test",
        "operator",
        "made-by-somebody-else",
        "default",
    ):  # pods are refused without theirs
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "ops"}}
        objects.append(account)
    bare_cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))
    bare_cluster.kubectl("wait", "--for=condition=Established", "crd", "podmonitors.monitoring.coreos.com")
    yield bare_cluster
    bare_cluster.kubectl("delete", "namespace", "ops", "radio", "tv")


def test_the_api_server_accepts_every_object(with_namespaces: Cluster, helm: Helm, values: Object):
    """With strict validation: an unknown field is an error."""
    objects = helm.template(values)
    text = yaml.safe_dump_all(objects)
    answered = with_namespaces.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=text)
    assert len(answered.splitlines()) == len(objects)


def test_pods_run_where_only_restricted_ones_may(with_namespaces: Cluster, helm: Helm, values: Object):
    objects = helm.template(values)
    (deployment,) = of_kind(objects, "Deployment")
    template = deployment["spec"]["template"]
    operator = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": "operator", "namespace": "ops"}}
    for pod in (operator, *of_kind(objects, "Pod")):
        with_namespaces.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(pod))


# --- what each switch is for ------------------------------------------------------------------------------


def kinds(objects: list[Object]) -> set[str]:
    return {each["kind"] for each in objects}


@pytest.mark.parametrize("served", [["radio"], ["radio", "tv"]], ids=["one", "two"])
def test_with_namespaces_the_operator_has_no_right_outside_of_them(helm: Helm, served: list[str]):
    objects = helm.template({"watchNamespaces": served})
    assert of_kind(objects, "ClusterRoleBinding") == []
    assert {each["metadata"]["namespace"] for each in of_kind(objects, "RoleBinding")} == {*served, "ops"}


def test_releases_of_one_name_in_two_namespaces_do_not_share_objects(helm: Helm):
    def names(namespace: str) -> set[tuple[str, str, str]]:
        objects = helm.template({"watchNamespaces": ["radio"], "crds": {"enabled": False}}, namespace=namespace)
        return {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in objects}

    assert not names("ops-a") & names("ops-b")


def test_one_replica_needs_no_budget_and_no_affinity(helm: Helm):
    objects = helm.template({"replicas": 1})
    assert "PodDisruptionBudget" not in kinds(objects)
    assert "affinity" not in of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]


def test_a_name_of_ones_own_is_in_names_and_labels_and_selectors_follow(helm: Helm):
    objects = helm.template({"nameOverride": "radio-operator"})
    (deployment,) = of_kind(objects, "Deployment")
    assert deployment["metadata"]["name"] == "fingerv7-radio-operator"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "radio-operator"
    selectors = [deployment["spec"]["selector"], of_kind(objects, "PodDisruptionBudget")[0]["spec"]["selector"]]
    assert all(each["matchLabels"].items() <= labels.items() for each in selectors)


def test_a_digest_wins_over_a_tag(helm: Helm):
    (deployment,) = of_kind(helm.template({"image": {"tag": "9", "digest": DIGEST}}), "Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == f"fingerv7-operator@{DIGEST}"


def test_every_object_has_the_common_labels(helm: Helm, values: Object):
    for each in helm.template(values):
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "fingerv7"
        assert labels.items() >= values.get("commonLabels", {}).items()


def test_crds_stay_unless_somebody_says_otherwise(helm: Helm):
    keep = {"helm.sh/resource-policy": "keep"}
    crds = of_kind(helm.template(), "CustomResourceDefinition")
    assert [each["metadata"]["annotations"] for each in crds] == [keep, keep]
    dropped = of_kind(helm.template({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert all("annotations" not in each["metadata"] for each in dropped)
    argo = {"argocd.argoproj.io/sync-options": "Prune=false"}
    both = of_kind(helm.template({"crds": {"annotations": argo}}), "CustomResourceDefinition")
    assert [each["metadata"]["annotations"] for each in both] == [{**keep, **argo}] * 2
    only = of_kind(helm.template({"crds": {"annotations": argo, "keep": False}}), "CustomResourceDefinition")
    assert [each["metadata"]["annotations"] for each in only] == [argo] * 2


def test_crds_are_those_of_the_repository(helm: Helm):
    crds = of_kind(helm.template(), "CustomResourceDefinition")
    manifests = [yaml.safe_load(path.read_text()) for path in sorted((CHART.parents[1] / "crds").glob("*.yaml"))]
    assert [each["spec"] for each in crds] == [each["spec"] for each in manifests]


# --- refusals ---------------------------------------------------------------------------------------------


def seconds(**times: str) -> Object:
    return {"extraEnv": [{"name": f"FINGERV7_{name}_SECONDS", "value": text} for name, text in times.items()]}


def test_times_of_the_election_that_the_operator_accepts_are_accepted(helm: Helm):
    for times in ({"LEASE": "300", "RENEW_DEADLINE": "270"}, {"LEASE": "1", "RENEW_DEADLINE": "0.9", "RETRY": "0.1"}):
        helm.template(seconds(**times))
    read_elsewhere = {"name": "FINGERV7_LEASE_SECONDS", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}
    helm.template({"extraEnv": [read_elsewhere]})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replica": 2}, ["'replica'", "not allowed"]),
        ({"image": {"name": "x"}}, ["/image", "'name'", "not allowed"]),
        ({"replicas": "2"}, ["/replicas", "want integer"]),
        ({"replicas": 11}, ["/replicas", "maximum: got 11, want 10"]),
        ({"logLevel": "LOUD"}, ["/logLevel", "'DEBUG', 'INFO', 'WARNING', 'ERROR'"]),
        ({"watchNamespaces": "radio"}, ["/watchNamespaces", "want array"]),
        ({"networkPolicy": {"postgresPorts": [70000]}}, ["/networkPolicy/postgresPorts", "want 65,535"]),
        ({"podMonitor": {"interval": "1 m"}}, ['podMonitor.interval is "1 m"', "write a time such as 30s"]),
        ({"podMonitor": {"workers": {"interval": "soon"}}}, ['podMonitor.workers.interval is "soon"', "such as 30s"]),
        ({"nameOverride": "Radio"}, ['nameOverride is "Radio"', "beginning with a letter"]),
        ({"fullnameOverride": "7"}, ['fullnameOverride is "7"', "beginning with a letter"]),
        (
            {"sidecarImage": {"pullPolicy": "always"}},
            ["/sidecarImage/pullPolicy", "'Always', 'IfNotPresent', 'Never'"],
        ),
        (seconds(LEASE="10"), ["FINGERV7_LEASE_SECONDS=10 with", "at most nine tenths of it"]),
        (seconds(RETRY="10"), ["FINGERV7_RETRY_SECONDS=10", "a retry below the deadline"]),
        (seconds(LEASE="301", RENEW_DEADLINE="99"), ["FINGERV7_LEASE_SECONDS=301", "a lease of 1 to 300"]),
        (seconds(LEASE="15s"), ['extraEnv sets FINGERV7_LEASE_SECONDS to "15s"', "write a number of seconds"]),
        ({"watchNamespaces": ["Radio"]}, ['watchNamespaces names "Radio"', "leave the list empty for all of them"]),
        ({"rbac": {"secretNames": ["a/b"]}}, ['rbac.secretNames names "a/b"', "write names of Secrets"]),
        ({"image": {"repository": "x:1.0"}}, ['image.repository is "x:1.0"', "without tag and digest"]),
        ({"image": {"digest": "abc"}}, ['image.digest is "abc"', "64 hexadecimal digits"]),
        ({"sidecarImage": {"tag": "a b"}}, ['sidecarImage.tag is "a b"', "leave it empty for 0.1.0"]),
        ({"extraEnv": [{"name": "LOG_LEVEL", "value": "DEBUG"}]}, ["sets LOG_LEVEL", "use logLevel instead"]),
        ({"serviceAccount": {"create": False}}, ["name the account that the operator uses"]),
    ],
)
def test_wrong_values_are_refused_with_what_would_be_right(helm: Helm, values: Object, words: list[str]):
    refusal = helm.refusal(values)
    for each in words:
        assert each in refusal
