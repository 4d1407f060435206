"""A fleet of real pods in a namespace that enforces the Pod Security level `restricted`, judged by its journal."""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from tests.integration.chart.helm import Helm

from devenv.errors import CommandError
from devenv.fleet_setup import Databases, DeadlineError, poll_until
from devenv.pods import PodCluster
from devenv.postgres import Postgres
from devenv.streams import StreamsTable, invent
from reference_worker import checker
from reference_worker.verdict import Verdict

from . import manifests
from .installation import OPERATORS, Installation, apply
from .manifests import DATABASE, JOURNAL, Object

PLANNED_S = 1.0
"""On nobody in a hand-over."""
UNPLANNED_S = 21.0
"""T + 1 s, with the default T."""


_POWERS = """
import os
print(os.getuid(), bool(os.statvfs("/").f_flag & os.ST_RDONLY))
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapBnd", "NoNewPrivs"))))
"""
_NONE = ["65532", "True", "0" * 16, "1"]
"""The user, whether the image is read only, what any process in there can ever be capable of, and no setuid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What fleets share, once a session."""

    pods: PodCluster
    postgres: Postgres
    images: dict[str, str]
    helm: Helm


class PodFleet(ABC):
    """One pool and an operator for it; both are installed by `with`, and gone after it.

    Attributes:
        count: how many workers there are.
    """

    def __init__(self, around: Surroundings, *, workers: int, rows: int, everywhere: bool) -> None:
        self.pods = around.pods
        self.cluster = around.pods.cluster
        self.images = around.images
        self.namespace = f"e2e-{uuid.uuid4().hex[:8]}"
        self.count = workers
        # Only where the cluster is ours: another operator may serve other namespaces of it.
        watch = [] if everywhere and self.pods.takes_archives else [self.namespace]
        self.operator = Installation(self.cluster, around.helm, f"{self.namespace}-ops", around.images, watch)
        self._postgres = around.postgres
        self._host = self.pods.reach.address if self.pods.reach and self._postgres.can_stop else self._postgres.host
        self._databases = Databases(self._postgres, self.namespace.replace("-", "_"))
        self._rows = invent(rows)

    @abstractmethod
    def objects(self) -> list[Object]:
        """The pool, and workers where it has none of its own."""

    @abstractmethod
    def remove_workers(self) -> None:
        """With the operator still there."""

    @property
    @abstractmethod
    def selector(self) -> str:
        """The label selector of the workers' pods."""

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

    @property
    def table(self) -> StreamsTable:
        return self._databases.table

    def kubectl(self, *args: str) -> str:
        return self.cluster.kubectl("-n", self.namespace, *args)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def list(self, kind: str, *args: str) -> list[Object]:
        found: list[Object] = json.loads(self.kubectl("get", kind, *args, "-o", "json"))["items"]
        return found

    def worker_pods(self) -> dict[str, Object]:
        return {pod["metadata"]["name"]: pod for pod in self.list("pods", "-l", self.selector)}

    def all_ready(self) -> bool:
        """By the operator's word, which is behind a pod's end by T at most."""
        pods = sum(is_ready(each) for each in self.worker_pods().values())
        return pods == sum(is_ready(each) for each in self.list("fingerworkers")) == self.count

    def uid(self, pod: str) -> str:
        found: str = self.get("pod", pod)["metadata"]["uid"]
        return found

    def is_new(self, pod: str, former_uid: str) -> bool:
        """Whether there is another pod of the name, and it is ready."""
        found = self.get("pod", pod)
        return found["metadata"]["uid"] != former_uid and is_ready(found)

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
        wanted = self.table.active_ids()
        self.wait_for(lambda: self.running().keys() == wanted, f"{len(wanted)} streams run", deadline_s=deadline_s)

    def judge(self, *, allowed_gap_s: float, since: datetime | None = None) -> Verdict:
        """Every stream is on exactly one worker now, and was on nobody for no longer than allowed."""
        self.wait_all_running()
        wanted = self.table.active_ids()
        verdict = checker.check(
            self._databases.journal_dsn, allowed_gap_s=allowed_gap_s, since=since, expected=wanted
        )
        print(f"longest gap {verdict.longest_gap_s:.3f} s, {verdict.intervals} intervals")
        assert verdict.ok, f"{json.dumps(verdict.as_dict(), indent=2)}\n{self.describe()}"
        return verdict

    def assert_no_overlap(self, since: datetime) -> None:
        """For times at which streams may be on nobody for as long as they like."""
        verdict = checker.check(self._databases.journal_dsn, allowed_gap_s=3600, since=since)
        assert not verdict.overlaps, json.dumps(verdict.as_dict(), indent=2)

    def assert_locked_up(self, pod: str) -> None:
        """Neither a container of the worker's nor the operator's may write to its image, is or becomes root, and none of
        the worker's but the sidecar can speak for it.
        """
        spec = self.get("pod", pod)["spec"]
        tokens = {each["name"] for each in spec["volumes"] if "projected" in each}
        holders = [
            each["name"]
            for each in (*spec["initContainers"], *spec["containers"])
            if tokens & {mount["name"] for mount in each["volumeMounts"]}
        ]
        assert holders == [spec["initContainers"][0]["name"]]
        for each in (*spec["initContainers"], *spec["containers"]):
            found = self.kubectl("exec", pod, "-c", each["name"], "--", "python3", "-c", _POWERS)
            assert found.split() == _NONE, each["name"]
        found = self.operator.kubectl("exec", self.operator.leading_pod(), "--", "python3", "-c", _POWERS)
        assert found.split() == _NONE, "the operator"

    def describe(self) -> str:
        """For a failure: objects, events, and the end of each log."""
        parts = []
        for namespace, args in (
            (self.namespace, ("get", "pods,fingerworkers,streampools,leases", "-o", "wide")),
            (self.namespace, ("get", "streampools", "-o", "jsonpath={.items[*].status.conditions}")),
            (self.namespace, ("get", "events", "--sort-by=.lastTimestamp")),
            (self.operator.namespace, ("get", "pods", "-o", "wide")),
            (self.operator.namespace, ("logs", "-l", OPERATORS, "--tail=30", "--prefix")),
            (self.namespace, ("logs", "-l", self.selector, "--all-containers", "--tail=10", "--prefix")),
        ):
            try:
                parts.append(f"$ kubectl {' '.join(args)}\n{self.cluster.kubectl('-n', namespace, *args)}")
            except CommandError as error:
                parts.append(str(error))
        return "\n".join(parts)

    # --- its life ------------------------------------------------------------------------------------------

    def remove(self) -> None:
        """Workers, pool, what they were, then the operator: nothing may hang on a finalizer."""
        if self.operator.crds():
            self.remove_workers()
            self.kubectl("delete", "streampools", "--all", "--timeout=120s")
            self.kubectl("delete", "fingerworkers", "--all", "--timeout=60s")
        self.operator.remove()
        self.cluster.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=120s")
        self._databases.drop()

    def _set_up(self) -> None:
        self._databases.create([])
        self.cluster.kubectl("create", "-f", "-", input=json.dumps(manifests.namespace(self.namespace)))
        self.operator.install()
        journal = {
            "dsn": self._postgres.dsn(
                f"{self.namespace.replace('-', '_')}_journal", host=self._host, ca_file="/etc/journal/ca.crt"
            ),
            "ca.crt": self._postgres.ca_file.read_text(encoding="ascii"),
        }
        database = self._databases.secret(self._host)["stringData"]
        secrets = [manifests.secret(DATABASE, database), manifests.secret(JOURNAL, journal)]
        apply(self.cluster, self.namespace, [*secrets, *self.objects()])
        self.wait_for(self.all_ready, "all workers have registered", deadline_s=180)
        # Only now: whoever comes first would get everything, and keep it until the balance is looked at.
        self.table.insert(self._rows)
        self.wait_all_running()


def is_ready(thing: Object) -> bool:
    conditions = thing.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
