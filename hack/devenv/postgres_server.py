"""A PostgreSQL server of our own: TLS, passwords by SCRAM, a random port on the loopback, nothing synced to disk."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devenv import tls_front
from devenv.certificates import ServingCertificate, make_certificate
from devenv.daemons import Command, wait_ready
from devenv.errors import DevenvError
from devenv.homes import Home
from devenv.ports import LOOPBACK
from devenv.postgres_binaries import ServerBinaries, copy_for_everybody, may_enter
from devenv.private_files import write_private
from devenv.progress import Progress

_READY_S = 60.0
_SUPERUSER = "postgres"
# The socket's name holds a port number even where no port is used.
_SOCKET_PORT = 5432
# Only TLS over TCP, only passwords; the socket is for the TLS front and passwords hold there too.
_ACCESS_RULES = "hostssl all all 127.0.0.1/32 scram-sha-256\nlocal all all scram-sha-256\n"
_MORE_ACCESS = "hostssl all all {clients} scram-sha-256\n"
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_memory_type": "mmap",
    "dynamic_shared_memory_type": "mmap",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


@dataclass(frozen=True, kw_only=True)
class Reach:
    """From where else than the loopback clients come: the address to listen on, and theirs."""

    address: str
    clients: str


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where the server lives; `needs_front` when this build of PostgreSQL speaks no TLS."""

    binaries: ServerBinaries
    data: Path
    certificate: ServingCertificate
    needs_front: bool


class PostgresServer:
    """The process, or two with the TLS front, of one home; `initialise`, then `start`."""

    def __init__(self, home: Home, binaries: ServerBinaries, password: str, reach: Reach | None = None) -> None:
        self._home = home
        self._addresses = (LOOPBACK,) if reach is None else (LOOPBACK, reach.address)
        self._layout = _initialise(home, binaries, password, reach)
        self.port = home.reserve_port()
        self.user = _SUPERUSER
        self.ca_file = self._layout.certificate.ca

    def start(self, ready: Callable[[], bool], progress: Progress) -> None:
        layout = self._layout
        daemon = self._home.launch(
            server_command(layout.binaries, layout.data, layout.certificate, self._listen_port(), self._addresses)
        )
        if layout.needs_front:
            self._home.launch(_front_command(layout.data, layout.certificate, self.port, self._addresses))
        wait_ready(daemon, ready, timeout_s=_READY_S, progress=progress)

    def stop(self) -> None:
        self._home.stop_processes("postgres", "postgres-tls")

    def _listen_port(self) -> int | None:
        return None if self._layout.needs_front else self.port


def server_command(
    binaries: ServerBinaries,
    data: Path,
    certificate: ServingCertificate,
    port: int | None,
    addresses: tuple[str, ...] = (LOOPBACK,),
) -> Command:
    """The server on TCP with TLS, or with no port on its unix socket only (in its data folder)."""
    network = (
        {"listen_addresses": "", "port": str(_SOCKET_PORT)}
        if port is None
        else {
            "listen_addresses": ",".join(addresses),
            "port": str(port),
            "ssl": "on",
            "ssl_cert_file": str(certificate.certificate),
            "ssl_key_file": str(certificate.key),
        }
    )
    settings = {**_SETTINGS, **network, "unix_socket_directories": "." if port is None else ""}
    options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    return Command(
        name="postgres",
        argv=(str(binaries.folder / "postgres"), "-D", str(data), *options),
        folder=data.parent,
        # "Fast": clients are thrown out, unlike at SIGTERM, which waits for them.
        stop_signal=signal.SIGINT,
        user=binaries.user,
        port=port,
    )


def _front_command(data: Path, certificate: ServingCertificate, port: int, addresses: tuple[str, ...]) -> Command:
    argv = (
        *(sys.executable, "-I", "-S", tls_front.__file__, "--port", str(port), "--address", *addresses),
        *("--certificate", str(certificate.certificate), "--key", str(certificate.key)),
        *("--socket", str(data / f".s.PGSQL.{_SOCKET_PORT}")),
    )
    return Command(name="postgres-tls", argv=argv, folder=data.parent, port=port)


def _initialise(home: Home, binaries: ServerBinaries, password: str, reach: Reach | None) -> _Layout:
    user_id = None if binaries.user is None else pwd.getpwnam(binaries.user).pw_uid
    if user_id is None:
        folder = home.path / "postgres"
        folder.mkdir()
    else:
        # Homes are closed to others, and so is /root above them. Everything secret in here has a mode of its own.
        folder = Path(tempfile.mkdtemp(prefix="fingerv7-postgres-", dir="/var/tmp"))
        home.add_folder(folder)
        folder.chmod(0o711)
        if not may_enter(binaries.folder.resolve()):
            binaries = copy_for_everybody(binaries, folder)
    data = folder / "data"
    data.mkdir(mode=0o700)
    password_file = write_private(folder / "password", password, user_id=user_id)
    certificate = make_certificate(folder, names=() if reach is None else (reach.address,), user_id=user_id)
    if user_id is not None:
        os.chown(data, user_id, -1)
    access = ("--auth=scram-sha-256", f"--username={_SUPERUSER}", f"--pwfile={password_file}")
    _run_as(binaries, "initdb", "-D", str(data), "--no-sync", "--encoding=UTF8", "--locale=C", *access)
    password_file.unlink()
    more = "" if reach is None else _MORE_ACCESS.format(clients=reach.clients)
    (data / "pg_hba.conf").write_text(_ACCESS_RULES + more, encoding="ascii")
    answer = _run_as(binaries, "postgres", "-D", str(data), "-c", "ssl=on", "-C", "ssl", check=False)
    return _Layout(binaries=binaries, data=data, certificate=certificate, needs_front=answer.strip() != "on")


def _run_as(binaries: ServerBinaries, program: str, *args: str, check: bool = True) -> str:
    try:
        done = subprocess.run(
            [binaries.folder / program, *args],
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            user=binaries.user,
            group=None if binaries.user is None else pwd.getpwnam(binaries.user).pw_gid,
            extra_groups=None if binaries.user is None else [],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except PermissionError as error:
        raise DevenvError(f"{binaries.user or 'we'} may not run {binaries.folder / program}: {error}") from error
    if check and done.returncode != 0:
        raise DevenvError(f"{program} failed with exit code {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout
