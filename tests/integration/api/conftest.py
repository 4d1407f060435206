"""Objects of both kinds, and a way to try them on the API server without leaving anything there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from devenv.cluster import Cluster
from devenv.errors import CommandError

Json = dict[str, Any]


class Api:
    """What the API server answers to a whole object or a patch of its status."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace

    def create(self, body: Json, *, dry_run: bool = True) -> Json:
        """Create an object; a dry run asks everything and stores nothing. Raises CommandError."""
        extra = ["--dry-run=server"] if dry_run else []
        text = self._kubectl("create", "--validate=false", "-o", "json", *extra, "-f", "-", body=body)
        return json.loads(text)

    def refusal(self, body: Json) -> str:
        """Why the object is refused; fails when it is accepted."""
        with pytest.raises(CommandError) as refused:
            self.create(body)
        return refused.value.stderr

    def patch(self, kind: str, name: str, patch: Json, *, subresource: str = "status") -> Json:
        """A merge patch, of the status unless told otherwise. Raises CommandError."""
        extra = [f"--subresource={subresource}"] if subresource else []
        text = self._kubectl(
            "patch", kind, name, "--type=merge", "-o", "json", *extra, "--patch-file=/dev/stdin", body=patch
        )
        return json.loads(text)

    def patch_refusal(self, kind: str, name: str, patch: Json, *, subresource: str = "status") -> str:
        with pytest.raises(CommandError) as refused:
            self.patch(kind, name, patch, subresource=subresource)
        return refused.value.stderr

    def table(self, kind: str, *args: str) -> list[list[str]]:
        """The words of `kubectl get`, one list a line; for columns without spaces in them."""
        return [line.split() for line in self._kubectl("get", kind, *args).splitlines()]

    def _kubectl(self, *args: str, body: Json | None = None) -> str:
        text = None if body is None else json.dumps(body)
        return self._cluster.kubectl("-n", self._namespace, *args, input=text)


@pytest.fixture
def api(cluster: Cluster, namespace: str) -> Api:
    return Api(cluster, namespace)


@pytest.fixture
def pool() -> Callable[..., Json]:
    """Builds a StreamPool: `pool(liveness={...}, postgres={...})`."""

    def build(*, name: str = "radio", postgres: Json | None = None, **spec: Any) -> Json:
        source = {"secretRef": {"name": "streams-db"}, "table": "streams", **(postgres or {})}
        return {
            "apiVersion": "fingerv7.io/v1alpha1",
            "kind": "StreamPool",
            "metadata": {"name": name},
            "spec": {"source": {"postgres": source}, **spec},
        }

    return build


@pytest.fixture
def worker() -> Callable[..., Json]:
    """Builds a FingerWorker: `worker(maxStreams=5)`."""

    def build(*, name: str = "fingerv7-001", **spec: Any) -> Json:
        return {
            "apiVersion": "fingerv7.io/v1alpha1",
            "kind": "FingerWorker",
            "metadata": {"name": name},
            "spec": {
                "poolRef": {"name": "radio"},
                "maxStreams": 50,
                "capabilities": ["audio_fingerprinting"],
                **spec,
            },
        }

    return build
