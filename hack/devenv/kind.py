"""A cluster made with kind: what most people with a container engine already have."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from devenv.errors import CommandError, StartupError
from devenv.progress import Progress, step

_WAIT = "180s"


def create_kind(*, name: str, engine: str, kubeconfig: Path, log: Path, progress: Progress) -> None:
    """Make a cluster on this engine (`docker` or `podman`) and write its kubeconfig.

    Raises:
        StartupError: kind failed; with its own words.
    """
    argv = ["kind", "create", "cluster", "--name", name, "--kubeconfig", str(kubeconfig), "--wait", _WAIT]
    with (
        log.open("wb") as output,
        step(progress, f"kind create cluster, on {engine}") as tick,
        subprocess.Popen(
            argv, env=_environment(engine), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        while process.poll() is None:
            tick()
            time.sleep(0.5)
        if process.returncode != 0:
            raise StartupError("kind", f"failed with exit code {process.returncode}", log)


def delete_kind(*, name: str, engine: str) -> None:
    """Delete it; one that is not there is no error.

    Raises:
        CommandError: kind failed or is gone, and its containers may still run.
    """
    argv = ["kind", "delete", "cluster", "--name", name]
    try:
        done = subprocess.run(argv, env=_environment(engine), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CommandError(argv, 127, "kind is not on PATH any more; put it back and try again") from None
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr)


def load_into_kind(archive: Path, *, name: str, engine: str) -> None:
    """Put the images of an archive on every node.

    Raises:
        CommandError: kind failed.
    """
    argv = ["kind", "load", "image-archive", str(archive), "--name", name]
    done = subprocess.run(argv, env=_environment(engine), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr)


def gateway_of_kind(engine: str) -> str:
    """The machine's own IPv4 address on the network that kind's nodes are in.

    Raises:
        CommandError: the engine does not say.
    """
    argv = [engine, "network", "inspect", "kind"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    # Docker and podman call the same thing Gateway and gateway.
    found = re.findall(r'"gateway":\s*"([0-9.]+)"', done.stdout, re.IGNORECASE)
    if done.returncode != 0 or not found:
        raise CommandError(argv, done.returncode, done.stderr or "no IPv4 gateway in its answer")
    return str(found[0])


def _environment(engine: str) -> dict[str, str]:
    return {**os.environ, "KIND_EXPERIMENTAL_PROVIDER": engine}
