"""The operator as a process, with the rights of its ServiceAccount and nothing of the administrator's."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devenv.fleet_process import Process, python_environment


class OperatorProcess:
    """One replica. Start several to see an election."""

    def __init__(
        self, name: str, *, kubeconfig: Path, namespace: str, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        variables = {
            "FINGERV7_KUBECONFIG": str(kubeconfig),
            "FINGERV7_NAMESPACES": namespace,
            "FINGERV7_LISTEN": "127.0.0.1:0",
            "POD_NAMESPACE": namespace,
            "POD_NAME": name,
            **environment,
        }
        self.process = Process(
            name,
            [sys.executable, "-m", "fingerv7.runtime.main"],
            python_environment(**variables),
            folder / f"{name}.log",
        )
        self._begun = 0

    def start(self) -> None:
        self._begun = self.process.log.stat().st_size if self.process.log.exists() else 0
        self.process.start()

    def kill(self) -> None:
        """SIGKILL: it holds its election Lease until that runs out."""
        self.process.kill()

    def stop_gracefully(self, grace_s: float = 15.0) -> None:
        self.process.stop(grace_s)

    def pause(self) -> None:
        self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send(signal.SIGCONT)

    @property
    def alive(self) -> bool:
        return self.process.alive

    def lines(self) -> list[dict[str, Any]]:
        """What all processes that ran under this name have logged."""
        return _parsed(self.process.log.read_bytes())

    def said(self, words: str) -> list[dict[str, Any]]:
        """The lines of its last process with these words in the message."""
        return [line for line in _parsed(self.process.log.read_bytes()[self._begun :]) if words in line["message"]]

    def describe(self) -> str:
        return self.process.describe()


def _parsed(log: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.decode(errors="replace").splitlines() if line.startswith("{")]
