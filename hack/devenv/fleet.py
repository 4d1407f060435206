"""A whole fleet of real processes: operators, sidecars and reference workers, on a real API server and database.

Tests, benchmarks and the demo all use this one, so that what they show is what one would install: real rights, real
TLS, real kills. Everything that is started ends with the `with` block, and with this process however it ends.

    with start_cluster() as cluster, start_postgres() as postgres, Fleet(cluster, postgres) as fleet:
        fleet.start_operator()
        for number in range(8):
            fleet.start_worker(f"fingerv7-{number:03}", 150)
        fleet.wait_all_running(60)
        assert fleet.check(allowed_gap_s=11).ok
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from devenv.cluster import Cluster
from devenv.fleet_api import ApiError, Object, fingerv7, leases
from devenv.fleet_kubelet import Kubelet
from devenv.fleet_objects import FAST, WorkerSpec, finger_worker, stream_pool
from devenv.fleet_operator import OperatorProcess
from devenv.fleet_setup import Databases, DeadlineError, Namespace, administrator, install_crds, poll_until
from devenv.fleet_worker import Access, WorkerProcess
from devenv.postgres import Postgres
from devenv.streams import Row, invent
from reference_worker import checker
from reference_worker.verdict import GapFigures, Verdict, Window

__all__ = [
    "FAST",
    "DeadlineError",
    "Fleet",
    "OperatorProcess",
    "WorkerProcess",
    "WorkerSpec",
    "administrator",
    "install_crds",
]

DEFAULT_ROWS = 847

_T = TypeVar("_T")


class Fleet:
    """One pool in a namespace and databases of its own.

    Args:
        cluster: with or without the CRDs.
        postgres: gets two databases and a role.
        rows: the streams table's, or how many to invent.
        liveness: `spec.liveness`; sidecars are given the same takeover time.
        pool_spec: laid over the pool's spec, one level deep.
        registration: `Open` lets `start_worker(declare=False)` succeed.
        operator_environment: more variables for operators, such as FINGERV7_LEASE_SECONDS.
        sidecar_environment: more variables for sidecars.
        worker_environment: more variables for reference workers, such as STOP_DELAY_MS.
        restart: whether dead workers and sidecars are started again, as a kubelet does.
        folder: for logs and configs; kept. Without it a temporary one, kept only after a failure.
    """

    def __init__(
        self,
        cluster: Cluster,
        postgres: Postgres,
        *,
        rows: Sequence[Row] | int = DEFAULT_ROWS,
        namespace: str | None = None,
        pool: str = "radio",
        liveness: Mapping[str, Any] = FAST,
        poll_interval: str = "30s",
        notify: bool = True,
        registration: str = "Declared",
        pool_spec: Mapping[str, Any] | None = None,
        operator_environment: Mapping[str, str] | None = None,
        sidecar_environment: Mapping[str, str] | None = None,
        worker_environment: Mapping[str, str] | None = None,
        restart: bool = True,
        folder: Path | None = None,
    ) -> None:
        self.cluster = cluster
        self.postgres = postgres
        self.pool = pool
        self.namespace = namespace or f"fleet-{uuid.uuid4().hex[:8]}"
        self.api = administrator(cluster)
        self.operators: dict[str, OperatorProcess] = {}
        self.workers: dict[str, WorkerProcess] = {}
        self.databases = Databases(postgres, self.namespace.replace("-", "_"))
        self.table = self.databases.table
        self.journal_dsn = self.databases.journal_dsn
        self.folder = folder or Path(tempfile.mkdtemp(prefix="fingerv7-fleet-"))
        self.keep_folder = folder is not None
        self._rows = invent(rows) if isinstance(rows, int) else list(rows)
        self._pool_object = stream_pool(
            pool,
            liveness=liveness,
            poll_interval=poll_interval,
            notify=notify,
            registration=registration,
            spec=pool_spec or {},
        )
        self._operator_environment = dict(operator_environment or {})
        self._sidecar_environment = {**_sidecar_times(liveness), **(sidecar_environment or {})}
        self._worker_environment = dict(worker_environment or {})
        self._restart = restart
        self._namespace = Namespace(cluster, self.api, self.namespace)
        self._operator_kubeconfig = self.folder / "operator.kubeconfig"
        self._made: list[WorkerProcess] = []
        self._kubelet = Kubelet()

    # --- life ---------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        self.keep_folder |= error is not None and not isinstance(error, KeyboardInterrupt)
        self.stop()

    def stop(self) -> None:
        """Stop every process and remove what was made."""
        with contextlib.closing(self.api):
            self._kubelet.stop()
            for worker in self._made:
                worker.kill()
            for operator in self.operators.values():
                operator.kill()
            with contextlib.suppress(OSError, ApiError):  # an API server that is down takes its data along
                self._namespace.delete()
            self.databases.drop()
        if not self.keep_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start_operator(self, name: str | None = None, **environment: str) -> OperatorProcess:
        """Start a replica."""
        name = name or f"operator-{len(self.operators) + 1}"
        operator = OperatorProcess(
            name,
            kubeconfig=self._operator_kubeconfig,
            namespace=self.namespace,
            folder=self.folder,
            environment={**self._operator_environment, **environment},
        )
        self.operators[name] = operator
        operator.start()
        return operator

    def declare_worker(
        self, name: str, max_streams: int, *, location: str = "", capabilities: Iterable[str] = ()
    ) -> WorkerSpec:
        """Create the FingerWorker."""
        spec = _spec(name, max_streams, location, capabilities)
        self.api.create(fingerv7(self.namespace, "fingerworkers"), finger_worker(spec, self.pool))
        return spec

    def start_worker(
        self,
        name: str,
        max_streams: int,
        *,
        location: str = "",
        capabilities: Iterable[str] = (),
        declare: bool = True,
        sidecar_environment: Mapping[str, str] | None = None,
        worker_environment: Mapping[str, str] | None = None,
        restart: bool | None = None,
    ) -> WorkerProcess:
        """Create the FingerWorker, unless it is to register itself, and start both its processes."""
        spec = _spec(name, max_streams, location, capabilities)
        if declare:
            self.declare_worker(name, max_streams, location=location, capabilities=spec.capabilities)
        worker = self.make_worker(
            spec,
            sidecar_environment=sidecar_environment,
            worker_environment=worker_environment,
            restart=restart,
        )
        self.workers[name] = worker
        worker.start()
        return worker

    def make_worker(
        self,
        spec: WorkerSpec,
        *,
        folder: str | None = None,
        sidecar_environment: Mapping[str, str] | None = None,
        worker_environment: Mapping[str, str] | None = None,
        restart: bool | None = None,
    ) -> WorkerProcess:
        """A worker that is not started; give a `folder` for a second one of the same name."""
        access = Access(
            server=self.cluster.server,
            ca_file=self.cluster.ca_file,
            token=self._namespace.sidecar_token(spec.name),
            namespace=self.namespace,
            pool=self.pool,
            journal_dsn=self.journal_dsn,
        )
        worker = WorkerProcess(
            spec,
            access,
            self.folder / (folder or spec.name),
            sidecar_environment={**self._sidecar_environment, **(sidecar_environment or {})},
            worker_environment={**self._worker_environment, **(worker_environment or {})},
            restart=self._restart if restart is None else restart,
        )
        self._made.append(worker)
        self._kubelet.tend(worker.tend)
        return worker

    # --- what the API server says -------------------------------------------------------------------------

    def stream_pool(self) -> Object:
        return _shown(self.api.get(fingerv7(self.namespace, "streampools", self.pool)))

    def finger_workers(self) -> list[Object]:
        return [_shown(each) for each in self.api.items(fingerv7(self.namespace, "fingerworkers"))]

    def finger_worker(self, name: str) -> Object:
        return _shown(self.api.get(fingerv7(self.namespace, "fingerworkers", name)))

    def lease(self, name: str) -> Object | None:
        return self.api.find(leases(self.namespace, name))

    def assigned(self) -> dict[str, str]:
        """By stream id: whose `status.assignment.streams` has it."""
        return {
            stream["id"]: worker["metadata"]["name"]
            for worker in self.finger_workers()
            for stream in assignment(worker).get("streams", [])
        }

    def patch_pool(self, spec: Mapping[str, Any]) -> Object:
        return self.api.merge(fingerv7(self.namespace, "streampools", self.pool), {"spec": dict(spec)})

    def patch_worker(self, name: str, spec: Mapping[str, Any]) -> Object:
        return self.api.merge(fingerv7(self.namespace, "fingerworkers", name), {"spec": dict(spec)})

    # --- what the journal says ----------------------------------------------------------------------------

    def running(self) -> dict[str, str]:
        """By stream id: the worker that processes it now."""
        return checker.running_streams(self.journal_dsn)

    def now(self) -> datetime:
        """The journal's clock, for `since` and windows."""
        return checker.journal_now(self.journal_dsn)

    def check(
        self,
        *,
        allowed_gap_s: float,
        since: datetime | None = None,
        windows: Sequence[Window] = (),
        refusals_allowed: bool = False,
        expected: Iterable[str] | None = None,
    ) -> Verdict:
        """The verdict, expecting every active row of the table to be running unless told otherwise."""
        return checker.check(
            self.journal_dsn,
            allowed_gap_s=allowed_gap_s,
            since=since,
            expected=self.table.active_ids() if expected is None else set(expected),
            windows=windows,
            refusals_allowed=refusals_allowed,
        )

    def gap_figures(self, *, since: datetime | None = None, until: datetime | None = None) -> GapFigures:
        return checker.gap_figures(self.journal_dsn, since=since, until=until)

    # --- waiting ------------------------------------------------------------------------------------------

    def wait_for(self, condition: Callable[[], _T], deadline_s: float, description: str) -> _T:
        """The first true result of the condition. Raises DeadlineError with the state of everything."""
        result, error = poll_until(condition, deadline_s=deadline_s)
        if result is None:
            last = f"\nlast error: {error}" if error else ""
            raise DeadlineError(f"not within {deadline_s:g} s: {description}{last}\n{self.describe()}")
        return result

    def wait_all_running(self, deadline_s: float) -> None:
        """Wait until exactly the active rows are processed."""
        expected = self.table.active_ids()
        self.wait_for(
            lambda: self.running().keys() == expected, deadline_s, f"all {len(expected)} active streams are processed"
        )

    def describe(self) -> str:
        """Statuses and the ends of the logs, for a message about what went wrong."""
        parts = [f"logs: {self.folder}"]
        for plural in ("streampools", "fingerworkers"):
            table = self.cluster.kubectl("get", plural, "-n", self.namespace, "-o", "wide", check=False)
            parts.append(table.rstrip() or f"(no {plural})")
        parts += [operator.describe() for operator in self.operators.values()]
        silent = [worker for worker in self.workers.values() if not worker.alive] or list(self.workers.values())[:1]
        parts += [worker.describe() for worker in silent[:3]]
        return "\n".join(parts)

    def _set_up(self) -> None:
        install_crds(self.cluster, self.api)
        self._namespace.create()
        self._operator_kubeconfig = self._namespace.operator_kubeconfig(self.folder)
        self.databases.create(self._rows)
        self.api.create(f"/api/v1/namespaces/{self.namespace}/secrets", self.databases.secret())
        self.api.create(fingerv7(self.namespace, "streampools"), self._pool_object)


def assignment(worker: Object) -> Object:
    """`status.assignment` of a FingerWorker, or nothing."""
    found: Object = worker.get("status", {}).get("assignment") or {}
    return found


def _spec(name: str, max_streams: int, location: str, capabilities: Iterable[str]) -> WorkerSpec:
    return WorkerSpec(
        name=name,
        max_streams=max_streams,
        location=location,
        capabilities=tuple(capabilities) or ("audio_fingerprinting",),
    )


def _sidecar_times(liveness: Mapping[str, Any]) -> dict[str, str]:
    names = {
        "takeoverAfter": "TAKEOVER_AFTER",
        "renewInterval": "RENEW_INTERVAL",
        "requestTimeout": "REQUEST_TIMEOUT",
        "fenceAfter": "FENCE_AFTER",
        "stopTime": "STOP_TIME",
    }
    return {variable: str(liveness[key]) for key, variable in names.items() if key in liveness}


def _shown(found: Object) -> Object:
    """With a status, if an empty one, also before the operator has written any: who waits for it waits on."""
    found.setdefault("status", {}).setdefault("conditions", [])
    return found
