"""The chart beside what users have: their workers' pods, which it has scraped, and objects in the same namespace."""

from __future__ import annotations

import re

import pytest
from tests.integration.chart.helm import Helm, Object, of_kind
from tests.integration.chart.matrix import MATRIX
from tests.integration.examples.test_manifests import FILES, documents, pods, the

from fingerv7.contract import POOL_LABEL
from fingerv7.core.managed import objects

pytestmark = pytest.mark.integration

OWN = the("StatefulSet", "own-workers/workers.yaml")["spec"]["template"]
MANAGED = next(pods("old-fleet/pool.yaml", "radio"))


@pytest.mark.parametrize(
    ("watched", "where"), [([], {"any": True}), (["radio", "tv"], {"matchNames": ["radio", "tv"]})]
)
def test_sidecars_are_scraped_in_the_namespaces_served(helm: Helm, watched: list[str], where: Object):
    spec = workers_monitor(helm, {"watchNamespaces": watched})
    assert spec["namespaceSelector"] == where


@pytest.mark.parametrize("pod", [OWN, MANAGED], ids=["own", "managed"])
def test_a_sidecar_is_found_by_its_pods_label_and_its_ports_name(helm: Helm, pod: Object):
    spec = workers_monitor(helm, {})
    assert spec["selector"] == {"matchExpressions": [{"key": POOL_LABEL, "operator": "Exists"}]}
    assert POOL_LABEL in pod["metadata"]["labels"]
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["port"] in [each["name"] for each in pod["spec"]["initContainers"][0]["ports"]]
    (pool,) = endpoint["relabelings"]
    assert pool["sourceLabels"] == ["__meta_kubernetes_pod_label_" + re.sub("[^a-z0-9]", "_", POOL_LABEL)]


def workers_monitor(helm: Helm, values: Object) -> Object:
    """The spec of the only PodMonitor."""
    (monitor,) = of_kind(helm.template({"podMonitor": {"workers": {"enabled": True}}, **values}), "PodMonitor")
    assert monitor["metadata"]["namespace"] == "ops"
    spec: Object = monitor["spec"]
    return spec


@pytest.mark.parametrize("values", MATRIX)
def test_examples_can_stand_in_the_releases_namespace(helm: Helm, values: str):
    """Theirs, and what the operator makes for them, have no kind and name in common with the chart's."""
    charts = {(each["kind"], each["metadata"]["name"]) for each in helm.template(MATRIX[values])}
    examples = [(each["kind"], each["metadata"]["name"]) for file in FILES for each in documents(file)]
    made = {
        (kind, name)
        for pod in pods("old-fleet/pool.yaml", "radio")
        for name in [pod["metadata"]["name"]]
        for kind in ("FingerWorker", "Lease", "Pod", "Role", "RoleBinding", "ServiceAccount")
    }
    budget = (
        "PodDisruptionBudget",
        objects.budget_name(the("StreamPool", "old-fleet/pool.yaml")["metadata"]["name"]),
    )
    assert not charts & {*examples, *made, budget}
