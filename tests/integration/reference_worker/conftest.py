from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devenv.postgres import Postgres
from reference_worker import journal


@pytest.fixture(autouse=True)
def importable_in_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(journal.__file__).parents[1]))


@pytest.fixture
async def journal_dsn(postgres: Postgres) -> str:
    """A fresh database with the journal's schema."""
    name = f"journal_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    dsn = postgres.dsn(name)
    await journal.install(dsn)
    return dsn


@pytest.fixture
async def database(journal_dsn: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    async with journal.connected(journal_dsn) as connection:
        yield connection
