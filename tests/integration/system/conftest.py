"""What the system's tests share: a fleet in good order, what its user is told, and the promise that nothing is lost.

A module starts one fleet or a few of them with `start_system`. After each test every fleet of the module is looked
at: no operator and no sidecar may have crashed, and no secret may be in a log, an Event or a condition.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devenv.cluster import Cluster
from devenv.fleet import DeadlineError, Fleet
from devenv.fleet_api import Object, core, fingerv7
from devenv.fleet_objects import SECRET
from devenv.fleet_worker import WorkerProcess
from devenv.postgres import Postgres
from devenv.streams import StreamsTable

POLL = "300ms"
LEASE_S = {"FINGERV7_LEASE_SECONDS": "7", "FINGERV7_RENEW_DEADLINE_SECONDS": "5", "FINGERV7_RETRY_SECONDS": "0.5"}
"""A killed operator's successor waits for its election Lease to run out."""
SOON_S = 20.0


class System:
    """A running fleet, and what one sees of it with kubectl, psql and curl."""

    def __init__(self, fleet: Fleet, postgres: Postgres) -> None:
        self.fleet = fleet
        self.postgres = postgres
        self.secrets: set[str] = set()
        """Words that must not be shown anywhere."""
        self._secret_path = core(fleet.namespace, "secrets", SECRET)
        self._secret: Object = fleet.api.get(self._secret_path)["data"]
        self.secrets.add(self.secret("password"))
        self._databases: list[str] = []

    # --- what is shown ------------------------------------------------------------------------------------

    def await_pool(self, kind: str, status: bool, reason: str, *words: str, pool: str = "") -> str:
        """The message of a StreamPool's condition as soon as it says that."""
        path = fingerv7(self.fleet.namespace, "streampools", pool or self.fleet.pool)
        return self._await_condition(path, kind, status, reason, words)

    def await_worker(self, name: str, kind: str, status: bool, reason: str, *words: str) -> str:
        """The message of a FingerWorker's condition as soon as it says that."""
        path = fingerv7(self.fleet.namespace, "fingerworkers", name)
        return self._await_condition(path, kind, status, reason, words)

    def _await_condition(self, path: str, kind: str, status: bool, reason: str, words: tuple[str, ...]) -> str:
        seen = ""

        def found() -> Object | None:
            nonlocal seen
            conditions = self.fleet.api.get(path).get("status", {}).get("conditions", [])
            condition = next((c for c in conditions if c["type"] == kind), {})
            seen = f"{condition.get('status')} {condition.get('reason')}: {condition.get('message')}"
            fits = (condition.get("status"), condition.get("reason")) == (str(status), reason)
            return condition if fits and all(word in condition["message"] for word in words) else None

        name = path.rpartition("/")[2]
        with _explained(lambda: f"condition {kind} of {name} is not {status} {reason} {words}, but {seen}"):
            return str(self.fleet.wait_for(found, SOON_S, "")["message"])

    def events(self, kind: str, name: str, reason: str) -> list[str]:
        """The messages of an object's Events with that reason."""
        return [
            event["message"]
            for event in self.fleet.api.items(core(self.fleet.namespace, "events"))
            if event["reason"] == reason
            and (event["involvedObject"]["kind"], event["involvedObject"]["name"]) == (kind, name)
        ]

    def await_event(self, kind: str, name: str, reason: str, *words: str) -> None:
        """Wait for such an Event that says all of these words."""

        def told() -> bool:
            return any(all(word in message for word in words) for message in self.events(kind, name, reason))

        with _explained(
            lambda: f"no Event {reason} of {kind} {name} says {words}: {self.events(kind, name, reason)}"
        ):
            self.fleet.wait_for(told, SOON_S, "")

    def await_readiness(self, worker: WorkerProcess, *words: str, ready: bool = False) -> str:
        """What the sidecar's /readyz says once it contains all these words."""
        text = ""

        def answer() -> str | None:
            nonlocal text
            status, text = worker.ask_sidecar("GET", "/readyz")
            fits = (status == 200) == ready and all(word in text for word in words)
            return text if fits else None

        with _explained(lambda: f"/readyz of {worker.name} is not {'' if ready else 'un'}ready {words}, but: {text}"):
            return self.fleet.wait_for(answer, SOON_S, "")

    def await_ready(self) -> None:
        """Wait until every stream is processed and the pool says so."""
        self.fleet.wait_all_running(SOON_S)
        self.await_pool("Ready", True, "Serving")

    # --- what must not change -----------------------------------------------------------------------------

    def holdings(self) -> dict[str, Any]:
        """By FingerWorker: epoch, streams with their tokens, and what is being revoked."""
        return {worker["metadata"]["name"]: _holding(worker) for worker in self.fleet.finger_workers()}

    @contextlib.contextmanager
    def untouched(self) -> Iterator[None]:
        """Whatever happens within: no worker's assignment changes and no stream stops for a moment."""
        since, held, running = self.fleet.now(), self.holdings(), self.intervals()
        yield
        now = self.holdings()
        assert {name: now.get(name) for name in held} == held
        assert running.items() <= self.intervals().items(), "a stream was stopped"
        verdict = self.fleet.check(allowed_gap_s=0, since=since, expected=self.fleet.running())
        assert verdict.ok, verdict

    def intervals(self) -> dict[str, int]:
        """By stream: the entry of the journal that goes on for as long as one worker processes it."""
        rows = StreamsTable(self.fleet.journal_dsn).query(
            "SELECT stream, interval_id FROM journal.spans WHERE running"
        )
        return {row["stream"]: row["interval_id"] for row in rows}

    # --- the source ---------------------------------------------------------------------------------------

    def secret(self, key: str) -> str:
        """A value of the Secret as it was made."""
        return base64.b64decode(self._secret[key]).decode()

    def edit_secret(self, **values: str | None) -> None:
        """Change keys of the Secret; None removes one."""
        data = {key: value and base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self.fleet.api.merge(self._secret_path, {"data": data})

    def delete_secret(self) -> None:
        """It is read when the operator connects, so the connection has to break as well."""
        self.fleet.api.delete(self._secret_path)
        self.postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE application_name = 'fingerv7-operator' AND datname = '{self.secret('database')}'"
        )

    def restore_secret(self) -> None:
        if self.fleet.api.find(self._secret_path) is None:
            self.fleet.api.create(core(self.fleet.namespace, "secrets"), {"metadata": {"name": SECRET}})
        self.fleet.api.merge(self._secret_path, {"data": self._secret})

    def other_database(self, suffix: str, options: str = "") -> tuple[str, StreamsTable]:
        """Name and streams table of another, empty database that the Secret's user may read."""
        name = f"{self.secret('database')}_{suffix}"
        self.postgres.execute(f'CREATE DATABASE "{name}" {options}')
        self._databases.append(name)
        table = StreamsTable(self.postgres.dsn(name))
        table.create()
        table.script(f'GRANT SELECT ON streams TO "{self.secret("user")}"')
        return name, table

    def drop_databases(self) -> None:
        for name in self._databases:
            self.postgres.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def await_polls(self, count: int, database: str = "") -> None:
        """Wait until the operator has read the whole table so many times more."""
        query = (
            "SELECT query_start FROM pg_stat_activity WHERE application_name = 'fingerv7-operator' "
            "AND state = 'idle' AND datname = $1"
        )
        seen: set[Any] = set()

        def enough() -> bool:
            rows = self.fleet.table.query(query, database or self.secret("database"))
            seen.update(row["query_start"] for row in rows)
            return len(seen) > count + 1

        self.fleet.wait_for(enough, SOON_S, f"{count} more polls")

    # --- the end of a test --------------------------------------------------------------------------------

    def look_after(self) -> None:
        """Nothing crashed, and nothing secret is shown."""
        for operator in self.fleet.operators.values():
            assert operator.alive, operator.describe()
        for worker in self.fleet.workers.values():
            assert worker.sidecar.restarts == 0, f"the sidecar died: {worker.describe()}"
        folder = self.fleet.folder
        logs = [log for name in ("operator*.log", "*/sidecar.log", "*-sidecar.log") for log in folder.glob(name)]
        assert len(logs) > 1, "there is something to look at"
        shown = {str(log.relative_to(folder)): log.read_text(errors="replace") for log in logs}
        for name, text in shown.items():
            assert "Traceback" not in text, f"{name} has a traceback: {text[text.index('Traceback') - 300 :][:3000]}"
        events = self.fleet.api.items(core(self.fleet.namespace, "events"))
        shown["Events"] = json.dumps([event["message"] for event in events])
        for plural in ("streampools", "fingerworkers"):
            for item in self.fleet.api.items(fingerv7(self.fleet.namespace, plural)):
                status = {key: value for key, value in item.get("status", {}).items() if key != "assignment"}
                shown[f"{plural}/{item['metadata']['name']}"] = json.dumps(status)
        found = [(word, where) for word in self.secrets for where, text in shown.items() if word in text]
        assert not found


