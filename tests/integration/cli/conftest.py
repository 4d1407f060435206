"""The commands as a user runs them, and the objects that operator and sidecars would have written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from devenv.cluster import Cluster

Json = dict[str, Any]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]

BIN = Path(sys.executable).parent
FINALIZER = "fingerv7.io/drain"


class Stored:
    """Writes objects into one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.namespace = namespace
        self._cluster = cluster

    def pool(self, name: str = "radio", **status: Any) -> None:
        source = {"postgres": {"secretRef": {"name": "streams-db"}, "table": "streams"}}
        self._create(self._object("StreamPool", name, {"source": source}))
        if status:
            self._status("streampools", name, status)

    def deep_pool(self, name: str = "radio") -> None:
        """With a template of 4,900 levels, in a body that is written here, for no parser of ours gets through it."""
        self.pool(name)
        deep = '{"a":' * 4_900 + "1" + "}" * 4_900
        container = '{"name": "fingerv7", "image": "fingerv7:1", "command": ["fingerv7"]}'
        workers = f'{{"template": {{"spec": {{"containers": [{container}], "foo": {deep}}}}}}}'
        patch = f'{{"spec": {{"workers": {workers}}}}}'
        options = ("--type=merge", "--patch-file=/dev/stdin", "-o", "name")
        self._cluster.kubectl("-n", self.namespace, "patch", "streampools", name, *options, input=patch)

    def worker(self, name: str, *, pool: str = "radio", epoch: int = 1, lease: bool = True, **lists: Any) -> str:
        """A FingerWorker with a confirmed assignment, and its Lease; answers the UID."""
        spec = {"poolRef": {"name": pool}, "maxStreams": 50, "capabilities": ["audio_fingerprinting"]}
        uid: str = self._create(self._object("FingerWorker", name, spec))["metadata"]["uid"]
        assignment = {"epoch": epoch, "leaderEpoch": 5, "hash": "h", "streams": [], "revoking": [], **lists}
        ready = {"type": "Ready", "status": "True", "reason": "Active", "message": "heard in time"}
        condition = {**ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}
        self._status("fingerworkers", name, {"phase": "Active", "assignment": assignment, "conditions": [condition]})
        if lease:
            self.lease(name, holder="pod/nonce", annotations={"fingerv7.io/applied": f"{uid}/pod/nonce/{epoch}"})
        return uid

    def lease(
        self, name: str, *, holder: str, age_s: float = 0, annotations: Mapping[str, str] | None = None
    ) -> None:
        renewed = (datetime.now(UTC) - timedelta(seconds=age_s)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self._create(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "annotations": dict(annotations or {})},
                "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 30},
            }
        )

    def kubectl(self, *args: str, body: Json | None = None) -> str:
        return self._cluster.kubectl("-n", self.namespace, *args, input=json.dumps(body) if body else None)

    def finalizers(self, kind: str, name: str) -> list[str]:
        metadata = json.loads(self.kubectl("get", kind, name, "-o", "json"))["metadata"]
        return metadata.get("finalizers", [])

    def _object(self, kind: str, name: str, spec: Json) -> Json:
        metadata = {"name": name, "finalizers": [FINALIZER, "example.org/backup"]}
        return {"apiVersion": "fingerv7.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}

    def _create(self, body: Json) -> Json:
        return json.loads(self.kubectl("create", "-o", "json", "-f", "-", body=body))

    def _status(self, plural: str, name: str, status: Json) -> None:
        patch = ["--subresource=status", "--type=merge", "--patch-file=/dev/stdin"]
        self.kubectl("patch", plural, name, *patch, body={"status": status})


def stream(identity: str) -> Json:
    return {
        "id": identity,
        "url": "https://u:hidden@radio.example/live?key=hidden",
        "name": "Radio One",
        "token": "5-1",
    }


@pytest.fixture
def stored(cluster: Cluster, namespace: str) -> Stored:
    return Stored(cluster, namespace)


@pytest.fixture
def a_stream() -> Callable[[str], Json]:
    return stream


@pytest.fixture
def kubeconfig(cluster: Cluster, namespace: str, tmp_path: Path) -> Callable[..., Path]:
    """`kubeconfig(token=…, server=…)`: the cluster's, with the test's namespace and what is given exchanged."""

    def write(*, token: str = "", server: str = "", user: Json | None = None) -> Path:
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        config["contexts"][0]["context"]["namespace"] = namespace
        if token or user:
            config["users"][0]["user"] = user or {"token": token}
        if server:
            config["clusters"][0]["cluster"]["server"] = server
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    return write


@pytest.fixture
def cli(kubeconfig: Callable[..., Path]) -> Cli:
    """`cli("why", "4711")` as a process of its own, in the test's namespace."""

    def run(*args: str, answer: str = "", config: Path | None = None) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "KUBECONFIG": str(config or kubeconfig())}
        return subprocess.run(
            [BIN / "fingerv7", *args], input=answer, env=env, capture_output=True, text=True, check=False, timeout=60
        )

    return run
