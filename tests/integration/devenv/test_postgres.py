"""PostgreSQL over verified TLS, with outages, whichever server programs this machine has."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import trustme

from devenv import postgres_binaries
from devenv.homes import owned_home
from devenv.postgres import Postgres, start_postgres, start_postgres_in
from devenv.postgres_binaries import find_binaries
from devenv.processes import is_alive
from devenv.progress import no_progress
from devenv.surroundings import Surroundings, here
from reference_worker.blocking import hung_up

pytestmark = pytest.mark.integration

# Passes everything on, except that it says that it was built without TLS.
WITHOUT_TLS = """#!/bin/sh
case "$*" in *"-C ssl"*) echo off; exit 0;; esac
exec {real}/{name} "$@"
"""


@pytest.fixture(scope="module")
def own() -> Iterator[Postgres]:
    with start_postgres() as postgres:
        if not postgres.can_stop:
            pytest.skip("these are about a server of our own; FINGERV7_POSTGRES_DSN names another")
        yield postgres


@pytest.fixture(scope="module")
def behind_front(own: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server without TLS of its own, as in the PyPI wheel, started from a folder that only we can enter."""
    folder = tmp_path_factory.mktemp("install") / "bin"
    folder.mkdir()
    real = find_binaries(here()).folder
    for name in ("postgres", "initdb"):
        (folder / name).write_text(WITHOUT_TLS.format(real=real, name=name))
        (folder / name).chmod(0o755)
    around = Surroundings(env={}, which=lambda name: str(folder / name) if name == "initdb" else None)
    with start_postgres_in(owned_home("postgres"), around, no_progress) as postgres:
        yield postgres


@pytest.fixture(params=["own", "behind_front"])
def postgres(request: pytest.FixtureRequest) -> Postgres:
    found: Postgres = request.getfixturevalue(request.param)
    return found


async def fetch(dsn: str, sql: str) -> object:
    async with hung_up():
        connection = await asyncpg.connect(dsn, timeout=10)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_verify_full_passes_for_address_and_name(postgres: Postgres, host: str) -> None:
    assert "sslmode=verify-full" in postgres.dsn()
    assert await fetch(postgres.dsn().replace("@127.0.0.1:", f"@{host}:"), "SELECT 1") == 1


async def test_the_server_itself_says_that_the_connection_is_encrypted(own: Postgres) -> None:
    assert await fetch(own.dsn(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") is True


async def test_another_authority_is_refused(postgres: Postgres, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(trustme.CA().cert_pem.bytes())
    with pytest.raises(ssl.SSLCertVerificationError):
        await fetch(postgres.dsn().replace(str(postgres.ca_file), str(other)), "SELECT 1")


async def test_plain_text_is_refused(postgres: Postgres) -> None:
    plain = postgres.dsn().split("?")[0] + "?sslmode=disable"
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await fetch(plain, "SELECT 1")


async def test_a_wrong_password_is_refused(postgres: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await fetch(postgres.dsn(user="postgres", password="wrong"), "SELECT 1")


async def test_another_role_logs_in_with_its_own_password(postgres: Postgres) -> None:
    postgres.execute("CREATE ROLE reader LOGIN PASSWORD 's p/a:c@e'")
    assert await fetch(postgres.dsn(user="reader", password="s p/a:c@e"), "SELECT current_user") == "reader"


async def test_data_and_port_survive_an_outage(postgres: Postgres) -> None:
    postgres.create_database('odd "name"')
    postgres.execute("CREATE TABLE kept AS SELECT 42 AS answer", database='odd "name"')
    held = await asyncpg.connect(postgres.dsn(), timeout=10)
    postgres.stop()
    with pytest.raises(
        (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.InterfaceError, OSError)
    ):
        await held.fetchval("SELECT 1")
    held.terminate()
    with pytest.raises(ConnectionRefusedError):
        await fetch(postgres.dsn(), "SELECT 1")
    postgres.start()
    assert await fetch(postgres.dsn('odd "name"'), "SELECT answer FROM kept") == 42


async def test_large_answers_and_notifications_pass(postgres: Postgres) -> None:
    assert await fetch(postgres.dsn(), "SELECT length(repeat('x', 20000000))") == 20_000_000
    text = await fetch(postgres.dsn(), "SELECT repeat('x', 20000000)")
    assert isinstance(text, str)
    assert len(text) == 20_000_000


def test_nothing_stays_behind() -> None:
    with start_postgres(progress=no_progress) as postgres:
        record = postgres._home.record
        folders = [postgres._home.path, *map(Path, record.folders)]
    assert not any(is_alive(each) for each in record.components)
    assert not any(folder.exists() for folder in folders)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another user")
def test_a_server_that_its_user_could_not_reach_is_copied(tmp_path: Path) -> None:
    closed = tmp_path / "install" / "bin"
    closed.mkdir(parents=True)
    (closed / "postgres").write_text("it")
    binaries = postgres_binaries.ServerBinaries(folder=closed, user="postgres")
    assert not postgres_binaries.may_enter(closed)
    copied = postgres_binaries.copy_for_everybody(binaries, tmp_path / "open")
    assert (copied.folder / "postgres").read_text() == "it"
    shutil.rmtree(tmp_path / "open")
