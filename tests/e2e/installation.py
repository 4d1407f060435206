"""How the operator comes onto a cluster and off it again: `helm install` and `helm uninstall` of `charts/fingerv7`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.chart.helm import CLUSTER_WIDE, RELEASE, Helm

from devenv.cluster import Cluster

from . import manifests
from .manifests import Object

ROOT = Path(__file__).parents[2]
CRDS = ("streampools.fingerv7.io", "fingerworkers.fingerv7.io")
OPERATORS = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=operator"
"""The label selector of the operator's pods."""
_READY = ("--wait", "--timeout", "140s")


class Installation:
    """One release, in a namespace of its own that enforces the Pod Security level `restricted`.

    Args:
        watch: the namespaces that it serves; none means all of them, which is the chart's default.
    """

    def __init__(
        self, cluster: Cluster, helm: Helm, namespace: str, images: dict[str, str], watch: list[str]
    ) -> None:
        self._cluster = cluster
        self._helm = helm.on(cluster.kubeconfig)
        self.namespace = namespace
        self._values: dict[str, Any] = {
            "image": _image(images["operator"]),
            "sidecarImage": _image(images["worker-sidecar"]),
            "watchNamespaces": watch,
        }

    def install(self) -> None:
        """Returns when all replicas are ready."""
        self._cluster.kubectl("create", "-f", "-", input=json.dumps(manifests.namespace(self.namespace)))
        values = dict(self._values)
        if self.crds():
            # Those that an earlier release left, or somebody else's: brought up to date, not taken over.
            self._cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
            values["crds"] = {"enabled": False}
        self._helm.install(self.namespace, values, *_READY)
        self._cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *_as_arguments(CRDS))

    def test(self) -> None:
        """What `helm test` finds; raises CommandError."""
        self._helm.run("test", RELEASE, "-n", self.namespace, "--timeout", "120s")

    def upgrade(self, values: dict[str, Any]) -> None:
        """To other values, with those of the installation; returns when all replicas are new and ready."""
        self._helm.upgrade(self.namespace, values, "--reset-then-reuse-values", *_READY)

    def uninstall(self) -> None:
        """Nothing happens where it has been uninstalled before."""
        self._helm.run("uninstall", RELEASE, "-n", self.namespace, "--ignore-not-found")

    def remove(self) -> None:
        """The release and its namespace. CRDs stay: deleting them would delete other people's objects."""
        self.uninstall()
        self._cluster.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=120s")

    def kubectl(self, *args: str) -> str:
        return self._cluster.kubectl("-n", self.namespace, *args)

    def crds(self) -> list[str]:
        """Which of ours the cluster has."""
        return self._cluster.kubectl("get", "crd", *CRDS, "--ignore-not-found", "-o", "name").split()

    def cluster_wide(self) -> dict[str, list[str]]:
        """What of the release is outside of namespaces, by its kind."""
        names = {kind: self._cluster.kubectl("get", kind, "-o", "name").split() for kind in CLUSTER_WIDE.split(",")}
        # They begin with the release's namespace.
        return {kind: [name for name in found if self.namespace in name] for kind, found in names.items()}

    def pods(self) -> set[str]:
        return set(self.kubectl("get", "pods", "-l", OPERATORS, "-o", "jsonpath={.items[*].metadata.name}").split())

    def leader(self) -> str:
        """Who holds the election's Lease, as `<pod>_…`; empty for nobody."""
        return self.kubectl("get", "lease", "fingerv7-operator", "-o", "jsonpath={.spec.holderIdentity}")

    def leading_pod(self) -> str:
        return next(name for name in self.pods() if name in self.leader())

    def wait_ready(self) -> None:
        self.kubectl("rollout", "status", f"deployment/{RELEASE}", "--timeout=90s")


def apply(cluster: Cluster, namespace: str, objects: list[Object]) -> None:
    documents = {"apiVersion": "v1", "kind": "List", "items": objects}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(documents))


def evict(cluster: Cluster, namespace: str, name: str) -> None:
    """As `kubectl drain` does it: a PodDisruptionBudget may refuse it. Raises CommandError."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    cluster.kubectl("create", "--raw", path, "-f", "-", input=json.dumps(body))


def _image(reference: str) -> dict[str, str]:
    """Values for `registry:5000/name:tag` or `name@sha256:…`."""
    name, at, digest = reference.partition("@")
    if at:
        return {"repository": name, "digest": digest}
    repository, colon, tag = name.rpartition(":")
    return {"repository": repository, "tag": tag} if colon and "/" not in tag else {"repository": name}


def _as_arguments(crds: tuple[str, ...]) -> list[str]:
    return [f"crd/{name}" for name in crds]
