"""A worker as on Kubernetes, without the pod: a sidecar and a reference worker that share a folder, and a kubelet.

Each start is a pod of its own, with a new UID and an empty folder; restarts of one of the two within it are not.
"""

from __future__ import annotations

import http.client
import signal
import sys
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devenv.fleet_kubelet import Container, LivenessProbe
from devenv.fleet_objects import WorkerSpec
from devenv.fleet_process import Process, python_environment
from devenv.private_files import write_private


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a sidecar reaches the API server and the worker its journal."""

    server: str
    ca_file: Path
    token: str
    namespace: str
    pool: str
    journal_dsn: str


class WorkerProcess:
    """Start with `start`; every action may be called from any thread."""

    def __init__(
        self,
        spec: WorkerSpec,
        access: Access,
        folder: Path,
        *,
        sidecar_environment: Mapping[str, str],
        worker_environment: Mapping[str, str],
        restart: bool = True,
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self._access = access
        self._folder = folder
        self._sidecar_environment = dict(sidecar_environment)
        self._worker_environment = dict(worker_environment)
        self._lock = threading.RLock()
        self._pods = 0
        self.config_dir = folder
        """Of the present pod."""
        folder.mkdir(parents=True, exist_ok=True)
        self._token_file = write_private(folder / "token", access.token)
        # What both are given is set by each start.
        self.sidecar = Container(
            Process(
                f"{spec.name}-sidecar", [sys.executable, "-m", "fingerv7_sidecar.main"], {}, folder / "sidecar.log"
            )
        )
        self.worker = Container(
            Process(f"{spec.name}-worker", [sys.executable, "-m", "reference_worker"], {}, folder / "worker.log")
        )
        self.sidecar.restart = self.worker.restart = restart
        self.probe = LivenessProbe(lambda: self.config_dir / "fence", self.worker)

    # --- life ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A new pod: the sidecar first, as native sidecars do."""
        with self._lock:
            self._pods += 1
            self.config_dir = self._folder / f"pod-{self._pods}"
            self.config_dir.mkdir()
            self.probe.enabled = True
            self.sidecar.process.environment = self._sidecar_variables(str(uuid.uuid4()))
            self.worker.process.environment = python_environment(
                CONFIG_DIR=str(self.config_dir),
                JOURNAL_DSN=self._access.journal_dsn,
                WORKER_NAME=self.name,
                **self._worker_environment,
            )
            self.sidecar.start()
            self.worker.start()

    @property
    def alive(self) -> bool:
        """Whether both processes run."""
        return self.sidecar.process.alive and self.worker.process.alive

    def tend(self, now_s: float) -> None:
        """What the kubelet does; called by it."""
        with self._lock:
            self.probe.tend(now_s)
            self.sidecar.tend(now_s)
            self.worker.tend(now_s)

    def kill(self) -> None:
        """SIGKILL for both at once and for good, as when a node loses power."""
        with self._lock:
            self.sidecar.wanted = self.worker.wanted = False
            for container in (self.worker, self.sidecar):
                container.process.send(signal.SIGKILL)
            for container in (self.worker, self.sidecar):
                container.process.wait(10)

    def kill_worker(self) -> None:
        """SIGKILL for the worker only; the kubelet restarts it after its back-off."""
        self.worker.process.kill()

    def kill_sidecar(self, *, restart: bool = True) -> None:
        """SIGKILL for the sidecar only."""
        with self._lock:
            self.sidecar.wanted = restart
            self.sidecar.process.kill()

    def stop_gracefully(self, *, drain: bool = True, grace_s: float = 30.0) -> None:
        """Delete the pod: the drain of its preStop hook, then the worker, then the sidecar."""
        if drain:
            self.drain(timeout_s=grace_s)
        with self._lock:
            self.sidecar.wanted = self.worker.wanted = False
        self.worker.process.stop(grace_s)
        self.sidecar.process.stop(grace_s)

    def pause(self, *, probe: bool = False) -> None:
        """SIGSTOP for both. The probe goes on only when asked: a frozen node probes nothing."""
        with self._lock:
            self.probe.enabled = probe
            for container in (self.worker, self.sidecar):
                container.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        with self._lock:
            for container in (self.worker, self.sidecar):
                container.process.send(signal.SIGCONT)
            self.probe.enabled = True

    # --- talking to the sidecar ---------------------------------------------------------------------------

    def drain(self, *, timeout_s: float = 60.0) -> int:
        """POST /drain; returns the status once the release is written."""
        return self.ask_sidecar("POST", "/drain", timeout_s=timeout_s)[0]

    def ask_sidecar(self, method: str, path: str, *, timeout_s: float = 10.0) -> tuple[int, str]:
        """Status and body of a request to the sidecar. Raises OSError where it does not answer."""
        port = int((self.config_dir / "sidecar.port").read_text(encoding="ascii"))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        finally:
            connection.close()

    def describe(self) -> str:
        return f"{self.sidecar.process.describe()}\n{self.worker.process.describe()}"

    def _sidecar_variables(self, pod_uid: str) -> dict[str, str]:
        variables = {
            "INSTANCE_ID": self.name,
            "POOL": self._access.pool,
            "NAMESPACE": self._access.namespace,
            "CONFIG_DIR": str(self.config_dir),
            "POD_UID": pod_uid,
            "LISTEN": "127.0.0.1:0",
            "KUBERNETES_API_URL": self._access.server,
            "KUBERNETES_TOKEN_FILE": str(self._token_file),
            "KUBERNETES_CA_FILE": str(self._access.ca_file),
            "WORKER_LOCK": "1",
            "MAX_STREAMS": str(self.spec.max_streams),
            "CAPABILITIES": ",".join(self.spec.capabilities),
            "LOCATION": self.spec.location,
            "VERSION": "reference",
        }
        return python_environment(**{**variables, **self._sidecar_environment})
