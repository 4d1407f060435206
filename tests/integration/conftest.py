"""Every test has a namespace and, where it asks for one, a database of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from devenv.cluster import Cluster
from devenv.fleet_api import Api, ApiError
from devenv.fleet_setup import administrator
from devenv.postgres import Postgres

SLOWEST = ("system", "sidecar")
"""Folders."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "long: what it tries is slow; `make long` and .ci/run run it, `make test` does not"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files first, so that processes which share the tests end at the same time."""
    items.sort(key=lambda item: item.path.parent.name not in SLOWEST)


@dataclass(frozen=True)
class Database:
    """An empty database for one test."""

    name: str
    dsn: str
    server: Postgres


@pytest.fixture(scope="session")
def requests(cluster: Cluster) -> Iterator[Api]:
    """Requests with all rights, without the cost of a kubectl for each."""
    with contextlib.closing(administrator(cluster)) as api:
        yield api


@pytest.fixture
def namespace(requests: Api) -> Iterator[str]:
    """The name of a fresh namespace; it is deleted in the background."""
    name = f"test-{uuid4().hex[:10]}"
    requests.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    with contextlib.suppress(OSError, ApiError):
        requests.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """A fresh, empty database."""
    name = f"test_{uuid4().hex[:10]}"
    postgres.create_database(name)
    yield Database(name, postgres.dsn(name), postgres)
    if postgres.answers():
        postgres.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
