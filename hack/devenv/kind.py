"""A cluster made with kind: what most people with a container engine already have."""

from __future__ import annotations

import os
import subprocess
import time

from devenv.discovery import Kind
from devenv.errors import StartupError
from devenv.homes import Home
from devenv.kubeconfig import Access, adopt
from devenv.progress import Progress, step

_WAIT = "180s"


def start_kind(home: Home, choice: Kind, progress: Progress) -> Access:
    """Make a cluster of its own for this home; `tear_down` of the home deletes it.

    Raises:
        StartupError: kind failed; with its own words.
    """
    # Recorded before it exists: a start that is killed half-way leaves containers too.
    home.record.kind_cluster = f"fingerv7-{home.path.name.removeprefix('fingerv7-devenv-')}".lower().replace("_", "-")
    home.record.kind_engine = choice.engine
    home.save()
    kubeconfig = home.path / "kind.kubeconfig"
    log = home.path / "kind.log"
    argv = ["kind", "create", "cluster", "--name", home.record.kind_cluster, "--kubeconfig", str(kubeconfig)]
    with (
        log.open("wb") as output,
        step(progress, f"kind create cluster, on {choice.engine}") as tick,
        subprocess.Popen(
            [*argv, "--wait", _WAIT],
            env={**os.environ, "KIND_EXPERIMENTAL_PROVIDER": choice.engine},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        while process.poll() is None:
            tick()
            time.sleep(1.0)
    if process.returncode != 0:
        raise StartupError("kind", f"failed with exit code {process.returncode}", log)
    access = adopt(kubeconfig.read_text(encoding="utf-8"), home.path)
    home.record.server = access.server
    home.save()
    return access
