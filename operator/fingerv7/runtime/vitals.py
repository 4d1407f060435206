"""Which of the process's tasks are stuck, for the liveness endpoint: Kubernetes restarts a zombie.

Each task that never ends tells how long ago it last did or *tried* something. An API server or a database that is
down is no reason to be restarted, as long as somebody goes on trying; a task that has died or hangs grows old.

Kopf's watch of StreamPools is not among them: kopf opens a silent one anew by itself (`handlers.settings`) and does
not tell how long ago it did. When its task ends, so does the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

WATCH_STUCK_S: Final = 180.0
"""A watch without any news is noticed after 75 s, and listing thousands of objects takes its time."""
POOL_STUCK_S: Final = 120.0
ELECTION_STUCK_S: Final = 60.0


class Vitals:
    """The tasks by name, and how long each may be idle."""

    def __init__(self) -> None:
        self._watched: dict[str, tuple[Callable[[], float], float]] = {}

    def watch(self, name: str, idle_s: Callable[[], float], *, at_most_s: float) -> None:
        """`idle_s`: for how many seconds the task has neither done nor tried anything."""
        self._watched[name] = (idle_s, at_most_s)

    def forget(self, name: str) -> None:
        """It has ended, and is meant to."""
        self._watched.pop(name, None)

    def stuck(self) -> dict[str, float]:
        """Tasks that are idle for too long, and for how many seconds."""
        idle = {name: idle_s() for name, (idle_s, _) in self._watched.items()}
        return {name: seconds for name, seconds in sorted(idle.items()) if seconds > self._watched[name][1]}
