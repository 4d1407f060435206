"""Reading and patching on the API server, where every failure becomes a sentence that says what to do.

Objects stay plain JSON: a CLI that is older than the operator should still tell what it understands. Times are judged
by the API server's clock, which comes with each answer: that of a laptop may be anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import urllib3
from kubernetes import client

from fingerv7.adapters.kube.shallow import loads
from fingerv7.cli.errors import CliError, ConflictError, NotFoundError
from fingerv7.cli.kubeconfig import Target
from fingerv7.contract import GROUP, VERSION

Json = dict[str, Any]

PAGE: Final = 100
"""A FingerWorker may be a megabyte."""
_TIMEOUT_S: Final = (5, 30)
"""To connect, and to wait for an answer."""


class Resource(NamedTuple):
    group: str
    version: str
    plural: str

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}"


STREAMPOOLS: Final = Resource(GROUP, VERSION, "streampools")
FINGERWORKERS: Final = Resource(GROUP, VERSION, "fingerworkers")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases")


class Answer(NamedTuple):
    body: Json
    now: datetime
    """When the API server gave it, by its clock."""


class Cluster:
    """All methods raise CliError."""

    def __init__(self, target: Target) -> None:
        self.namespace = target.namespace
        self._server = target.configuration.host
        self._api = client.CustomObjectsApi(client.ApiClient(target.configuration))

    def list(self, resource: Resource, namespace: str | None, *, name: str | None = None) -> Iterator[Answer]:
        """Every object, of one moment; in all namespaces where `namespace` is None."""
        options: Json = {"limit": PAGE}
        if name is not None:
            options["field_selector"] = f"metadata.name={name}"
        while True:
            if namespace is None:
                body, now = self._ask("list", resource, None, self._api.list_cluster_custom_object, options)
            else:
                body, now = self._ask("list", resource, namespace, self._api.list_namespaced_custom_object, options)
            yield from (Answer(item, now) for item in body["items"])
            options["_continue"] = body["metadata"].get("continue")
            if not options["_continue"]:
                return

    def get(self, resource: Resource, namespace: str, name: str) -> Answer:
        """Raises NotFoundError."""
        return self._ask("get", resource, namespace, self._api.get_namespaced_custom_object, {"name": name})

    def merge_patch(self, resource: Resource, namespace: str, name: str, patch: Json) -> Answer:
        """Raises ConflictError where the patch's resourceVersion is old, NotFoundError where nothing is left."""
        options = {"name": name, "body": patch, "_content_type": "application/merge-patch+json"}
        return self._ask("patch", resource, namespace, self._api.patch_namespaced_custom_object, options)

    def _ask(
        self, verb: str, resource: Resource, namespace: str | None, call: Callable[..., Any], options: Json
    ) -> Answer:
        where = {} if namespace is None else {"namespace": namespace}
        try:
            response = call(
                *resource[:2], plural=resource.plural, **where, **options,
                _preload_content=False, _request_timeout=_TIMEOUT_S,
            )  # fmt: skip
            date = response.headers.get("Date")
            return Answer(loads(response.data), parsedate_to_datetime(date) if date else datetime.now(UTC))
        except client.ApiException as error:
            raise _refused(error, verb, resource, namespace, options.get("name", ""), self._server) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise _unreachable(self._server, getattr(error, "reason", None) or error) from error


def _refused(
    error: client.ApiException, verb: str, resource: Resource, namespace: str | None, name: str, server: str
) -> CliError:
    message = _message(error)
    where = "in all namespaces" if namespace is None else f"in namespace {namespace}"
    if not error.status:
        return _unreachable(server, error.reason)
    if error.status == 401 or (error.status == 403 and '"system:anonymous"' in message):
        return CliError(f"{server} does not accept your credentials; log in again, or choose another --context")
    if error.status == 403:
        return CliError(
            f"you may not {verb} {resource} {where}; ask for that right, or name another namespace with -n"
        )
    if error.status == 404 and not name and resource.group == GROUP:
        return NotFoundError(
            f"{server} does not know {resource}; install the CRDs (kubectl apply -f crds) or name another --context"
        )
    if error.status == 404:
        return NotFoundError(f"there is no {resource} {name} {where}")
    if error.status == 409:
        return ConflictError(f"{resource} {name} {where} keeps changing; try again")
    return CliError(f"{server} answered {error.status} to {verb} {resource} {where}: {message}; try again later")


def _unreachable(server: str, reason: object) -> CliError:
    last = str(reason).strip().rpartition(": ")[2]
    return CliError(f"cannot reach {server} ({last}); check --context and the network")


def _message(error: client.ApiException) -> str:
    """The server's own words."""
    text = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text or str(error.reason)
