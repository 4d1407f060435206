"""Which of the API server's queues a request waits in, by what it says of itself in each answer."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from tests.integration.chart.helm import Helm

from devenv.cluster import Cluster
from devenv.fleet_api import core, fingerv7, leases
from devenv.fleet_setup import administrator, poll_until

pytestmark = pytest.mark.integration

OPS, RADIO, ELSEWHERE = "ops-flow", "radio-flow", "elsewhere-flow"
EVERYBODYS = ("service-accounts", "workload-low")
"""What Kubernetes itself has for them."""
SOON_S = 30.0

Queue = tuple[str, str]
"""FlowSchema and priority level."""
Ask = Callable[..., Queue]


@pytest.fixture(scope="module")
def ask(bare_cluster: Cluster) -> Iterator[Ask]:
    """`ask(namespace, method, path)`: how a request of a service account of this namespace was classified."""
    tokens = {}
    with closing(administrator(bare_cluster)) as api:
        for namespace in (OPS, RADIO, ELSEWHERE):
            api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
            bare_cluster.kubectl("-n", namespace, "create", "serviceaccount", "radio-001")
            account = core(namespace, "serviceaccounts", "radio-001") + "/token"
            tokens[namespace] = api.create(account, {"spec": {}})["status"]["token"]
    server = urlsplit(bare_cluster.server)
    context = ssl.create_default_context(cafile=bare_cluster.ca_file)

    def classified(namespace: str, method: str, path: str) -> Queue:
        headers = {"Authorization": f"Bearer {tokens[namespace]}", "Content-Type": "application/json"}
        with closing(http.client.HTTPSConnection(server.hostname or "", server.port, context=context)) as connection:
            connection.request(method, path, "{}" if method in {"PUT", "POST"} else None, headers)
            answer = connection.getresponse()
            kinds = {"flowschema": "FlowSchema", "prioritylevelconfiguration": "PriorityLevel"}
            uids = {kind: answer.headers[f"X-Kubernetes-PF-{word}-UID"] for kind, word in kinds.items()}
        schema, level = (name_of(bare_cluster, kind, uid) for kind, uid in uids.items())
        return schema, level

    yield classified
    bare_cluster.kubectl("delete", "namespace", OPS, RADIO, ELSEWHERE, "--wait=false")


def name_of(cluster: Cluster, kind: str, uid: str) -> str:
    found = json.loads(cluster.kubectl("get", kind, "-o", "json"))["items"]
    names = {each["metadata"]["uid"]: each["metadata"]["name"] for each in found}
    return names.get(uid, "one that is gone")


@pytest.fixture
def install(helm: Helm, bare_cluster: Cluster, ask: Ask) -> Iterator[Callable[[dict[str, Any]], Queue]]:
    """Flow control as the chart has it with these values; returned when it is in force."""
    applied = ""

    def apply(values: dict[str, Any]) -> Queue:
        nonlocal applied
        objects = helm.template(values, "--show-only", "templates/flowcontrol.yaml", namespace=OPS)
        applied = yaml.safe_dump_all(objects)
        bare_cluster.kubectl("apply", "-f", "-", input=applied)
        own = (f"{OPS}-fingerv7-leases", f"{OPS}-fingerv7-leases")
        assert poll_until(lambda: ask(RADIO, "GET", leases(RADIO, "radio-001")) == own, deadline_s=SOON_S)[0]
        return own

    yield apply
    if applied:
        bare_cluster.kubectl("delete", "-f", "-", input=applied)


def test_a_lease_is_heard_whatever_else_the_same_account_asks(ask: Ask, install: Callable[[dict[str, Any]], Queue]):
    assert ask(RADIO, "PUT", leases(RADIO, "radio-001")) == EVERYBODYS
    own = install({})
    heartbeat = [("GET", "radio-001"), ("PUT", "radio-001"), ("PATCH", "radio-001"), ("POST", "")]
    assert {ask(RADIO, method, leases(RADIO, name)) for method, name in heartbeat} == {own}
    assert ask(OPS, "PUT", leases(OPS, "fingerv7-operator")) == own, "the election"
    others = [
        ("GET", leases(RADIO)),
        ("GET", leases(RADIO) + "?watch=1&timeoutSeconds=1"),
        ("DELETE", leases(RADIO, "radio-001")),
        ("GET", fingerv7(RADIO, "fingerworkers", "radio-001")),
        ("GET", core(RADIO, "pods")),
    ]
    assert {ask(RADIO, method, path) for method, path in others} == {EVERYBODYS}


def test_leases_of_namespaces_that_are_not_served_are_none_of_ours(
    ask: Ask, install: Callable[[dict[str, Any]], Queue]
):
    own = install({"watchNamespaces": [RADIO]})
    assert ask(RADIO, "PUT", leases(RADIO, "radio-001")) == own
    assert ask(OPS, "PUT", leases(OPS, "fingerv7-operator")) == own
    assert ask(ELSEWHERE, "PUT", leases(ELSEWHERE, "radio-001")) == EVERYBODYS
