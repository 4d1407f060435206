"""What this process finds around itself, as a value: so that every choice made from it can be tested.

Also the places outside the repository where things are kept.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_ENGINE_ANSWER_S = 10


def _engine_answers(binary: str) -> bool:
    """Whether a container engine stands behind the client: the client alone is often installed without one."""
    try:
        done = subprocess.run([binary, "info"], capture_output=True, check=False, timeout=_ENGINE_ANSWER_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The environment variables, the programs on PATH and the engines that answer."""

    env: Mapping[str, str]
    which: Callable[[str], str | None] = shutil.which
    engine_answers: Callable[[str], bool] = _engine_answers
    system: str = platform.system()
    machine: str = platform.machine()

    @property
    def cache_folder(self) -> Path:
        return self._xdg("XDG_CACHE_HOME", ".cache")

    @property
    def state_folder(self) -> Path:
        return self._xdg("XDG_STATE_HOME", ".local/state")

    def _xdg(self, variable: str, fallback: str) -> Path:
        # The XDG specification says that relative paths are to be ignored.
        given = Path(self.env.get(variable, ""))
        base = given if given.is_absolute() else Path(self.env.get("HOME") or Path.home()) / fallback
        return base / "fingerv7"


def here() -> Surroundings:
    return Surroundings(env=os.environ)
