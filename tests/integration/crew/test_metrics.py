"""What Prometheus is told of a fleet."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from devenv.ports import ReservedPort

from .conftest import OPERATOR, Crew, StartCrew, template
from .node import BAD_IMAGE

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240, func_only=True)]

Metric = Callable[..., float | None]


def metrics_of(port: int) -> Metric:
    """`metric("pods_created_total", reason="Rollout")`: of the one pool, None where there is none."""

    def metric(name: str, **labels: str) -> float | None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        wanted = "".join(f'(?=[^}}]*{key}="{value}")' for key, value in labels.items())
        found = re.search(rf"^fingerv7_pool_{name}{{{wanted}[^}}]*}} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else None

    return metric


def await_figures(crew: Crew, metric: Metric, **wanted: float | None) -> None:
    crew.wait(lambda: {name: metric(name) for name in wanted} == wanted, f"/metrics says {wanted}")


@pytest.fixture
def port() -> Iterator[int]:
    reserved = ReservedPort()
    yield reserved.number
    reserved.release()


@pytest.mark.long
def test_a_fleet_from_its_first_pod_to_its_end(start_crew: StartCrew, port: int) -> None:
    operator = {**OPERATOR, "FINGERV7_LISTEN": f"127.0.0.1:{port}"}
    crew = start_crew(replicas=2, operator=operator, rows=20, rollout={"progressTimeout": "5s"})
    metric = metrics_of(port)
    crew.await_settled(2)
    full = {f"{key}replicas": 2.0 for key in ("", "desired_", "ready_", "updated_")}
    await_figures(crew, metric, **full, rollout_stopped=0.0, needed_replicas=None)
    assert metric("condition", type="WorkersReady") == 1
    assert metric("pods_created_total", reason="NewWorker") == 2

    crew.patch(template=template(BAD_IMAGE))
    await_figures(crew, metric, rollout_stopped=1.0, updated_replicas=1.0, ready_replicas=1.0)
    for name in ("pods_created_total", "pods_deleted_total"):
        assert metric(name, reason="Rollout") == 1
    crew.await_condition("RolloutStopped", BAD_IMAGE)
    crew.wait(lambda: metric("condition", type="WorkersReady") == 0, "the condition is shown")

    auto = {"minReplicas": 1, "maxReplicas": 3, "targetLoadPercent": 80, "stabilizationWindow": "1h"}
    crew.patch(template=template("fingerv7:2"), autoscaling=auto)
    await_figures(crew, metric, needed_replicas=1.0, desired_replicas=2.0, rollout_stopped=0.0)

    crew.fleet.patch_pool({"workers": None})
    crew.wait(lambda: crew.names() == [], "the fleet is removed")
    await_figures(crew, metric, **dict.fromkeys(full), rollout_stopped=None, needed_replicas=None)
    crew.wait(lambda: metric("condition", type="WorkersReady") is None, "nor is there a condition of it")
    assert metric("pods_deleted_total", reason="ScaleDown")
