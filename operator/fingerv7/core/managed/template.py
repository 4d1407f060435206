"""The pod template of a pool's workers, as somebody wrote it: what the operator cannot build a pod from, and the
names in it that differ from worker to worker.

The API server looks at a pod when it is created, and refuses what is no pod. Checked here is what it would accept and
what would then undo the hand-over: a probe that does not look at the fence, a volume in the place of the config.
"""

from __future__ import annotations

import copy
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fingerv7.api.template import (
    HOST_NETWORK,
    NO_COMMAND,
    OWN_ACCOUNT,
    POST_START,
    PRE_STOP,
    RESTARTED,
    SHARED_PROCESSES,
    WORKERS_PROBE,
)

CONFIG_VOLUME, TOKEN_VOLUME = "fingerv7-config", "fingerv7-token"
SIDECAR_NAME = "fingerv7-sidecar"
CONFIG_DIR = "/config"
LOCAL_PORT, PUBLIC_PORT = 8089, 8090
"""The sidecar's: for the pod alone, and for kubelet and Prometheus."""

_OWN_PREFIX = "fingerv7.io/"
_VARIABLE = re.compile(r"\$\$|\$\((FINGERWORKER_NAME|FINGERWORKER_ORDINAL)\)")
_SECRET_REFERENCES = {"nodePublishSecretRef": "name", "secretRef": "name"}
"""Of csi, and of the volumes that were there before it."""


class TemplateError(ValueError):
    """Says what is wrong with the template, where, and what would be accepted."""


def checked(template: Mapping[str, Any], container: str, *, guard: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The template's metadata (labels and annotations only) and spec, as copies that may be changed.

    `containers`, `initContainers` and `volumes` are lists of objects there, and with `guard` the worker has a
    command. Raises TemplateError.
    """
    metadata = _object(template.get("metadata"), "metadata")
    kept: dict[str, Any] = {}
    for key in ("labels", "annotations"):
        kept[key] = dict(_object(metadata.get(key), f"metadata.{key}"))
        for name in kept[key]:
            if name.startswith(_OWN_PREFIX):
                raise TemplateError(f"metadata.{key}: {name} is the operator's to set; leave it out")
    spec = copy.deepcopy(dict(_object(template.get("spec"), "spec")))
    for key in ("containers", "initContainers", "volumes"):
        spec[key] = _objects(spec.get(key), f"spec.{key}")
    _check_pod(spec)
    _check_worker(the_worker(spec, container), f"container {container!r}")
    if guard:
        _check_command(the_worker(spec, container).get("command"), f"container {container!r}")
    return kept, spec


def the_worker(spec: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The container that is FingerV7. Raises TemplateError."""
    found: list[dict[str, Any]] = [each for each in spec["containers"] if each.get("name") == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise TemplateError(f"spec.containers has {len(found)} containers named {name!r}; names must differ")
    names = ", ".join(repr(each.get("name")) for each in spec["containers"])
    raise TemplateError(
        f"spec.containers has no container named {name!r}, only {names or 'an empty list'}; spec.workers.container "
        "says which one is FingerV7"
    )


def _check_pod(spec: Mapping[str, Any]) -> None:
    if spec.get("restartPolicy", "Always") != "Always":
        raise TemplateError(f"spec.restartPolicy is {spec['restartPolicy']!r}; {RESTARTED}")
    if spec.get("hostNetwork"):
        raise TemplateError(f"spec.hostNetwork: {HOST_NETWORK}")
    for shared in ("shareProcessNamespace", "hostPID"):
        if spec.get(shared):
            raise TemplateError(f"spec.{shared}: {SHARED_PROCESSES}")
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        raise TemplateError(f"spec.serviceAccountName: {OWN_ACCOUNT}")
    for volume in spec["volumes"]:
        if volume.get("name") in (CONFIG_VOLUME, TOKEN_VOLUME):
            raise TemplateError(f"spec.volumes: {volume['name']} is the operator's; choose another name")
        _check_tokens(volume, f"spec.volumes: {volume.get('name')!r}")
    for kind in ("initContainers", "containers"):
        for container in spec[kind]:
            where = f"spec.{kind}: {container.get('name')!r}"
            if container.get("name") == SIDECAR_NAME:
                raise TemplateError(f"{where} is the name of the operator's own sidecar; choose another name")
            for mount in _objects(container.get("volumeMounts"), f"{where}: volumeMounts"):
                if mount.get("name") == TOKEN_VOLUME:
                    raise TemplateError(
                        f"{where} mounts {TOKEN_VOLUME}, which only the sidecar may read; leave it out"
                    )
            for port in _objects(container.get("ports"), f"{where}: ports"):
                if port.get("containerPort") in (LOCAL_PORT, PUBLIC_PORT):
                    raise TemplateError(
                        f"{where} has port {port['containerPort']}, which the sidecar uses in the same pod; choose "
                        f"any but {LOCAL_PORT} and {PUBLIC_PORT}"
                    )


def _check_tokens(volume: Mapping[str, Any], where: str) -> None:
    projected = _object(volume.get("projected"), f"{where}: projected")
    for source in _objects(projected.get("sources"), f"{where}: projected.sources"):
        if source.get("serviceAccountToken") is None:
            continue
        token = _object(source["serviceAccountToken"], f"{where}: serviceAccountToken")
        audience = token.get("audience")
        if not audience or "kubernetes.default" in str(audience):
            raise TemplateError(
                f"{where} has a serviceAccountToken for the API server, which only the sidecar may have; give it the "
                "audience that it is meant for, or leave it out"
            )


def _check_command(command: Any, where: str) -> None:
    if not command:
        raise TemplateError(f"{where} {NO_COMMAND}")
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise TemplateError(f"{where}: command is not a list of texts")


def _check_worker(worker: Mapping[str, Any], where: str) -> None:
    for probe in ("livenessProbe", "startupProbe"):
        if worker.get(probe) is not None:
            raise TemplateError(f"{where} has a {probe}; {WORKERS_PROBE}")
    lifecycle = _object(worker.get("lifecycle"), f"{where}: lifecycle")
    if lifecycle.get("postStart") is not None:
        raise TemplateError(f"{where} has a postStart hook; {POST_START}")
    if lifecycle.get("preStop") is not None:
        raise TemplateError(f"{where} has a preStop hook; {PRE_STOP}")
    if worker.get("restartPolicy", "Always") != "Always" or worker.get("restartPolicyRules"):
        raise TemplateError(
            f"{where} has a restartPolicy of its own; leave it out, because a worker that the fence stopped has to "
            "come back"
        )
    for mount in _objects(worker.get("volumeMounts"), f"{where}: volumeMounts"):
        path = str(mount.get("mountPath", ""))
        if _covers_config(path):
            raise TemplateError(
                f"{where} mounts {mount.get('name')!r} at {path}, but {CONFIG_DIR} is where the sidecar puts the "
                "streams; choose a path beside it"
            )


def _covers_config(path: str) -> bool:
    """Whether it is the config's folder, above it or in it."""
    mounted, config = (f"{posixpath.normpath(f'/{each}').strip('/')}/".lstrip("/") for each in (path, CONFIG_DIR))
    return mounted.startswith(config) or config.startswith(mounted)


# --- names that differ from worker to worker ---------------------------------------------------------------


def substitute(text: str, *, worker: str, ordinal: int) -> str:
    """`$(FINGERWORKER_NAME)` and `$(FINGERWORKER_ORDINAL)` replaced; `$$` escapes, as Kubernetes has it."""
    values = {"FINGERWORKER_NAME": worker, "FINGERWORKER_ORDINAL": str(ordinal)}
    return _VARIABLE.sub(lambda found: values[found[1]] if found[1] else found[0], text)


def name_for(spec: Mapping[str, Any], *, worker: str, ordinal: int) -> None:
    """Substitute, in place, where a worker may differ from others: values of environment variables, and names of
    Secrets, ConfigMaps and claims. Raises TemplateError for what is no list or object.
    """
    for holder, key in _places(spec):
        if isinstance(holder.get(key), str):
            holder[key] = substitute(holder[key], worker=worker, ordinal=ordinal)


def _places(spec: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for kind in ("initContainers", "containers"):
        for container in spec[kind]:
            where = f"spec.{kind}: {container.get('name')!r}"
            for variable in _objects(container.get("env"), f"{where}: env"):
                yield variable, "value"
                source = _object(variable.get("valueFrom"), f"{where}: env: valueFrom")
                yield from _named(source, {"secretKeyRef": "name", "configMapKeyRef": "name"}, where)
            for source in _objects(container.get("envFrom"), f"{where}: envFrom"):
                yield from _named(source, {"secretRef": "name", "configMapRef": "name"}, where)
    for secret in _objects(spec.get("imagePullSecrets"), "spec.imagePullSecrets"):
        yield secret, "name"
    for volume in spec["volumes"]:
        where = f"spec.volumes: {volume.get('name')!r}"
        kinds = {"secret": "secretName", "configMap": "name", "persistentVolumeClaim": "claimName"}
        yield from _named(volume, kinds | {"azureFile": "secretName"}, where)
        for source in volume.values():
            if isinstance(source, dict):
                yield from _named(source, _SECRET_REFERENCES, where)
        projected = _object(volume.get("projected"), f"{where}: projected")
        for source in _objects(projected.get("sources"), f"{where}: projected.sources"):
            yield from _named(source, {"secret": "name", "configMap": "name"}, where)


def _named(source: Mapping[str, Any], kinds: Mapping[str, str], where: str) -> Iterator[tuple[dict[str, Any], str]]:
    for kind, key in kinds.items():
        if source.get(kind) is not None:
            _object(source[kind], f"{where}: {kind}")
            yield source[kind], key


# --- shapes ------------------------------------------------------------------------------------------------


def _object(value: Any, where: str) -> Mapping[str, Any]:
    """An absent one is empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TemplateError(f"{where} is not an object")
    return value


def _objects(value: Any, where: str) -> list[dict[str, Any]]:
    """The list itself, whose objects may be changed; an absent one is empty."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise TemplateError(f"{where} is not a list of objects")
    return value
