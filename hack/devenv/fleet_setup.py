"""What has to exist before a fleet can run: CRDs, a namespace with accounts and rights, two databases.

The accounts are those of production: the operator's Role in its namespace, a Role of its own for each sidecar, a
database role that may read the streams table and nothing else.
"""

from __future__ import annotations

import http.client
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from devenv.cluster import Cluster
from devenv.errors import DevenvError
from devenv.fleet_api import Api, ApiError, Object, core, fingerv7, rbac
from devenv.fleet_objects import operator_rules, role, role_binding, secret, sidecar_rules
from devenv.kubeconfig import render
from devenv.postgres import Postgres
from devenv.private_files import write_private
from devenv.streams import Row, StreamsTable
from reference_worker import journal
from reference_worker.blocking import run_blocking

_ROOT = Path(__file__).parents[2]
_SERVED_S = 30.0
_TOKEN_S = 86_400
OPERATOR = "fingerv7-operator"

_T = TypeVar("_T")


class DeadlineError(DevenvError, AssertionError):
    """What was waited for did not come; says what was seen last."""


def poll_until(condition: Callable[[], _T], *, deadline_s: float, every_s: float = 0.05) -> tuple[_T | None, str]:
    """The first true result, or None and the last error. An API server or database that is away is "not yet"."""
    deadline = time.monotonic() + deadline_s
    while True:
        error = ""
        try:
            if result := condition():
                return result, ""
        except (OSError, ApiError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        if time.monotonic() > deadline:
            return None, error
        time.sleep(every_s)


def administrator(cluster: Cluster) -> Api:
    """Requests with all rights, whatever kind of credentials the cluster's kubeconfig has."""
    token = cluster.admin_token
    if not token:
        token = cluster.service_account_token("default", "fingerv7-devenv")
        cluster.kubectl(
            *("create", "clusterrolebinding", "fingerv7-devenv", "--clusterrole=cluster-admin"),
            "--serviceaccount=default:fingerv7-devenv",
            check=False,
        )
    return Api(cluster.server, cluster.ca_file, token)


def install_crds(cluster: Cluster, api: Api) -> None:
    """Apply both CRDs; returns when the API server answers for them."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(_ROOT / "crds"))
    for plural in ("streampools", "fingerworkers"):
        found, error = poll_until(lambda p=plural: api.get(fingerv7("default", p)), deadline_s=_SERVED_S)  # type: ignore[misc]
        if found is None:
            raise DeadlineError(f"the API server does not serve {plural} after {_SERVED_S:.0f} s: {error}")


class Namespace:
    """A namespace and the accounts in it."""

    def __init__(self, cluster: Cluster, api: Api, name: str) -> None:
        self._cluster = cluster
        self._api = api
        self.name = name
        self._created = False

    def create(self) -> None:
        """Raises DevenvError where it exists: what is in there is somebody else's, and would go with ours."""
        try:
            self._api.create("/api/v1/namespaces", {"metadata": {"name": self.name}})
        except ApiError as error:
            if error.status == http.client.CONFLICT:
                raise DevenvError(
                    f"namespace {self.name} exists in this cluster already (or is still being deleted); "
                    f"look at it with `kubectl get all -n {self.name}` and delete it if it is not needed"
                ) from error
            raise
        self._created = True

    def operator_kubeconfig(self, folder: Path) -> Path:
        """A kubeconfig of the operator's account, which gets its Role."""
        token = self._account(OPERATOR, operator_rules())
        text = render(
            name=self.name,
            server=self._cluster.server,
            ca_pem=self._cluster.ca_file.read_bytes(),
            user=OPERATOR,
            token=token,
        )
        return write_private(folder / "operator.kubeconfig", text)

    def sidecar_token(self, worker: str) -> str:
        """A token of the worker's account, which gets a Role for its own two objects."""
        return self._account(worker, sidecar_rules(worker))

    def delete(self) -> None:
        """In the background. Finalizers are stripped first: the operator that would remove them is gone."""
        if not self._created:
            return
        for plural in ("fingerworkers", "streampools"):
            for item in self._api.items(fingerv7(self.name, plural)):
                if item["metadata"].get("finalizers"):
                    path = fingerv7(self.name, plural, item["metadata"]["name"])
                    self._api.merge(path, {"metadata": {"finalizers": None}})
        self._api.delete(f"/api/v1/namespaces/{self.name}")

    def _account(self, name: str, rules: list[Object]) -> str:
        try:
            self._api.create(core(self.name, "serviceaccounts"), {"metadata": {"name": name}})
            self._api.create(rbac(self.name, "roles"), role(name, rules))
            self._api.create(rbac(self.name, "rolebindings"), role_binding(name, self.name))
        except ApiError as error:
            if error.status != http.client.CONFLICT:
                raise
        path = core(self.name, "serviceaccounts", name) + "/token"
        token: str = self._api.create(path, {"spec": {"expirationSeconds": _TOKEN_S}})["status"]["token"]
        return token


class Databases:
    """One database with the streams table, one with the journal, and a role that reads the first."""

    def __init__(self, postgres: Postgres, prefix: str) -> None:
        self._postgres = postgres
        self._streams = f"{prefix}_streams"
        self._journal = f"{prefix}_journal"
        self._reader = f"{prefix}_reader"
        self._created: list[str] = []
        self._password = secrets.token_hex(16)
        self.streams_dsn = postgres.dsn(self._streams)
        """Of the table's owner."""
        self.journal_dsn = postgres.dsn(self._journal)
        self.table = StreamsTable(self.streams_dsn)

    def create(self, rows: list[Row]) -> None:
        for name in (self._streams, self._journal):
            self._postgres.create_database(name)
            self._created.append(f'DATABASE "{name}" WITH (FORCE)')
        self.table.create(rows)
        self._postgres.execute(
            f"CREATE ROLE \"{self._reader}\" LOGIN PASSWORD '{self._password}'; "
            f'GRANT SELECT ON streams TO "{self._reader}"',
            database=self._streams,
        )
        self._created.append(f'ROLE "{self._reader}"')
        run_blocking(journal.install(self.journal_dsn))

    def secret(self, host: str | None = None) -> Object:
        """For the operator; `host` where it reaches the server by another address than we."""
        return secret(
            host=host or self._postgres.host,
            port=self._postgres.port,
            database=self._streams,
            user=self._reader,
            password=self._password,
            ca_pem=self._postgres.ca_file.read_text(encoding="ascii"),
        )

    def drop(self) -> None:
        """What was created, and nothing else. Nothing happens when the server is down: its data goes with it."""
        if self._postgres.answers():
            for each in self._created:
                self._postgres.execute(f"DROP {each}")
