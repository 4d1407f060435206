"""A template, changed in one place, and the pod that comes of it."""

from __future__ import annotations

import copy
from dataclasses import replace

from fingerv7.contract import Timing
from fingerv7.core.managed.pod import Recipe, Sidecar, build_pod

PLAIN = {"spec": {"containers": [{"name": "fingerv7", "image": "radio/fingerv7:7.4", "command": ["fingerv7"]}]}}
SIDECAR = Sidecar("fingerv7/sidecar:1", {"limits": {"memory": "64Mi"}}, {"LOG_LEVEL": "debug"})
RECIPE = Recipe(PLAIN, "fingerv7", guard=True, sidecar=SIDECAR, timing=Timing(), drain_timeout_s=600.0)
WORKER = {"namespace": "radio-ns", "pool": "radio", "worker": "radio-007", "worker_uid": "uid-7", "ordinal": 7}


def pod(template=None, *, drain_key="0123456789abcdef", **changed):
    recipe = replace(RECIPE, template=PLAIN if template is None else template, **changed)
    return build_pod(recipe, **WORKER, drain_key=drain_key)


def changed(path="", value=None, **container):
    """The plain template with other fields in the worker's container, and with `value` at `path` of the pod's spec."""
    template = copy.deepcopy(PLAIN)
    template["spec"]["containers"][0] |= container
    if path:
        template["spec"][path] = value
    return template


def with_mount(path):
    return changed(volumeMounts=[{"name": "mine", "mountPath": path}])


def with_token(source):
    return changed("volumes", [{"name": "v", "projected": {"sources": [{"serviceAccountToken": source}]}}])


def worker_of(built):
    return next(each for each in built["spec"]["containers"] if each["name"] == "fingerv7")


def sidecar_of(built):
    return built["spec"]["initContainers"][0]
