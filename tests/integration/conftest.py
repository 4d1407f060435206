"""The real things at the edges, started once per session: an API server with the CRDs, and a PostgreSQL.

Every test has a namespace and, where it asks for one, a database of its own. When either cannot be started, the
tests fail and say what is missing: a skipped integration test proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from devenv.cluster import Cluster, start_cluster
from devenv.errors import CommandError
from devenv.postgres import Postgres, start_postgres

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Database:
    """An empty database for one test."""

    name: str
    dsn: str
    server: Postgres


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test's deadline is for the test: a first start of the cluster may compile Kubernetes for minutes."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(func_only=True))


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster with both CRDs established and served."""
    with _uncaptured(request):
        running = start_cluster(name="test")
    with running:
        running.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        for plural in ("streampools", "fingerworkers"):
            running.kubectl("wait", "--for=condition=Established", f"crd/{plural}.fingerv7.io", "--timeout=60s")
            _wait_until_served(running, plural)
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """The name of a fresh namespace; it is deleted in the background."""
    name = f"test-{uuid4().hex[:10]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A PostgreSQL server over verified TLS."""
    with _uncaptured(request):
        server = start_postgres()
    with server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """A fresh, empty database."""
    name = f"test_{uuid4().hex[:10]}"
    postgres.create_database(name)
    yield Database(name, postgres.dsn(name), postgres)
    if postgres.answers():
        postgres.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _uncaptured(request: pytest.FixtureRequest) -> AbstractContextManager[None]:
    """Let the progress of a long start be seen."""
    manager = request.config.pluginmanager.getplugin("capturemanager")
    return manager.global_and_fixture_disabled() if manager else nullcontext()


def _wait_until_served(cluster: Cluster, plural: str) -> None:
    """Established comes a moment before the API server answers for the kind, and that before it explains it."""
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
