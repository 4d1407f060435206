"""kubectl: the one on PATH, or else envtest's, or else built like the rest."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from devenv import gobuild
from devenv.discovery import ASSETS_VARIABLE
from devenv.errors import CommandError
from devenv.progress import Progress
from devenv.surroundings import Surroundings


def find_kubectl(around: Surroundings, progress: Progress) -> Path:
    if found := around.which("kubectl"):
        return Path(found)
    if (assets := around.env.get(ASSETS_VARIABLE)) and (Path(assets) / "kubectl").is_file():
        return Path(assets) / "kubectl"
    return gobuild.build(["kubectl"], around, progress)["kubectl"]


def run_kubectl(
    kubectl: Path, *args: str, env: Mapping[str, str], stdin: str | None = None, check: bool = True
) -> str:
    """What it printed.

    Raises:
        CommandError: it failed, and `check` asks for that.
    """
    done = subprocess.run(
        [kubectl, *args],
        # Never the terminal's: a kubectl that asks a question would wait for ever.
        input=stdin or "",
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode != 0:
        raise CommandError(["kubectl", *args], done.returncode, done.stderr)
    return done.stdout