@contextlib.contextmanager
def _explained(explanation: Callable[[], str]) -> Iterator[None]:
    try:
        yield
    except DeadlineError as error:
        raise AssertionError(f"{explanation()}\n{error}") from None


def _holding(worker: Object) -> Object:
    assignment = worker.get("status", {}).get("assignment", {})
    return {
        "uid": worker["metadata"]["uid"],
        "epoch": assignment.get("epoch"),
        "streams": {stream["id"]: (stream["token"], stream["url"]) for stream in assignment.get("streams", [])},
        "revoking": assignment.get("revoking", []),
    }


# --- starting one -----------------------------------------------------------------------------------------

StartSystem = Callable[..., System]


@contextlib.contextmanager
def _starter(
    cluster: Cluster, postgres: Postgres, folders: pytest.TempPathFactory, systems: list[System]
) -> Iterator[StartSystem]:
    with contextlib.ExitStack() as stack:

        def start(
            *,
            workers: int = 2,
            max_streams: int = 80,
            rows: Any = 60,
            source: Object | None = None,
            pool_spec: Object | None = None,
            before: Callable[[System], None] = lambda _: None,
            **options: Any,
        ) -> System:
            fleet = Fleet(
                cluster,
                postgres,
                rows=rows,
                pool_spec={"statusRefreshInterval": "500ms", **(pool_spec or {})},
                folder=folders.mktemp("fleet"),
                **{"poll_interval": POLL, "notify": False, "operator_environment": LEASE_S, **options},
            )
            stack.enter_context(fleet)
            fleet.patch_pool({"source": {"postgres": source or {}}})
            system = System(fleet, postgres)
            stack.callback(system.drop_databases)
            before(system)
            fleet.start_operator()
            for number in range(workers):
                fleet.start_worker(f"fingerv7-{number:03}", max_streams)
            if workers:
                system.await_ready()
            systems.append(system)
            return system

        yield start


@pytest.fixture
def start_system(
    cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartSystem]:
    """Start an operator and workers `fingerv7-000`, `fingerv7-001`, …; returns when every stream is processed.

    `before` is called with the system before its operator starts, `source` laid over `spec.source.postgres`; other
    options are the Fleet's.
    """
    systems: list[System] = []
    with _starter(cluster, postgres, tmp_path_factory, systems) as start:
        yield start
        for system in systems:
            system.look_after()


@pytest.fixture(scope="module")
def shared_systems() -> list[System]:
    """Those that all tests of a module use."""
    return []


@pytest.fixture(scope="module")
def start_shared_system(
    cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory, shared_systems: list[System]
) -> Iterator[StartSystem]:
    """Like `start_system`, for a fixture of the whole module."""
    with _starter(cluster, postgres, tmp_path_factory, shared_systems) as start:
        yield start


@pytest.fixture(autouse=True)
def looked_after(shared_systems: list[System]) -> Iterator[None]:
    """Nothing crashed and nothing secret was shown, whatever the test did."""
    yield
    for system in shared_systems:
        system.look_after()
