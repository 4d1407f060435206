"""A PostgreSQL to work against, always over verified TLS: one the user named, or a server of our own."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

import asyncpg

from devenv.errors import DevenvError
from devenv.homes import Home, owned_home, reap_abandoned
from devenv.ports import LOOPBACK
from devenv.postgres_binaries import find_binaries
from devenv.postgres_server import PostgresServer, Reach
from devenv.progress import Progress, no_progress, print_progress
from devenv.surroundings import Surroundings, here
from reference_worker.blocking import run_blocking

DSN_VARIABLE = "FINGERV7_POSTGRES_DSN"
_DEFAULT_PORT = 5432
_CONNECT_S = 5.0


class Postgres:
    """A running server, stopped at the end of the `with` block; after `stop`, `start` brings port and data back."""

    def __init__(
        self,
        home: Home,
        *,
        host: str,
        port: int,
        user: str,
        password: str,
        ca_file: Path,
        server: PostgresServer | None,
    ) -> None:
        self.host = host
        self.port = port
        self.user = user
        self.password = password
        self.ca_file = ca_file
        self._home = home
        self._server = server

    @property
    def can_stop(self) -> bool:
        """Whether the server is a process of ours, so that fault tests can stop it."""
        return self._server is not None

    def dsn(
        self,
        database: str = "postgres",
        user: str | None = None,
        password: str | None = None,
        *,
        host: str | None = None,
        ca_file: str | None = None,
    ) -> str:
        """A URL that asyncpg and libpq understand, with verify-full; the superuser's unless told otherwise.

        `host` and `ca_file` are for those who see server and file elsewhere, as pods do.
        """
        if user is None:
            user, password = self.user, self.password
        secret = f":{quote(password, safe='')}" if password else ""
        return (
            f"postgresql://{quote(user, safe='')}{secret}@{host or self.host}:{self.port}/{quote(database, safe='')}"
            f"?sslmode=verify-full&sslrootcert={quote(ca_file or str(self.ca_file))}"
        )

    def create_database(self, name: str) -> None:
        self.execute('CREATE DATABASE "{}"'.format(name.replace('"', '""')))

    def execute(self, sql: str, *, database: str = "postgres") -> None:
        """Run statements as the superuser, from threads with and without an event loop."""
        run_blocking(_execute(self.dsn(database), sql))

    def stop(self) -> None:
        """Stop the server, as an outage; clients are thrown out, data and port stay."""
        self._own_server().stop()

    def start(self) -> None:
        """Start it again; returns when it accepts connections."""
        self._own_server().start(self.answers, no_progress)

    def close(self) -> None:
        """Stop it for good and remove its data."""
        self._home.tear_down()

    def answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError):
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _own_server(self) -> PostgresServer:
        if self._server is None:
            raise DevenvError(
                f"the server at {self.host}:{self.port} is yours, not ours to stop; unset {DSN_VARIABLE}"
            )
        return self._server


def start_postgres(*, progress: Progress = print_progress, reach: Reach | None = None) -> Postgres:
    """Start a server that ends with this process, however this process ends; `reach` lets pods in too.

    Raises:
        MissingRequirementsError: this machine lacks one; the text says how to get it.
        StartupError: the server did not become ready; with the end of its log.
    """
    reap_abandoned()
    return start_postgres_in(owned_home("postgres"), here(), progress, reach)


def start_postgres_in(home: Home, around: Surroundings, progress: Progress, reach: Reach | None = None) -> Postgres:
    """Start a server in a home, which is torn down when that fails."""
    try:
        if dsn := around.env.get(DSN_VARIABLE):
            return _named(home, dsn)
        password = secrets.token_hex(16)
        server = PostgresServer(home, find_binaries(around), password, reach)
        postgres = Postgres(
            home,
            host=LOOPBACK,
            port=server.port,
            user=server.user,
            password=password,
            ca_file=server.ca_file,
            server=server,
        )
        server.start(postgres.answers, progress)
    except BaseException:
        home.tear_down()
        raise
    return postgres


def _named(home: Home, dsn: str) -> Postgres:
    """The server that the user named; its DSN has to ask for the verification that is tested here."""
    url = urlsplit(dsn)
    query = {key: values[-1] for key, values in parse_qs(url.query).items()}
    ca_file = Path(query.get("sslrootcert", ""))
    if url.hostname is None or query.get("sslmode") != "verify-full" or not ca_file.is_file():
        # Without the DSN itself: it holds the password.
        raise DevenvError(
            f"{DSN_VARIABLE} must look like postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
            "?sslmode=verify-full&sslrootcert=FILE, where FILE exists: everything here verifies certificates"
        )
    return Postgres(
        home,
        host=url.hostname,
        port=url.port or _DEFAULT_PORT,
        user=unquote(url.username or "postgres"),
        password=unquote(url.password or ""),
        ca_file=ca_file,
        server=None,
    )


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=_CONNECT_S)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
