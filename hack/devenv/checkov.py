"""Checkov, which looks for what is unsafe in rendered manifests: installed outside the repository, by itself."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from devenv.errors import StartupError
from devenv.progress import Progress, step
from devenv.surroundings import Surroundings

_REQUIREMENTS: Final = Path(__file__).resolve().parents[1] / "checkov" / "requirements.txt"


def find_checkov(around: Surroundings, progress: Progress) -> Path:
    """The command, which takes a minute to install once for each lock file. Raises StartupError."""
    key = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = around.cache_folder / "checkov" / f"{key}-py{sys.version_info[0]}.{sys.version_info[1]}"
    command = folder / "bin" / "checkov"
    if (folder / "complete").is_file():
        return command
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder / "install.log"
    pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes")
    with step(progress, "installing Checkov (only this once)"), log.open("wb") as output:
        for argv in ((sys.executable, "-m", "venv", str(folder)), (*pip, "--requirement", str(_REQUIREMENTS))):
            done = subprocess.run(argv, stdout=output, stderr=output, check=False)
            if done.returncode != 0:
                raise StartupError("the installation of Checkov", f"failed with exit code {done.returncode}", log)
    (folder / "complete").touch()
    return command
