"""The pod of a managed worker: what is added to a template, and what of it is kept."""

from __future__ import annotations

import copy
import json
import pathlib
import re
import types
from dataclasses import replace

import pytest

from fingerv7.contract import Timing
from fingerv7.core.managed.guard import FENCE_PROBE, GUARD
from fingerv7.core.managed.pod import Sidecar, TemplateError
from fingerv7_sidecar.settings import read_settings

from .small_pods import PLAIN, RECIPE, SIDECAR, changed, pod, sidecar_of, worker_of

ROOT = pathlib.Path(__file__).parents[4]


# --- what is added ----------------------------------------------------------------------------------------


def test_it_is_named_labelled_and_owned():
    metadata = pod()["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("radio-007", "radio-ns")
    assert metadata["labels"] == {
        "app.kubernetes.io/name": "fingerv7-worker",
        "app.kubernetes.io/instance": "radio",
        "app.kubernetes.io/component": "worker",
        "app.kubernetes.io/part-of": "fingerv7",
        "app.kubernetes.io/managed-by": "fingerv7-operator",
        "fingerv7.io/pool": "radio",
        "fingerv7.io/managed": "true",
    }
    assert metadata["annotations"] == {
        "kubectl.kubernetes.io/default-container": "fingerv7",
        "fingerv7.io/revision": RECIPE.revision,
    }
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "fingerv7.io/v1alpha1",
            "kind": "FingerWorker",
            "name": "radio-007",
            "uid": "uid-7",
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]


def test_the_template_keeps_its_words_and_is_not_changed():
    template = {
        "metadata": {"labels": {"team": "radio", "app.kubernetes.io/name": "ours"}, "annotations": {"note": "x"}},
        "spec": {
            **changed(ports=[{"containerPort": 9000}], env=[{"name": "A", "value": "$(FINGERWORKER_NAME)"}])["spec"],
            "nodeSelector": {"disk": "fast"},
            "initContainers": [{"name": "prepare", "image": "x"}],
            "volumes": [{"name": "cache", "emptyDir": {}}],
            "securityContext": {"fsGroup": 7},
        },
    }
    before = copy.deepcopy(template)
    built = pod(template)
    assert template == before
    assert built["metadata"]["labels"]["team"] == "radio"
    assert built["metadata"]["labels"]["app.kubernetes.io/name"] == "ours"
    assert built["metadata"]["annotations"]["note"] == "x"
    assert built["spec"]["nodeSelector"] == {"disk": "fast"}
    assert built["spec"]["securityContext"] == {"fsGroup": 7}
    assert [each["name"] for each in built["spec"]["initContainers"]] == ["fingerv7-sidecar", "prepare"]
    assert [each["name"] for each in built["spec"]["volumes"]] == ["cache", "fingerv7-config", "fingerv7-token"]
    assert worker_of(built)["ports"] == [{"containerPort": 9000}]


def test_a_template_that_cannot_be_changed_is_enough():
    frozen = types.MappingProxyType({"spec": types.MappingProxyType(PLAIN["spec"])})
    assert pod(frozen) == pod()


def test_only_the_sidecar_has_the_token():
    built = pod(changed("initContainers", [{"name": "prepare", "image": "x"}]))
    spec = built["spec"]
    assert spec["serviceAccountName"] == "radio-007"
    assert spec["automountServiceAccountToken"] is False
    having = [
        each["name"]
        for each in spec["initContainers"] + spec["containers"]
        if "fingerv7-token" in [mount["name"] for mount in each.get("volumeMounts", [])]
    ]
    assert having == ["fingerv7-sidecar"]
    sources = next(each for each in spec["volumes"] if each["name"] == "fingerv7-token")["projected"]["sources"]
    assert [next(iter(source)) for source in sources] == ["serviceAccountToken", "configMap", "downwardAPI"]


