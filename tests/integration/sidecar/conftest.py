"""A sidecar as a process with a token of its own rights, and the FingerWorker's status written as the operator would."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv.cluster import Cluster
from devenv.fleet_api import Api, Object, fingerv7, leases
from devenv.fleet_objects import WorkerSpec, finger_worker
from devenv.fleet_process import Process, python_environment
from devenv.fleet_setup import Namespace, administrator, poll_until
from fingerv7.contract import assignment_hash

SOON_S = 20.0
TAKEOVER_S = 5.0
"""Derived: the fence comes after 3 s, a renewal each 1.25 s."""


class Sidecar:
    """One process in one config folder; the test is the worker that confirms."""

    def __init__(self, process: Process, folder: Path) -> None:
        self.process = process
        self.folder = folder

    def config(self) -> Object:
        """What the worker would read; nothing where there is no config."""
        try:
            return dict(json.loads((self.folder / "assignment.json").read_bytes()))
        except FileNotFoundError:
            return {}

    def running(self) -> list[str]:
        return [stream["id"] for stream in self.config().get("streams", [])]

    def confirm(self) -> None:
        (self.folder / "applied").write_text(self.config()["hash"], encoding="ascii")

    def readiness(self) -> tuple[int, str]:
        """Status and text of /readyz. Raises OSError where nobody answers yet."""
        port = int((self.folder / "sidecar.port").read_text(encoding="ascii"))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def await_problem(self, *words: str) -> None:
        """Until /readyz says all of these words."""

        def said() -> bool:
            status, text = self.readiness()
            return status == 503 and all(word in text for word in words)

        self.until(said, f"/readyz says {words}")

    def await_ready(self) -> None:
        self.until(lambda: self.readiness()[0] == 200, "/readyz answers 200")

    def until(self, condition: Callable[[], Any], what: str) -> None:
        met, error = poll_until(condition, deadline_s=SOON_S)
        assert met, f"not within {SOON_S:g} s: {what} {error}\n{self.process.describe()}"


class World:
    """The objects of the one worker `w1`."""

    name = "w1"

    def __init__(self, cluster: Cluster, api: Api, namespace: str, folder: Path) -> None:
        self.api = api
        self.namespace = namespace
        self._cluster = cluster
        self._folder = folder
        self._started: list[Process] = []
        self._worker = fingerv7(namespace, "fingerworkers", self.name)
        self._lease = leases(namespace, self.name)

    # --- the operator's part

    def declare(self) -> str:
        """Create the FingerWorker; returns its UID."""
        body = finger_worker(WorkerSpec(name=self.name, max_streams=50), "radio")
        created = self.api.create(fingerv7(self.namespace, "fingerworkers"), body)
        return str(created["metadata"]["uid"])

    def assign(self, epoch: int, *ids: str, **status: Any) -> None:
        uid = self.api.get(self._worker)["metadata"]["uid"]
        streams = [{"id": i, "url": f"http://radio.example/{i}", "name": i, "token": f"1-{epoch}"} for i in ids]
        digest = assignment_hash(uid, epoch, streams)
        assignment = {"epoch": epoch, "leaderEpoch": 1, "hash": digest, "streams": streams}
        self.api.merge(f"{self._worker}/status", {"status": {"assignment": assignment, **status}})

    def dismiss(self) -> None:
        self.api.delete(self._worker)

    # --- the Lease

    def lease(self) -> Object | None:
        return self.api.find(self._lease)

    def edit_lease(self, patch: Object) -> Object:
        return self.api.merge(self._lease, patch)

    def delete_lease(self) -> None:
        self.api.delete(self._lease)

    def holder(self) -> str:
        """The pod that holds the Lease."""
        return str(((self.lease() or {}).get("spec") or {}).get("holderIdentity", "")).partition("/")[0]

    def annotation(self, key: str) -> str:
        metadata = (self.lease() or {}).get("metadata") or {}
        return str((metadata.get("annotations") or {}).get(f"fingerv7.io/{key}", ""))

    def applied(self) -> tuple[str, str, int] | None:
        """FingerWorker UID, pod UID and epoch of the acknowledgement."""
        parts = self.annotation("applied").split("/")
        return (parts[0], parts[1], int(parts[3])) if len(parts) == 4 else None

    # --- sidecars

    def token(self) -> str:
        """Of an account with the rights of production."""
        return Namespace(self._cluster, self.api, self.namespace).sidecar_token(self.name)

    def start(self, pod_uid: str = "pod-a", *, token: str = "") -> Sidecar:
        """Start a sidecar of this pod; one that ran in its folder before is taken up."""
        folder = self._folder / pod_uid
        folder.mkdir(exist_ok=True)
        token_file = self._folder / f"{pod_uid}.token"
        token_file.write_text(token or self.token(), encoding="ascii")
        environment = python_environment(
            INSTANCE_ID=self.name,
            NAMESPACE=self.namespace,
            POOL="radio",
            POD_UID=pod_uid,
            CONFIG_DIR=str(folder),
            LISTEN="127.0.0.1:0",
            TAKEOVER_AFTER=f"{TAKEOVER_S:g}s",
            KUBERNETES_API_URL=self._cluster.server,
            KUBERNETES_TOKEN_FILE=str(token_file),
            KUBERNETES_CA_FILE=str(self._cluster.ca_file),
        )
        argv = [sys.executable, "-m", "fingerv7_sidecar.main"]
        process = Process(f"sidecar of {pod_uid}", argv, environment, self._folder / f"{pod_uid}.log")
        process.start()
        self._started.append(process)
        return Sidecar(process, folder)

    def start_running(self, *ids: str) -> Sidecar:
        """A FingerWorker with these streams at epoch 1, and a sidecar that has acknowledged them."""
        self.declare()
        sidecar = self.start()
        sidecar.until(self.applied, "the first acknowledgement")
        self.assign(1, *ids)
        sidecar.until(lambda: sidecar.running() == list(ids), "the config is filled")
        sidecar.confirm()
        sidecar.await_ready()
        return sidecar

    def stop(self) -> None:
        for process in self._started:
            process.kill()


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> Iterator[Api]:
    """The administrator's requests."""
    client = administrator(cluster)
    yield client
    client.close()


@pytest.fixture
def world(cluster: Cluster, api: Api, namespace: str, tmp_path: Path) -> Iterator[World]:
    it = World(cluster, api, namespace, tmp_path)
    yield it
    it.stop()
