"""A worker that runs exactly what its config says, as fast or as slowly as a real one.

It looks at the config and the fence file a moment after they change, stops before it starts, takes its time for both,
and confirms. What it runs is told to the judge at the moment it begins and ends, because that, and not what any
object says, must never overlap.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .folder import MemoryFolder
from .loop import Process

if TYPE_CHECKING:
    from .pod import Pod


class Judge(Protocol):
    def started(self, worker: Worker, stream: str, token: str) -> None: ...

    def stopped(self, worker: Worker, stream: str) -> None: ...

    def died(self, worker: Worker) -> None: ...


@dataclass(frozen=True, slots=True)
class Manners:
    """How a worker behaves; seconds of its own clock."""

    boot_s: float = 0.05
    look_s: float = 0.05
    stop_s: float = 0.1
    start_s: float = 0.05
    watches_fence: bool = True
    """Stops by itself at the fence, as the shipped wrapper does; one that does not is stopped by its probe."""


class Worker:
    """One life of a worker process."""

    def __init__(
        self,
        process: Process,
        name: str,
        folder: MemoryFolder,
        manners: Manners,
        rng: random.Random,
        judge: Judge,
        boot_id: str,
    ) -> None:
        self.process = process
        self.name = name
        self.running: dict[str, str] = {}
        self.hung = False
        """Goes on with what it runs and looks at nothing any more."""
        self.pod: Pod | None = None
        self._folder = folder
        self._manners = manners
        self._rng = rng
        self._judge = judge
        self._boot_id = boot_id
        self._busy = True
        self._scheduled = False
        self._stopping = False
        self._confirmed = ""
        self._parsed: tuple[bytes, str, dict[str, str]] | None = None
        self._fence_timer_at = 0.0
        folder.on_change = self.look_soon
        folder.lock_exists = folder.locked = True
        process.after_own(self._some(manners.boot_s), self._booted)

    def fence_holds(self) -> bool:
        fence = self._folder.fence
        return fence is not None and fence.holds(now_s=self.process.clock.boot(), boot_id=self._boot_id)

    def look_soon(self) -> None:
        if not self._scheduled and self.process.alive:
            self._scheduled = True
            self.process.after_own(self._some(self._manners.look_s), self._look)

    def terminate(self) -> None:
        """SIGTERM: stop what runs, if it still listens."""
        if not self.hung:
            self._stopping = True
            self.look_soon()

    def died(self) -> None:
        """Nothing runs any more, and the kernel frees the lock."""
        self.process.kill()
        self._judge.died(self)
        self._folder.locked = False
        self._folder.on_change = lambda: None
        for stream in list(self.running):
            del self.running[stream]
            self._judge.stopped(self, stream)

    # --- its steps ----------------------------------------------------------------------------------------

    def _some(self, longest_s: float) -> float:
        return longest_s * (0.2 + 0.8 * self._rng.random())

    def _booted(self) -> None:
        self._busy = False
        self._look()

    def _look(self) -> None:
        self._scheduled = False
        if self._busy or self.hung:
            return
        holds = self.fence_holds()
        config = self._config()
        obeys = holds or not self._manners.watches_fence
        wanted = config[1] if config and not self._stopping and obeys else {}
        stops = [i for i, token in self.running.items() if wanted.get(i) != token]
        if stops:
            self._busy = True
            self.process.after_own(self._some(self._manners.stop_s), self._stop, stops)
            return
        if self._stopping:
            if self.pod:
                self.pod.crash_worker()  # it has ended
            return
        starts = {i: token for i, token in wanted.items() if i not in self.running}
        if starts:
            if holds:
                self._busy = True
                self.process.after_own(self._some(self._manners.start_s), self._start, starts)
            return
        if config and (holds or not config[1]) and self._confirmed != config[0]:
            self._confirmed = config[0]
            self._folder.confirm(config[0])
        self._watch_fence(holds)

    def _stop(self, streams: list[str]) -> None:
        for stream in streams:
            if self.running.pop(stream, None) is not None:
                self._judge.stopped(self, stream)
        self._busy = False
        self._look()

    def _start(self, starts: dict[str, str]) -> None:
        self._busy = False
        if self.fence_holds() and not self._stopping:
            for stream, token in starts.items():
                self.running[stream] = token
                self._judge.started(self, stream, token)
        self._look()

    def _watch_fence(self, holds: bool) -> None:
        """A look when the fence runs out, unless it is renewed before."""
        if not holds or not self._manners.watches_fence:
            return
        fence = self._folder.fence
        if fence is None:
            return
        at = self.process.clock.at(fence.sent_s + fence.fence_after_s) + 0.001
        loop = self.process.loop
        if self._fence_timer_at <= loop.now:
            self._fence_timer_at = at
            loop.at(at, self.process, self.look_soon)

    def _config(self) -> tuple[str, dict[str, str]] | None:
        """Hash, and token by id; None when there is none."""
        payload = self._folder.config
        if payload is None:
            return None
        if self._parsed is None or self._parsed[0] is not payload:
            document = json.loads(payload)
            self._parsed = payload, document["hash"], {each["id"]: each["token"] for each in document["streams"]}
        return self._parsed[1], self._parsed[2]
