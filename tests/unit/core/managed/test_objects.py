from __future__ import annotations

from fingerv7.api.fingerworker import FingerWorker
from fingerv7.core.managed import objects
from fingerv7.core.managed.model import Traits

TRAITS = Traits(25, frozenset({"audio_fingerprinting", "vpn"}), "attic")


def owners(item):
    return [
        (each["kind"], each["uid"], each["controller"], each["blockOwnerDeletion"])
        for each in item["metadata"]["ownerReferences"]
    ]


def test_a_fingerworker_is_the_pools_and_says_what_the_pool_says():
    body = objects.finger_worker("radio-001", TRAITS, pool="radio", pool_uid="p")
    spec = FingerWorker.parse(body).spec
    assert (spec.pool_ref.name, spec.max_streams, spec.location) == ("radio", 25, "attic")
    assert spec.capabilities == ["audio_fingerprinting", "vpn"]
    assert owners(body) == [("StreamPool", "p", True, False)]
    assert body["metadata"]["labels"].items() >= {"fingerv7.io/pool": "radio", "fingerv7.io/managed": "true"}.items()
    assert body["metadata"]["finalizers"] == ["fingerv7.io/drain"]


def test_an_account_may_see_its_own_fingerworker_and_renew_its_own_lease():
    role = objects.role("radio-001", "w", "radio")
    rights = {(r["apiGroups"][0], r["resources"][0], r["resourceNames"][0], *r["verbs"]) for r in role["rules"]}
    assert rights == {
        ("fingerv7.io", "fingerworkers", "radio-001", "get", "watch"),
        ("coordination.k8s.io", "leases", "radio-001", "get", "update"),
    }
    binding = objects.role_binding("radio-001", "w", "radio", "music")
    assert binding["roleRef"]["name"] == "radio-001"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "radio-001", "namespace": "music"}]
    account = objects.service_account("radio-001", "w", "radio")
    assert account["automountServiceAccountToken"] is False
    for body in (role, binding, account):
        assert owners(body) == [("FingerWorker", "w", True, False)]


def test_the_budget_is_for_the_pods_of_this_fleet():
    budget = objects.disruption_budget("radio", "p", min_available=7)
    assert budget["spec"] == {
        "minAvailable": 7,
        "selector": {"matchLabels": {"fingerv7.io/pool": "radio", "fingerv7.io/managed": "true"}},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
