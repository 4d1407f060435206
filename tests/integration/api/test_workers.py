"""`spec.workers` on a real API server: what it keeps, refuses and lets `kubectl scale` change."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from devenv.cluster import Cluster
from devenv.errors import CommandError
from devenv.fleet_api import Api, ApiError
from devenv.fleet_setup import poll_until

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
FINGERV7 = {"name": "fingerv7", "image": "fingerv7:1", "command": ["fingerv7"], "ports": [{"containerPort": 80}]}
TEMPLATE = {"spec": {"nodeSelector": {"disk": "fast"}, "containers": [FINGERV7]}}
NO_COMMAND = "has no command, so the guard that stops it with its fence cannot start it: write what the image's"


def without_command(**fields: object) -> dict[str, object]:
    container = {"name": "fingerv7", "image": "fingerv7:1", **fields}
    return {"spec": {"containers": [container, {"name": "logs", "image": "logs:1", "command": ["logs"]}]}}


KEY = {"name": "vpn-$(FINGERWORKER_NAME)", "key": "control"}


def setting(**variable: object) -> dict[str, object]:
    return {"template": TEMPLATE, "sidecar": {"env": [variable]}}


def test_a_setting_of_the_sidecar_may_stand_in_a_secret_or_a_config_map(api, pool):
    env = [
        {"name": "VPN_CONTROL_URL", "value": "http://127.0.0.1:8000"},
        {"name": "VPN_CONTROL_KEY", "valueFrom": {"secretKeyRef": KEY}},
        {"name": "ACK", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "ack"}}},
    ]
    body = pool(workers={"template": TEMPLATE, "sidecar": {"env": env}})
    assert api.create(body)["spec"]["workers"]["sidecar"]["env"] == env


def test_a_template_is_kept_as_it_is_and_the_rest_filled_in(api, pool):
    workers = api.create(pool(workers={"template": TEMPLATE}))["spec"]["workers"]
    assert workers == {
        "replicas": 1,
        "template": TEMPLATE,
        "container": "fingerv7",
        "fenceCheck": "Guard",
        "defaults": {"maxStreams": 50, "capabilities": ["audio_fingerprinting"]},
        "rollout": {"maxUnavailable": 1, "progressTimeout": "10m"},
    }


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({}, "spec.workers.template: Required value"),
        ({"template": {"spec": {}}}, "spec.workers.template.spec.containers: Required value"),
        ({"template": TEMPLATE, "container": "worker"}, "has no container of the name in spec.workers.container"),
        ({"template": without_command()}, NO_COMMAND),
        ({"template": without_command(command=[])}, NO_COMMAND),
        ({"template": without_command(command="fingerv7")}, "spec.workers.template.spec.containers[0].command"),
        ({"template": TEMPLATE, "replicas": 5001}, "should be less than or equal to 5000"),
        (
            {"template": TEMPLATE, "autoscaling": {"minReplicas": 3, "maxReplicas": 2}},
            "minReplicas must be at most maxReplicas",
        ),
        (
            {"template": TEMPLATE, "overrides": [{"name": "radio-3"}]},
            "write the StreamPool's own name, a dash and the worker's number with at least three digits",
        ),
        (
            {"template": TEMPLATE, "overrides": [{"name": "radio-000"}]},
            "write the StreamPool's own name, a dash and the worker's number with at least three digits",
        ),
        ({"template": TEMPLATE, "overrides": [{"name": "radio-0007"}]}, "from 001 to 9999, such as radio-003"),
        ({"template": TEMPLATE, "overrides": [{"name": "radio"}]}, "from 001 to 9999, such as radio-003"),
        (
            {"template": TEMPLATE, "overrides": [{"name": "radio-003"}, {"name": "jazz-003"}]},
            "spec.workers.overrides has a name that no worker of this pool can have",
        ),
        ({"template": TEMPLATE, "overrides": [{"name": "radio-x-003"}]}, "no worker of this pool can have"),
        ({"template": TEMPLATE, "defaults": {"capabilities": ["vpn"]}}, "must contain audio_fingerprinting"),
        (
            {
                "template": TEMPLATE,
                "sidecar": {"env": [{"name": "ACK", "value": "x"}, {"name": "ACK", "value": "y"}]},
            },
            "Duplicate value",
        ),
        (setting(name="ACK"), "needs exactly one of value, valueFrom.secretKeyRef and valueFrom.configMapKeyRef"),
        (setting(name="ACK", value="x", valueFrom={"secretKeyRef": KEY}), "needs exactly one of value, valueFrom"),
        (setting(name="ACK", valueFrom={}), "needs exactly one of value, valueFrom"),
        (setting(name="ACK", valueFrom={"secretKeyRef": KEY, "configMapKeyRef": KEY}), "needs exactly one of value"),
        (setting(name="ACK", valueFrom={"secretKeyRef": {"name": "s"}}), "secretKeyRef.key: Required value"),
        (setting(name="VPN_CONTROL_KEY", value="in clear"), "put it into a Secret"),
        (setting(name="VPN_CONTROL_KEY", valueFrom={"configMapKeyRef": KEY}), "put it into a Secret"),
        (
            {"template": TEMPLATE, "sidecar": {"imagePullPolicy": "Sometimes"}},
            'supported values: "Always", "IfNotPresent", "Never"',
        ),
    ],
)
def test_what_cannot_work_is_refused(api, pool, wrong, sentence):
    assert sentence in " ".join(api.refusal(pool(workers=wrong)).split())


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"livenessProbe": {"httpGet": {"port": 80}}}, "has a livenessProbe; the operator sets it"),
        ({"startupProbe": {}}, "has a startupProbe; the operator sets it"),
        ({"lifecycle": {"postStart": {"exec": {"command": ["x"]}}}}, "has a postStart hook; while that runs"),
        ({"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}, "has a preStop hook; the operator sets it"),
    ],
)
def test_a_worker_s_own_probes_and_hooks_are_refused_and_those_beside_it_are_not(api, pool, fields, sentence):
    beside = {"name": "logs", "image": "logs:1", **fields}
    api.create(pool(workers={"template": {"spec": {"containers": [FINGERV7, beside]}}}))
    assert sentence in api.refusal(pool(workers={"template": {"spec": {"containers": [{**FINGERV7, **fields}]}}}))


@pytest.mark.parametrize(
    ("wrong", "right", "sentence"),
    [
        ({"hostNetwork": True}, {"hostNetwork": False}, "the sidecar needs the ports 8089 and 8090 in every pod"),
        ({"hostPID": True}, {"hostPID": False}, "could read the sidecar's token"),
        ({"shareProcessNamespace": True}, {"shareProcessNamespace": None}, "could read the sidecar's token"),
        ({"serviceAccountName": "radio"}, {"serviceAccountName": ""}, "every worker has an account of its own"),
        ({"serviceAccount": "radio"}, {"serviceAccount": None}, "every worker has an account of its own"),
        ({"restartPolicy": "OnFailure"}, {"restartPolicy": "Always"}, "it must be Always"),
    ],
)
def test_what_would_undo_the_hand_over_is_refused_of_a_pod(api, pool, wrong, right, sentence):
    for fields, accepted in ((wrong, False), (right, True)):
        body = pool(workers={"template": {"spec": {**TEMPLATE["spec"], **fields}}})
        if accepted:
            api.create(body)
        else:
            assert sentence in api.refusal(body)


@pytest.mark.parametrize(
    "workers",
    [
        {"template": without_command(), "fenceCheck": "Worker"},
        {"template": without_command(command=None), "fenceCheck": "Worker"},
        {"template": without_command(), "container": "logs"},
    ],
)
def test_a_command_is_only_needed_where_the_guard_starts_it(api, pool, workers):
    api.create(pool(workers=workers))


@pytest.fixture
def earlier(requests: Api, cluster: Cluster) -> Iterator[dict]:
    """Our CRD under another name, so that it can be stored without its newest rule first."""
    crd = yaml.safe_load((ROOT / "crds" / "streampools.yaml").read_text(encoding="utf-8"))
    crd["metadata"]["name"] = "earlierpools.earlier.example"
    names = {
        "kind": "EarlierPool",
        "listKind": "EarlierPoolList",
        "plural": "earlierpools",
        "singular": "earlierpool",
    }
    crd["spec"] |= {"group": "earlier.example", "names": names}
    yield crd
    requests.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/earlierpools.earlier.example")


def rules(crd: dict) -> list:
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return spec["properties"]["workers"]["x-kubernetes-validations"]


def test_a_pool_that_was_stored_with_another_container_can_still_be_scaled(
    requests, cluster, namespace, pool, earlier
):
    before = copy.deepcopy(earlier)
    rules(before)[:] = [rule for rule in rules(before) if "the container that is FingerV7" not in rule["message"]]
    assert len(rules(before)) < len(rules(earlier))
    path = f"/apis/earlier.example/v1alpha1/namespaces/{namespace}/earlierpools"
    body = pool(workers={"template": without_command(livenessProbe={})}) | {"apiVersion": "earlier.example/v1alpha1"}
    body["kind"] = "EarlierPool"

    def in_force() -> bool:
        with contextlib.suppress(ApiError):
            requests.create(f"{path}?dryRun=All", body)
            return False
        return True

    cluster.kubectl("apply", "-f", "-", input=json.dumps(before))
    assert poll_until(lambda: requests.create(path, body), deadline_s=30)[0]
    cluster.kubectl("apply", "-f", "-", input=json.dumps(earlier))
    assert poll_until(in_force, deadline_s=30)[0]
    requests.merge(f"{path}/radio", {"metadata": {"finalizers": ["fingerv7.io/drain"]}})
    requests.merge(f"{path}/radio", {"spec": {"workers": {"replicas": 7}}})
    requests.merge(f"{path}/radio", {"spec": {"workers": {"template": TEMPLATE}}})
    for wrong, sentence in (
        (without_command(), NO_COMMAND),
        (body["spec"]["workers"]["template"], "a livenessProbe"),
    ):
        with pytest.raises(ApiError, match=sentence):
            requests.merge(f"{path}/radio", {"spec": {"workers": {"template": wrong}}})
    requests.merge(f"{path}/radio", {"metadata": {"finalizers": []}})


def test_as_many_overrides_as_there_may_be(api, pool):
    overrides = [{"name": f"radio-{number:03}", "maxStreams": 7} for number in range(1, 1_001)]
    api.create(pool(workers={"template": TEMPLATE, "overrides": overrides}))


@pytest.mark.parametrize(
    ("liveness", "accepted"),
    [
        ({}, True),
        ({"takeoverAfter": "20s"}, True),
        ({"takeoverAfter": "19s"}, False),
        ({"takeoverAfter": "60s", "stopTime": "6s"}, True),
        ({"takeoverAfter": "60s", "stopTime": "5900ms"}, False),
        ({"takeoverAfter": "soon"}, False),
    ],
)
def test_a_kubelet_needs_six_seconds_to_stop_a_worker(api, pool, liveness, accepted):
    body = pool(workers={"template": TEMPLATE}, liveness=liveness)
    if accepted:
        api.create(body)
    elif liveness["takeoverAfter"] == "soon":
        assert "spec.liveness.takeoverAfter" in api.refusal(body)
    else:
        assert "spec.workers needs a liveness.stopTime of at least 6s" in api.refusal(body)


def test_a_long_name_leaves_no_room_for_numbers(api, pool):
    api.create(pool(name="a" * 59))
    assert "must have at most 58 characters" in api.refusal(pool(name="a" * 59, workers={"template": TEMPLATE}))


def test_kubectl_scales_a_pool_with_workers_and_no_other(api, pool, cluster: Cluster, namespace: str):
    api.create(pool(workers={"template": TEMPLATE}), dry_run=False)
    cluster.kubectl("-n", namespace, "scale", "streampool/radio", "--replicas=12")
    assert (
        cluster.kubectl("-n", namespace, "get", "spool", "radio", "-o", "jsonpath={.spec.workers.replicas}") == "12"
    )
    selector = {"replicas": 12, "selector": "fingerv7.io/pool=radio"}
    api.patch("streampools", "radio", {"status": selector})
    shown = cluster.kubectl("-n", namespace, "get", "spool", "radio", "--subresource=scale", "-o", "json")
    assert '"selector": "fingerv7.io/pool=radio"' in shown
    api.create(pool(name="jazz"), dry_run=False)
    with pytest.raises(CommandError):
        cluster.kubectl("-n", namespace, "scale", "streampool/jazz", "--replicas=2")
