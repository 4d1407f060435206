"""Fleets that the operator runs itself, on an API server whose kubelet the tests play."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devenv.cluster import Cluster
from devenv.fleet import Fleet
from devenv.fleet_api import Object, core, fingerv7, rbac
from devenv.postgres import Postgres

from .node import Node

SOON_S = 60.0
LIVENESS = {"takeoverAfter": "20s", "stopTime": "6s", "renewInterval": "1s", "requestTimeout": "1s"}
OPERATOR = {"FINGERV7_SIDECAR_IMAGE": "sidecar:test"}


def template(image: str = "fingerv7:1", **spec: Any) -> Object:
    return {"spec": {"containers": [{"name": "fingerv7", "image": image, "command": ["fingerv7"]}], **spec}}


class Crew:
    """A pool with managed workers, and what one sees of it."""

    def __init__(self, fleet: Fleet, node: Node) -> None:
        self.fleet = fleet
        self.node = node
        self.api = fleet.api
        self.namespace = fleet.namespace

    # --- what is there ------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        return [worker["metadata"]["name"] for worker in self.fleet.finger_workers()]

    def pods(self) -> dict[str, Object]:
        return {pod["metadata"]["name"]: pod for pod in self.api.items(core(self.namespace, "pods"))}

    def uids(self) -> dict[str, str]:
        return {name: pod["metadata"]["uid"] for name, pod in self.pods().items()}

    def status(self) -> Object:
        found: Object = self.fleet.stream_pool()["status"]
        return found

    def condition(self) -> tuple[str, str]:
        """Reason and message of WorkersReady."""
        for each in self.status()["conditions"]:
            if each["type"] == "WorkersReady":
                return each["reason"], each["message"]
        return "", ""

    def events(self, reason: str) -> list[str]:
        return [
            event["message"]
            for event in self.api.items(core(self.namespace, "events"))
            if event["reason"] == reason and event["involvedObject"]["kind"] == "StreamPool"
        ]

    # --- what is done and waited for ----------------------------------------------------------------------

    def patch(self, **workers: Any) -> None:
        self.fleet.patch_pool({"workers": workers})

    def scale(self, replicas: int) -> None:
        self.fleet.cluster.kubectl(
            *("-n", self.namespace, "scale", f"streampool/{self.fleet.pool}", f"--replicas={replicas}")
        )

    def wait(self, condition: Callable[[], Any], description: str, deadline_s: float = SOON_S) -> Any:
        try:
            return self.fleet.wait_for(condition, deadline_s, description)
        except AssertionError as error:
            raise AssertionError(
                f"{error}\nWorkersReady: {self.condition()}\n{self.names()}\n{self.uids()}"
            ) from None

    def await_condition(self, reason: str, *words: str) -> str:
        def said() -> str:
            found, message = self.condition()
            return message if found == reason and all(word in message for word in words) else ""

        message: str = self.wait(said, f"WorkersReady says {reason} {words}")
        return message

    def await_settled(self, replicas: int) -> None:
        """All in service, all up to date, and every stream processed."""

        def settled() -> bool:
            status = self.status()
            figures = [status.get(f"{key}Replicas") for key in ("desired", "ready", "updated")]
            return self.condition()[0] == "AsWanted" and figures == [replicas] * 3

        self.wait(settled, f"{replicas} workers as wanted")

    def of_worker(self, name: str) -> list[str]:
        """What there is under a worker's name."""
        paths = {
            "FingerWorker": fingerv7(self.namespace, "fingerworkers", name),
            "Pod": core(self.namespace, "pods", name),
            "ServiceAccount": core(self.namespace, "serviceaccounts", name),
            "Role": rbac(self.namespace, "roles", name),
            "RoleBinding": rbac(self.namespace, "rolebindings", name),
            "Lease": f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/{name}",
        }
        return [kind for kind, path in paths.items() if self.api.find(path)]

    def budget(self) -> Object | None:
        path = f"/apis/policy/v1/namespaces/{self.namespace}/poddisruptionbudgets/{self.fleet.pool}-workers"
        return self.api.find(path)


StartCrew = Callable[..., Crew]


@contextlib.contextmanager
def _starter(cluster: Cluster, postgres: Postgres, folders: pytest.TempPathFactory) -> Iterator[StartCrew]:
    with contextlib.ExitStack() as stack:

        def start(
            *,
            hollow: bool = False,
            rows: int = 40,
            before: Callable[[Fleet], None] = lambda _: None,
            operator: dict[str, str] | None = None,
            **workers: Any,
        ) -> Crew:
            spec = {
                "workers": {"template": template(), "defaults": {"maxStreams": 30}, **workers},
                "statusRefreshInterval": "500ms",
                "drainTimeout": "15s",
                "balancing": {"cooldown": "1s", "maxMovesPerRoundPercent": 100},
            }
            fleet = stack.enter_context(
                Fleet(
                    cluster,
                    postgres,
                    rows=rows,
                    liveness=LIVENESS,
                    pool_spec=spec,
                    operator_environment=OPERATOR if operator is None else operator,
                    folder=folders.mktemp("crew"),
                )
            )
            before(fleet)
            node = stack.enter_context(Node(fleet, hollow=hollow))
            fleet.start_operator()
            return Crew(fleet, node)

        yield start


@pytest.fixture
def start_crew(cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartCrew]:
    """Start an operator and a pool with `spec.workers`; `hollow` pods are said to run and do nothing."""
    with _starter(cluster, postgres, tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="module")
def start_shared_crew(
    cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartCrew]:
    with _starter(cluster, postgres, tmp_path_factory) as start:
        yield start
