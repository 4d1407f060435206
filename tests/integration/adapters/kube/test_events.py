"""Events as `kubectl describe` shows them."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.cluster import Cluster
from fingerv7.adapters.kube.events import EventRecorder
from fingerv7.adapters.kube.resources import LEASES

pytestmark = pytest.mark.integration


async def test_an_event_is_shown_with_its_object_once_and_with_its_count(
    api: Any, cluster: Cluster, namespace: str
) -> None:
    body = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": {"name": "w-1"}}
    created = await api.create(LEASES.path(namespace), body)
    involved = {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "name": "w-1",
        "uid": created["metadata"]["uid"],
    }
    recorder = EventRecorder(api, recount_after_s=0)
    for _ in range(3):
        await recorder.record(
            namespace, involved, type="Warning", reason="RegistrationClosed", message="set spec.registration: Open"
        )
    await recorder.record(namespace, involved, type="Warning", reason="RegistrationClosed", message="again")
    await recorder.close()
    assert recorder.dropped == 0
    columns = "jsonpath={range .items[*]}{.involvedObject.name} {.type} {.reason} {.message} {.count}{'\\n'}{end}"
    shown = cluster.kubectl("get", "events", "-n", namespace, "-o", columns).splitlines()
    assert sorted(shown) == [
        "w-1 Warning RegistrationClosed again 1",
        "w-1 Warning RegistrationClosed set spec.registration: Open 3",
    ]
    assert "RegistrationClosed" in cluster.kubectl("describe", "lease", "w-1", "-n", namespace)
