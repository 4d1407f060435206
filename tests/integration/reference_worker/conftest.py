from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from devenv.postgres import Postgres, start_postgres
from reference_worker import journal


@pytest.fixture(scope="session")
def journal_server() -> Iterator[Postgres]:
    with start_postgres() as postgres:
        yield postgres


@pytest.fixture
async def journal_dsn(journal_server: Postgres) -> str:
    """A fresh database with the journal's schema."""
    name = f"journal_{uuid.uuid4().hex[:12]}"
    journal_server.create_database(name)
    dsn = journal_server.dsn(name)
    await journal.install(dsn)
    return dsn


@pytest.fixture
async def database(journal_dsn: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    async with journal.connected(journal_dsn) as connection:
        yield connection
