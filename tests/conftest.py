"""The real things at the edges, started once per session: an API server with the CRDs, and a PostgreSQL.

When either cannot be started, the tests that need it fail and say what is missing: a skipped test proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from devenv.cluster import Cluster, start_cluster
from devenv.errors import CommandError
from devenv.postgres import Postgres, start_postgres

HERE = Path(__file__).parent
REAL = (HERE / "integration", HERE / "faults")
"""Where tests need them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test's deadline is for the test: a first start of the cluster may compile Kubernetes for minutes."""
    for item in items:
        if any(folder in item.path.parents for folder in REAL) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(func_only=True))


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster with both CRDs established and served."""
    with _uncaptured(request):
        running = start_cluster(name="test")
    with running:
        running.kubectl("apply", "--server-side", "-f", str(HERE.parent / "crds"))
        for plural in ("streampools", "fingerworkers"):
            _wait_until_served(running, plural)
        yield running


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A PostgreSQL server over verified TLS."""
    with _uncaptured(request):
        server = start_postgres()
    with server:
        yield server


def _uncaptured(request: pytest.FixtureRequest) -> AbstractContextManager[None]:
    """Let the progress of a long start be seen."""
    manager = request.config.pluginmanager.getplugin("capturemanager")
    return manager.global_and_fixture_disabled() if manager else nullcontext()


def _wait_until_served(cluster: Cluster, plural: str) -> None:
    """It answers for a kind a moment before it explains it. `kubectl wait` would fail before there are conditions."""
    deadline = time.monotonic() + 30
    while True:
        try:
            cluster.kubectl("get", f"{plural}.fingerv7.io", "-A")
            cluster.kubectl("explain", f"{plural}.spec")
        except CommandError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