def test_the_sidecar_is_a_native_one_and_restricted():
    sidecar = sidecar_of(pod())
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["image"] == SIDECAR.image
    assert sidecar["resources"] == {"limits": {"memory": "64Mi"}}
    assert sidecar["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert sidecar["livenessProbe"]["terminationGracePeriodSeconds"] < 10


def test_the_sidecar_has_resources_also_where_nobody_says_which():
    """Or a quota of the namespace would refuse the pod."""
    resources = sidecar_of(pod(sidecar=Sidecar("i", {}, {})))["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert set(resources["limits"]) == {"memory"}, "a limit of CPU would hold renewals up"


def test_when_the_sidecars_image_is_fetched_is_said_only_where_somebody_wants_it():
    assert "imagePullPolicy" not in sidecar_of(pod())
    assert sidecar_of(pod(sidecar=Sidecar("i", {}, {}, "Always")))["imagePullPolicy"] == "Always"


def test_a_setting_of_the_sidecar_comes_from_a_secret_of_the_worker():
    reference = {"secretKeyRef": {"name": "vpn-$(FINGERWORKER_NAME)", "key": "control"}}
    sidecar = Sidecar("i", {}, {"VPN_CONTROL_KEY": reference, "VERSION": "$(FINGERWORKER_ORDINAL)"})
    variables = sidecar_of(pod(sidecar=sidecar))["env"]
    named = {"secretKeyRef": {"name": "vpn-radio-007", "key": "control"}}
    assert {"name": "VPN_CONTROL_KEY", "valueFrom": named} in variables
    assert {"name": "VERSION", "value": "7"} in variables
    assert reference["secretKeyRef"]["name"] == "vpn-$(FINGERWORKER_NAME)", "the next worker has another"


def test_the_sidecar_reads_the_settings_that_it_is_given():
    """By the sidecar's own reader, with what the kubelet fills in."""
    timing = Timing.derive(60_000)
    variables = sidecar_of(pod(timing=timing))["env"]
    assert [each["valueFrom"]["fieldRef"]["fieldPath"] for each in variables[:2]] == ["metadata.uid", "status.podIP"]
    environ = {each["name"]: each["value"].replace("$(POD_IP)", "10.0.0.7") for each in variables[2:]}
    settings = read_settings(environ | {"POD_UID": "u-1", "KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    assert settings.instance_id == "radio-007"
    assert (settings.namespace, settings.pool) == ("radio-ns", "radio")
    assert settings.timing == timing
    assert settings.listen_host == "127.0.0.1"
    assert settings.log_level == "debug"


def test_the_config_is_shared_in_memory():
    built = pod()
    config = next(each for each in built["spec"]["volumes"] if each["name"] == "fingerv7-config")
    assert config["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Mi"}
    for container in (worker_of(built), sidecar_of(built)):
        assert {"name": "fingerv7-config", "mountPath": "/config"} in container["volumeMounts"]


# --- probes and hooks -------------------------------------------------------------------------------------


def test_the_probe_is_the_line_that_the_documentation_gives():
    page = (ROOT / "docs" / "workers.md").read_text(encoding="utf-8")
    assert next(line for line in page.splitlines() if line.startswith("read s d b")) == FENCE_PROBE


def test_the_default_times_give_the_probes_of_the_design():
    worker = worker_of(pod())
    command = {"command": ["sh", "-c", FENCE_PROBE]}
    assert worker["livenessProbe"] == {
        "exec": command,
        "periodSeconds": 1,
        "timeoutSeconds": 1,
        "failureThreshold": 1,
        "terminationGracePeriodSeconds": 2,
    }
    assert worker["startupProbe"] == {
        "exec": command,
        "periodSeconds": 1,
        "timeoutSeconds": 1,
        "failureThreshold": 3600,
    }


@pytest.mark.parametrize("stop_s", [6, 7, 8, 10, 15, 30, 60, 120])
def test_a_worker_is_stopped_within_the_stop_time(stop_s):
    probe = worker_of(pod(timing=Timing(5_000, 2_000, 12_000, stop_s * 1000, 500_000)))["livenessProbe"]
    cleaning_up_s = 2
    taken_s = probe["periodSeconds"] + probe["timeoutSeconds"] + probe["terminationGracePeriodSeconds"]
    assert taken_s + cleaning_up_s <= stop_s
    assert probe["failureThreshold"] == 1


def test_a_stop_time_that_no_kubelet_can_keep_is_refused():
    with pytest.raises(TemplateError, match=r"stopTime is 3s.* at least 6s"):
        pod(timing=Timing(1_000, 1_000, 5_000, 3_000, 10_000))


def test_the_hook_drains_with_the_key_and_fits_into_the_grace():
    built = pod(drain_timeout_s=90.0)
    hook = worker_of(built)["lifecycle"]["preStop"]["httpGet"]
    assert hook["port"] == 8090
    assert hook["httpHeaders"] == [{"name": "Authorization", "value": "Bearer 0123456789abcdef"}]
    found = re.fullmatch(r"/drain\?timeout=(\d+)s&within=(\d+)s", hook["path"])
    assert found
    timeout_s, within_s = int(found[1]), int(found[2])
    grace_s = built["spec"]["terminationGracePeriodSeconds"]
    assert timeout_s > 90
    assert timeout_s + Timing().stop_time_ms / 1000 < grace_s
    assert grace_s < within_s


@pytest.mark.parametrize(("given", "expected"), [(30, 126), (3600, 3600), (None, 126)])
def test_the_longer_grace_counts(given, expected):
    built = pod(changed("terminationGracePeriodSeconds", given), drain_timeout_s=90.0)
    assert built["spec"]["terminationGracePeriodSeconds"] == expected


def test_other_hooks_and_probes_of_the_worker_are_kept():
    ready = {"tcpSocket": {"port": 1}}
    worker = worker_of(pod(changed(readinessProbe=ready, lifecycle={"stopSignal": "SIGINT"})))
    assert worker["readinessProbe"] == ready
    assert worker["lifecycle"]["stopSignal"] == "SIGINT"


def test_the_command_is_run_behind_the_guard():
    worker = worker_of(pod(changed(command=["python", "-m", "radio"], args=["--fast"])))
    assert worker["command"] == ["sh", "-c", GUARD, "guard", "python", "-m", "radio"]
    assert worker["args"] == ["--fast"]


def test_a_worker_that_checks_the_fence_itself_is_left_as_it_is():
    assert worker_of(pod(changed(args=["--fast"]), guard=False))["command"] == ["fingerv7"]
    bare = changed()
    del bare["spec"]["containers"][0]["command"]
    assert "command" not in worker_of(pod(bare, guard=False))


# --- security of the worker -------------------------------------------------------------------------------


RESTRICTED = {
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.mark.parametrize(
    ("own", "of_pod", "expected"),
    [
        ({}, {}, RESTRICTED),
        ({"runAsUser": 1000}, {}, {**RESTRICTED, "runAsUser": 1000}),
        ({"runAsNonRoot": False}, {}, {**RESTRICTED, "runAsNonRoot": False}),
        ({}, {"runAsUser": 0}, {key: RESTRICTED[key] for key in RESTRICTED if key != "runAsNonRoot"}),
        ({}, {"runAsNonRoot": True, "seccompProfile": {"type": "Localhost"}}, {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
        }),
        ({"privileged": True, "runAsUser": 0}, {}, {
            "privileged": True, "runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"},
        }),
        ({"capabilities": {"add": ["NET_ADMIN"]}}, {}, {**RESTRICTED, "capabilities": {"add": ["NET_ADMIN"]}}),
    ],
)  # fmt: skip
def test_what_the_template_leaves_out_is_restricted(own, of_pod, expected):
    built = pod(changed("securityContext", of_pod, securityContext=own))
    assert worker_of(built)["securityContext"] == expected


def test_other_containers_are_as_the_template_has_them():
    vpn = {"name": "vpn", "image": "v", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}
    assert pod(changed("initContainers", [vpn]))["spec"]["initContainers"][1] == vpn


# --- the sidecar's settings -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "KUBERNETES_SERVICE_HOST", "SSL_CERT_FILE"])
def test_what_is_no_setting_of_the_sidecar_is_refused(name):
    with pytest.raises(TemplateError, match=f"{name} is no setting of the sidecar; there are ACK, "):
        pod(sidecar=Sidecar("i", {}, {name: "x", "ACK": "Http"}))


def test_every_setting_that_is_documented_is_the_operators_or_the_users():
    page = (ROOT / "docs" / "workers.md").read_text(encoding="utf-8")
    table = page.partition("## Settings")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE))
    assert "WORKER_LOCK" in documented
    for name in documented - {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"}:
        try:
            pod(sidecar=Sidecar("i", {}, {name: "x"}))
        except TemplateError as error:
            assert "the operator sets" in str(error)


def test_a_setting_of_the_sidecar_that_the_operator_makes_is_refused():
    with pytest.raises(TemplateError, match="DRAIN_KEY, INSTANCE_ID"):
        pod(sidecar=Sidecar("i", {}, {"INSTANCE_ID": "x", "DRAIN_KEY": "y", "ACK": "Http"}))


# --- the revision -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"template": changed(image="radio/fingerv7:7.5")},
        {"container": "other"},
        {"guard": False},
        {"sidecar": Sidecar("new", SIDECAR.resources, SIDECAR.environment)},
        {"sidecar": Sidecar(SIDECAR.image, {}, SIDECAR.environment)},
        {"sidecar": Sidecar(SIDECAR.image, SIDECAR.resources, {})},
        {"timing": Timing(stop_time_ms=10_000, takeover_after_ms=40_000)},
        {"drain_timeout_s": 60.0},
    ],
)
def test_whatever_a_running_pod_lacks_is_another_revision(other):
    assert replace(RECIPE, **other).revision != RECIPE.revision


@pytest.mark.parametrize(
    "same",
    [
        {"template": json.loads(json.dumps(PLAIN, sort_keys=True))},
        {"sidecar": Sidecar(SIDECAR.image, types.MappingProxyType(dict(SIDECAR.resources)), SIDECAR.environment)},
        # A running sidecar follows the pool's times, so nobody is drained for them.
        {"timing": Timing(takeover_after_ms=30_000, fence_after_ms=20_000)},
    ],
)
def test_what_a_running_pod_has_anyway_is_the_same_revision(same):
    assert replace(RECIPE, **same).revision == RECIPE.revision
    assert re.fullmatch("[0-9a-f]{10}", RECIPE.revision)
