"""What the example of a NetworkPolicy lets through, read as Kubernetes defines it: no plugin enforces it here."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from tests.integration.examples.test_manifests import documents, the

from fingerv7.core.managed import objects
from fingerv7.core.managed.template import PUBLIC_PORT

pytestmark = pytest.mark.integration

SPEC = documents("network-policy/workers.yaml")[0]["spec"]
PROMETHEUS = {"kubernetes.io/metadata.name": "monitoring"}

Json = dict[str, Any]


def has_port(rule: Json, port: int, protocol: str) -> bool:
    return "ports" not in rule or {"port": port, "protocol": protocol} in rule["ports"]


def is_within(block: Json, address: str) -> bool:
    networks = [ip_network(each) for each in (block["cidr"], *block["except"])]
    inside = [ip_address(address) in each for each in networks]
    return inside[0] and not any(inside[1:])


def goes_out(address: str, port: int, protocol: str = "TCP") -> bool:
    return any(
        has_port(rule, port, protocol)
        and ("to" not in rule or any(is_within(peer["ipBlock"], address) for peer in rule["to"]))
        for rule in SPEC["egress"]
    )


def comes_in(namespace: dict[str, str], port: int) -> bool:
    return any(
        has_port(rule, port, "TCP")
        and any(peer["namespaceSelector"]["matchLabels"].items() <= namespace.items() for peer in rule["from"])
        for rule in SPEC["ingress"]
    )


def test_it_is_for_managed_workers_and_for_those_of_the_example():
    (wanted,) = SPEC["podSelector"]["matchExpressions"]
    assert wanted["operator"] == "Exists"
    own = the("StatefulSet", "own-workers/workers.yaml")["spec"]["template"]["metadata"]["labels"]
    assert wanted["key"] in objects.labels("radio")
    assert own[wanted["key"]] == the("StreamPool", "own-workers/workers.yaml")["metadata"]["name"]


@pytest.mark.parametrize(
    ("address", "port", "protocol"),
    [
        pytest.param("10.96.0.10", 53, "UDP", id="the cluster's DNS"),
        pytest.param("169.254.20.10", 53, "TCP", id="DNS on the node"),
        pytest.param("10.96.0.1", 443, "TCP", id="the API server's Service"),
        pytest.param("172.18.0.2", 6443, "TCP", id="the API server itself"),
        pytest.param("10.1.2.3", 5432, "TCP", id="PostgreSQL"),
        pytest.param("203.0.113.7", 8000, "TCP", id="a stream"),
        pytest.param("2001:db8::7", 8443, "TCP", id="a stream with IPv6"),
        pytest.param("203.0.113.8", 51820, "UDP", id="a VPN's server"),
    ],
)
def test_what_a_worker_needs_goes_out(address: str, port: int, protocol: str):
    assert goes_out(address, port, protocol)


@pytest.mark.parametrize(
    ("address", "port"),
    [("169.254.169.254", 80), ("10.1.2.3", 8080), ("192.168.1.1", 80), ("100.64.0.1", 9100), ("fd00::1", 80)],
)
def test_a_streams_url_does_not_lead_into_the_cluster(address: str, port: int):
    assert not goes_out(address, port)


def test_prometheus_comes_in_where_the_sidecar_listens_and_nobody_else_anywhere():
    assert comes_in(PROMETHEUS, PUBLIC_PORT)
    assert not comes_in(PROMETHEUS, 8089)
    assert not comes_in({"kubernetes.io/metadata.name": "default"}, PUBLIC_PORT)
