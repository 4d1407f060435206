"""Objects of both kinds, and a way to try them on the API server without leaving anything there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from devenv.cluster import Cluster
from devenv.fleet_api import Api as HttpApi
from devenv.fleet_api import ApiError, fingerv7

Json = dict[str, Any]


PLURALS = {"StreamPool": "streampools", "FingerWorker": "fingerworkers"}


class Api:
    """What the API server answers to a whole object or a patch of its status."""

    def __init__(self, requests: HttpApi, cluster: Cluster, namespace: str) -> None:
        self._requests = requests
        self._cluster = cluster
        self._namespace = namespace

    def create(self, body: Json, *, dry_run: bool = True) -> Json:
        """Create an object; a dry run asks everything and stores nothing. Raises ApiError."""
        path = fingerv7(self._namespace, PLURALS[body["kind"]])
        return self._requests.create(path + ("?dryRun=All" if dry_run else ""), body)

    def refusal(self, body: Json) -> str:
        """Why the object is refused; fails when it is accepted."""
        with pytest.raises(ApiError) as refused:
            self.create(body)
        return str(refused.value)

    def patch(self, kind: str, name: str, patch: Json, *, subresource: str = "status") -> Json:
        """A merge patch, of the status unless told otherwise. Raises ApiError."""
        path = fingerv7(self._namespace, kind, name)
        return self._requests.merge(f"{path}/{subresource}" if subresource else path, patch)

    def patch_refusal(self, kind: str, name: str, patch: Json, *, subresource: str = "status") -> str:
        with pytest.raises(ApiError) as refused:
            self.patch(kind, name, patch, subresource=subresource)
        return str(refused.value)

    def table(self, kind: str, *args: str) -> list[list[str]]:
        """The words of `kubectl get`, one list a line; for columns without spaces in them."""
        text = self._cluster.kubectl("-n", self._namespace, "get", kind, *args)
        return [line.split() for line in text.splitlines()]


@pytest.fixture
def api(requests: HttpApi, cluster: Cluster, namespace: str) -> Api:
    return Api(requests, cluster, namespace)


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
