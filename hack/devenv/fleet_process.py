"""One process of a fleet: started again and again under one name, signalled by pid, its log appended to one file.

All are started by one thread that lives as long as this process, because the kernel ends them with the *thread* that
started them (see fleet_exec.py), and pytest and executors let threads come and go.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devenv import fleet_exec
from devenv.errors import tail

_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fleet-starter")


class Process:
    """A command that may run; at most one instance at a time."""

    def __init__(self, name: str, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.environment = dict(environment)
        self.through: Sequence[str] = ()
        """A program that becomes the command, such as nsenter with its options."""
        self._argv = tuple(argv)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. It must not run already."""
        if self.alive:
            raise RuntimeError(f"{self.name} runs already")
        self._process = _starter.submit(self._start).result()

    @property
    def pid(self) -> int | None:
        """None where it never ran."""
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Frozen by SIGSTOP counts as alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def send(self, number: int) -> None:
        """Send a signal; nothing happens when it is gone."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has cleaned up."""
        self.send(signal.SIGKILL)
        self.wait(10)

    def stop(self, grace_s: float = 10.0) -> None:
        """SIGTERM, and SIGKILL when the grace is over."""
        self.stop_soon()
        # A frozen process would never see it.
        self.send(signal.SIGCONT)
        if not self.wait(grace_s):
            self.kill()

    def stop_soon(self) -> None:
        """SIGTERM, without waiting."""
        self.send(signal.SIGTERM)

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended in time, or never ran."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def describe(self) -> str:
        """Its state and the end of its log, for a message about what went wrong."""
        state = "running" if self.alive else "never started" if self.pid is None else f"exit code {self.exit_code}"
        return f"{self.name} ({state}):\n{tail(self.log)}"

    def _start(self) -> subprocess.Popen[bytes]:
        guard = (sys.executable, "-I", "-S", fleet_exec.__file__, str(os.getpid()))
        with self.log.open("ab") as log:
            return subprocess.Popen(
                (*guard, *self.through, *self._argv),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C at a terminal is for the owner alone, which then stops everything in order.
                start_new_session=True,
            )


def python_environment(**variables: str) -> dict[str, str]:
    """What every process of a fleet needs, and nothing that this process happens to have set for itself."""
    root = Path(__file__).parents[2]
    kept = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "LANG", "TZ", "COVERAGE_PROCESS_START")
        if name in os.environ
    }
    paths = os.pathsep.join(str(root / folder) for folder in ("operator", "worker-sidecar", "examples"))
    return {**kept, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", **variables}
