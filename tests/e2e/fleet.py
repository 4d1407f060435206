"""A fleet of real pods in a namespace that enforces the Pod Security level `restricted`, judged by its journal."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from devenv.errors import CommandError
from devenv.fleet_setup import Databases, DeadlineError, poll_until
from devenv.pods import PodCluster
from devenv.postgres import Postgres
from devenv.streams import invent
from reference_worker import checker
from reference_worker.verdict import Verdict

from . import manifests
from .installation import apply, install_operator, uninstall_operator

_DATABASE = "streams-db"
_JOURNAL = "journal"


class PodFleet:
    """One pool; the operator is installed by `with`, and gone after it."""

    def __init__(
        self, pods: PodCluster, postgres: Postgres, images: dict[str, str], *, workers: int, rows: int
    ) -> None:
        self.cluster = pods.cluster
        self.namespace = f"e2e-{uuid.uuid4().hex[:8]}"
        self.count = workers
        self._postgres = postgres
        self._images = images
        self._host = pods.reach.address if pods.reach and postgres.can_stop else postgres.host
        self._databases = Databases(postgres, self.namespace.replace("-", "_"))
        self._rows = invent(rows)

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            print(self.describe())
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()

    # --- what is there -------------------------------------------------------------------------------------

    def kubectl(self, *args: str) -> str:
        return self.cluster.kubectl("-n", self.namespace, *args)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def running(self) -> dict[str, str]:
        """Who processes what, by the journal: stream → worker."""
        return checker.running_streams(self._databases.journal_dsn)

    def now(self) -> datetime:
        return checker.journal_now(self._databases.journal_dsn)

    def wait_for(self, condition: Callable[[], bool], what: str, *, deadline_s: float = 90) -> None:
        """Raises DeadlineError, with what the cluster looks like."""

        def holds() -> bool:
            try:
                return condition()
            except CommandError:
                return False

        if not poll_until(holds, deadline_s=deadline_s, every_s=0.2)[0]:
            raise DeadlineError(f"{what}: not after {deadline_s:.0f} s\n{self.describe()}")

    def wait_all_running(self, deadline_s: float = 90) -> None:
        wanted = self._databases.table.active_ids()
        self.wait_for(lambda: self.running().keys() == wanted, f"{len(wanted)} streams run", deadline_s=deadline_s)

    def judge(self, *, allowed_gap_s: float, since: datetime | None = None) -> Verdict:
        """Every stream is on exactly one worker now, and was on nobody for no longer than allowed."""
        self.wait_all_running()
        wanted = self._databases.table.active_ids()
        verdict = checker.check(
            self._databases.journal_dsn, allowed_gap_s=allowed_gap_s, since=since, expected=wanted
        )
        print(f"longest gap {verdict.longest_gap_s:.3f} s, {verdict.intervals} intervals")
        assert verdict.ok, f"{json.dumps(verdict.as_dict(), indent=2)}\n{self.describe()}"
        return verdict

    def describe(self) -> str:
        """For a failure: objects, events, and the end of each log."""
        parts = []
        for args in (
            ("get", "pods,fingerworkers,streampools,leases", "-o", "wide"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("logs", "-l", "app=fingerv7-operator", "--tail=20", "--prefix"),
            ("logs", "-l", f"app={manifests.WORKER}", "--all-containers", "--tail=10", "--prefix"),
        ):
            try:
                parts.append(f"$ kubectl {' '.join(args)}\n{self.kubectl(*args)}")
            except CommandError as error:
                parts.append(str(error))
        return "\n".join(parts)

    # --- its life ------------------------------------------------------------------------------------------

    def remove(self) -> None:
        """Workers, pool, what they were, then the operator: nothing may hang on a finalizer."""
        # In the foreground: a pod that is still there would register itself again.
        options = ("--cascade=foreground", "--ignore-not-found", "--timeout=90s")
        self.kubectl("delete", "statefulset", manifests.WORKER, *options)
        self.kubectl("delete", "streampools", "--all", "--timeout=60s")
        self.kubectl("delete", "fingerworkers", "--all", "--timeout=60s")
        uninstall_operator(self.cluster, self.namespace)
        self.cluster.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=120s")
        self._databases.drop()

    def _set_up(self) -> None:
        self._databases.create([])
        self.cluster.kubectl("create", "-f", "-", input=json.dumps(manifests.namespace(self.namespace)))
        install_operator(self.cluster, self.namespace, self._images["operator"])
        database = self._databases.secret(self._host)["stringData"]
        journal = {
            "dsn": self._postgres.dsn(
                f"{self.namespace.replace('-', '_')}_journal", host=self._host, ca_file="/etc/journal/ca.crt"
            ),
            "ca.crt": self._postgres.ca_file.read_text(encoding="ascii"),
        }
        apply(
            self.cluster,
            self.namespace,
            [
                manifests.secret(_DATABASE, database),
                manifests.secret(_JOURNAL, journal),
                manifests.pool(secret_name=_DATABASE),
                *manifests.worker_rights(self.count),
                manifests.workers(
                    self.count,
                    sidecar_image=self._images["worker-sidecar"],
                    worker_image=self._images["reference-worker"],
                    journal_secret=_JOURNAL,
                    max_streams=60,
                ),
            ],
        )
        self.wait_for(self._all_registered, "all workers have registered", deadline_s=180)
        # Only now: whoever comes first would get everything, and keep it until the balance is looked at.
        self._databases.table.insert(self._rows)
        self.wait_all_running()

    def _all_registered(self) -> bool:
        found = json.loads(self.kubectl("get", "fingerworkers", "-o", "json"))["items"]
        return sum(_is_ready(each) for each in found) == self.count


def _is_ready(worker: dict[str, Any]) -> bool:
    conditions = worker.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
