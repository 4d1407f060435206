"""The kinds that the operator reads and writes, and where the API server serves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from fingerv7.contract import GROUP, VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind: `group` is empty for the core API."""

    group: str
    version: str
    plural: str
    kind: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def reference(self, name: str, uid: str) -> dict[str, str]:
        """One object as Events and owner references name it."""
        return {"apiVersion": self.api_version, "kind": self.kind, "name": name, "uid": uid}

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of the collection, of one object, or of its subresource; namespace None means all of them.

        Raises ValueError for an empty name or namespace: such a path would silently address the collection.
        """
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace is not None:
            parts += ["namespaces", _segment(namespace)]
        parts.append(self.plural)
        if name is not None:
            parts.append(_segment(name))
        if subresource is not None:
            if name is None:
                raise ValueError(f"the subresource {subresource!r} of {self.plural} needs an object's name")
            parts.append(_segment(subresource))
        return "/".join(parts)


def _segment(text: str) -> str:
    if text in ("", ".", ".."):
        raise ValueError(f"{text!r} is not the name of an object or a namespace")
    return quote(text, safe="")


FINGERWORKERS: Final = Resource(GROUP, VERSION, "fingerworkers", "FingerWorker")
STREAMPOOLS: Final = Resource(GROUP, VERSION, "streampools", "StreamPool")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")
SECRETS: Final = Resource("", "v1", "secrets", "Secret")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
EVENTS: Final = Resource("", "v1", "events", "Event")
PODS: Final = Resource("", "v1", "pods", "Pod")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount")
ROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS: Final = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
DISRUPTION_BUDGETS: Final = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
