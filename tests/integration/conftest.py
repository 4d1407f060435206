"""Every test has a namespace and, where it asks for one, a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from devenv.cluster import Cluster
from devenv.postgres import Postgres

SLOWEST = Path(__file__).parent / "system"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "long: what it tries is slow; `make long` and .ci/run run it, `make test` does not"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files first, so that processes which share the tests end at the same time."""
    items.sort(key=lambda item: SLOWEST not in item.path.parents)


@dataclass(frozen=True)
class Database:
    """An empty database for one test."""

    name: str
    dsn: str
    server: Postgres


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """The name of a fresh namespace; it is deleted in the background."""
    name = f"test-{uuid4().hex[:10]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """A fresh, empty database."""
    name = f"test_{uuid4().hex[:10]}"
    postgres.create_database(name)
    yield Database(name, postgres.dsn(name), postgres)
    if postgres.answers():
        postgres.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
