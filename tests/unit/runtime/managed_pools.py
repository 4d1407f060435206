"""StreamPools whose workers the operator runs."""

from __future__ import annotations

from typing import Any

from fingerv7.api.streampool import StreamPool

SOURCE = {"postgres": {"secretRef": {"name": "db"}, "table": "streams"}}


def a_pool(container: dict | None = None, *, spec: dict | None = None, **workers: Any) -> StreamPool:
    container = {"name": "fingerv7", "image": "fingerv7:1", "command": ["fingerv7"], **(container or {})}
    template = {"spec": {"containers": [container], **(spec or {})}}
    return pool_of({"source": SOURCE, "workers": {"template": template, **workers}})


def without_workers() -> StreamPool:
    return pool_of({"source": SOURCE})


def pool_of(spec: dict) -> StreamPool:
    metadata = {"name": "radio", "namespace": "music", "uid": "u"}
    return StreamPool.parse({"metadata": metadata, "kind": "StreamPool", "spec": spec})
