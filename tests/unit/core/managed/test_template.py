"""What a template may not say, and the names in it that differ from worker to worker."""

from __future__ import annotations

import copy
import json

import pytest

from fingerv7.core.managed.pod import Sidecar, TemplateError
from fingerv7.core.managed.template import substitute

from .small_pods import PLAIN, changed, pod, with_mount, with_token

# --- names that differ from worker to worker --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vpn-$(FINGERWORKER_NAME)", "vpn-radio-007"),
        ("$(FINGERWORKER_ORDINAL)/$(FINGERWORKER_NAME)", "7/radio-007"),
        ("$(OTHER)", "$(OTHER)"),
        ("$$(FINGERWORKER_NAME)", "$$(FINGERWORKER_NAME)"),
        ("$$$(FINGERWORKER_NAME)", "$$radio-007"),
        ("$FINGERWORKER_NAME ${FINGERWORKER_NAME}", "$FINGERWORKER_NAME ${FINGERWORKER_NAME}"),
    ],
)
def test_a_name_is_substituted_as_kubernetes_would(text, expected):
    assert substitute(text, worker="radio-007", ordinal=7) == expected


def test_names_are_substituted_wherever_a_worker_may_differ():
    name = "x-$(FINGERWORKER_NAME)"
    container = {
        "env": [
            {"name": "PLAIN", "value": name},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}},
            {"name": "MAP", "valueFrom": {"configMapKeyRef": {"name": name, "key": "k"}}},
            {"name": "FIELD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "envFrom": [{"secretRef": {"name": name}}, {"configMapRef": {"name": name}, "prefix": "P_"}],
    }
    template = changed(
        "volumes",
        [
            {"name": "s", "secret": {"secretName": name}},
            {"name": "c", "configMap": {"name": name}},
            {"name": "d", "persistentVolumeClaim": {"claimName": name}},
            {"name": "p", "projected": {"sources": [{"secret": {"name": name}}, {"configMap": {"name": name}}]}},
            {"name": "i", "csi": {"driver": "d", "nodePublishSecretRef": {"name": name}}},
            {"name": "f", "cephfs": {"monitors": [], "secretRef": {"name": name}}},
            {"name": "a", "azureFile": {"secretName": name, "shareName": "s"}},
        ],
        args=[name],
        **copy.deepcopy(container),
    )
    template["spec"]["initContainers"] = [{"name": "vpn", "image": "v", **copy.deepcopy(container)}]
    template["spec"]["imagePullSecrets"] = [{"name": name}]
    sidecar = Sidecar("i", {}, {"VERSION": name})
    spec = pod(template, sidecar=sidecar)["spec"]
    # The argument is left: Kubernetes substitutes there by itself, from the container's variables.
    assert json.dumps(spec).count("$(FINGERWORKER_NAME)") == 1
    assert json.dumps(spec).count("x-radio-007") == 2 * 5 + 5 + 3 + 1 + 1


# --- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ({}, ["no container named 'fingerv7'", "spec.workers.container"]),
        ({"spec": {"containers": [{"name": "other"}]}}, ["no container named 'fingerv7', only 'other'"]),
        ({"spec": {"containers": [{"name": "fingerv7"}] * 2}}, ["2 containers named 'fingerv7'"]),
        ({"spec": "x"}, ["spec is not an object"]),
        ({"spec": {"containers": {"name": "x"}}}, ["spec.containers is not a list of objects"]),
        ({"metadata": {"labels": {"fingerv7.io/pool": "x"}}, **PLAIN}, ["metadata.labels", "fingerv7.io/pool"]),
        ({"metadata": {"annotations": {"fingerv7.io/x": "x"}}, **PLAIN}, ["metadata.annotations", "fingerv7.io/x"]),
        (changed("restartPolicy", "Never"), ["spec.restartPolicy is 'Never'", "must be Always"]),
        (changed("hostNetwork", True), ["spec.hostNetwork", "8089 and 8090"]),
        (changed("shareProcessNamespace", True), ["spec.shareProcessNamespace", "token"]),
        (changed("hostPID", True), ["spec.hostPID", "token"]),
        (changed(volumeMounts=[{"name": "fingerv7-token", "mountPath": "/t"}]), ["'fingerv7' mounts fingerv7-token"]),
        (changed("serviceAccountName", "x"), ["spec.serviceAccountName", "leave it out"]),
        (changed("volumes", [{"name": "fingerv7-config"}]), ["fingerv7-config is the operator's"]),
        (changed("volumes", [{"name": "fingerv7-token"}]), ["fingerv7-token is the operator's"]),
        (changed("initContainers", [{"name": "fingerv7-sidecar"}]), ["spec.initContainers: 'fingerv7-sidecar'"]),
        (changed(ports=[{"containerPort": 8090}]), ["'fingerv7' has port 8090"]),
        (changed("initContainers", [{"name": "a", "ports": [{"containerPort": 8089}]}]), ["'a' has port 8089"]),
        (changed(livenessProbe={}), ["has a livenessProbe", "readinessProbe", "WORKER_HEALTH_URL"]),
        (changed(startupProbe={"exec": {}}), ["has a startupProbe"]),
        (changed(lifecycle={"preStop": {"sleep": {"seconds": 3}}}), ["has a preStop hook", "SIGTERM"]),
        (changed(lifecycle={"postStart": {"exec": {"command": ["x"]}}}), ["has a postStart hook", "`command`"]),
        (changed(lifecycle="x"), ["lifecycle is not an object"]),
        (changed(command=None), ["has no command", "ENTRYPOINT", "`args`", "spec.workers.fenceCheck: Worker"]),
        (changed(command=[]), ["has no command"]),
        (changed(command="python -m x"), ["command is not a list of texts"]),
        (changed(restartPolicy="Never"), ["restartPolicy of its own"]),
        (changed(volumeMounts=[{"name": "mine", "mountPath": "/config/"}]), ["mounts 'mine' at /config"]),
        (with_mount("//config"), ["at //config", "choose a path beside it"]),
        (with_mount("/config/."), ["at /config/."]),
        (with_mount("/x/../config"), ["at /x/../config"]),
        (with_mount("config"), ["at config"]),
        (with_mount("/config/sub"), ["at /config/sub"]),
        (with_mount("/"), ["at /"]),
        (with_token({"path": "t"}), ["'v' has a serviceAccountToken", "audience"]),
        (with_token({"path": "t", "audience": ""}), ["'v' has a serviceAccountToken"]),
        (with_token({"path": "t", "audience": "https://kubernetes.default.svc"}), ["'v' has a serviceAccountToken"]),
        (with_token("x"), ["serviceAccountToken is not an object"]),
        (changed(env=["A=1"]), ["env is not a list of objects"]),
        (changed(env=[{"name": "A", "valueFrom": "x"}]), ["env: valueFrom is not an object"]),
        (changed("volumes", [{"name": "v", "secret": "x"}]), ["'v': secret is not an object"]),
    ],
)
def test_a_template_that_would_undo_the_handover_is_refused(template, words):
    with pytest.raises(TemplateError) as refused:
        pod(template)
    assert [word for word in words if word not in str(refused.value)] == []


@pytest.mark.parametrize("path", ["/configuration", "/etc/config", "/conf", "/config/../data"])
def test_a_mount_beside_the_config_is_kept(path):
    assert pod(with_mount(path))


def test_a_token_for_somebody_else_is_kept():
    assert pod(with_token({"path": "t", "audience": "vault"}))
