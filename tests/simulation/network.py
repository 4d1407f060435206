"""The way between a process and the API server, with everything that can go wrong on it.

A request takes its time, may be lost before the server has seen it, or arrive long after its client gave up; its
answer may be lost after the commit; the server may refuse to look at it. A watch is a connection that delivers in
order, late, or not any more without saying so.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .loop import Process, SimLoop
from .store import Commit, Json, RefusedError, Store, has_label

Answer = Callable[[int, Any], None]
"""HTTP status (0: the connection broke) and the object, or the reason."""


@dataclass(slots=True)
class Weather:
    """Probabilities for each message; all zero on a fine day."""

    lost: float = 0.0
    answer_lost: float = 0.0
    late: float = 0.0
    """The request arrives, but only after seconds."""
    throttled: float = 0.0
    broken: float = 0.0
    """500, with or without a commit."""
    late_s: float = 10.0
    slow: float = 1.0
    """Latencies are multiplied by this."""


LAST_BOOKMARK_S = 2.0
"""So long before it ends a watch the server sends a last bookmark."""


class Server:
    """The API server: its store, its watches, and whether it is up."""

    def __init__(self, loop: SimLoop, rng: random.Random) -> None:
        self.loop = loop
        self.rng = rng
        self.store = Store(lambda: loop.now)
        self.downs = 0
        """For how many reasons it is down at present."""
        self.weather = Weather()
        self.bookmark_s = 5.0
        self.watches: list[Watch] = []
        self.counts: Counter[str] = Counter()
        self.slow_targets: dict[str, tuple[float, float]] = {}
        """What takes long to write, say for an admission webhook, and how much longer."""
        self.on_read: dict[str, Callable[[Link], None]] = {}
        """What happens just after an operator has read this (plural and name) directly."""
        self.store.on_commit.append(self._tell)

    def latency(self) -> float:
        draw = self.rng.random()
        base = 0.001 + 0.008 * draw if draw < 0.95 else 0.05 * draw
        return base * self.weather.slow

    def _tell(self, commit: Commit) -> None:
        for watch in self.watches:
            if watch.plural == commit.plural:
                watch.offer(commit)

    @property
    def up(self) -> bool:
        return not self.downs

    def stop(self) -> None:
        self.downs += 1
        for watch in list(self.watches):
            watch.break_off()

    def start(self) -> None:
        self.downs -= 1


class Link:
    """Between one process and the server."""

    def __init__(self, server: Server, process: Process) -> None:
        self.server = server
        self.process = process
        self.up_blocked = False
        self.down_blocked = False
        self.stalled = False
        """Watches deliver nothing, requests pass."""
        self.stalled_at = 0.0
        """Since when the cache behind its watches, and behind reads that do not ask for the newest, stands still."""
        self.slow_writes_s = 0.0
        """Writes are on their way for up to so much longer."""
        self.deaf: dict[str, float] = {}
        """Worker whose renewals its watches lose, and since when."""
        self.crash_in: int | None = None
        """Die after so many more accepted writes, before their answer."""
        self.on_crash: Callable[[], None] | None = None
        self.watches: list[Watch] = []
        self._waiting: list[tuple[Callable[[], Any], Answer, bool]] = []

    @property
    def alive(self) -> bool:
        """Whether there is a process at its end."""
        return self.process.alive

    def send(self, work: Callable[[], Any], answer: Answer, *, write: bool, target: str = "") -> None:
        """`work` is done at the server, if the request gets there. `target`: what it writes, plural and name."""
        server, process = self.server, self.process
        if not process.alive:
            return
        weather, rng = server.weather, server.rng
        if self.up_blocked:
            if rng.random() < 0.5:
                self._waiting.append((work, answer, write))  # delivered when the way is free again
            return
        if weather.lost and rng.random() < weather.lost:
            server.counts["request lost"] += 1
            return
        delay = server.latency()
        if weather.late and rng.random() < weather.late:
            server.counts["late request"] += 1
            delay += rng.random() * weather.late_s
        if write and self.slow_writes_s:
            delay += rng.random() * self.slow_writes_s
        if target in server.slow_targets:
            delay += rng.uniform(*server.slow_targets[target])
        server.loop.at(server.loop.now + delay, server.loop.nature, self._arrive, work, answer, write)

    def stall(self, plural: str = "") -> None:
        """Watches (of one kind, if any) stop to deliver, because the cache that feeds them stands still."""
        self.stalled_at = self.server.loop.now
        if not plural:
            self.stalled = True
        for watch in self.watches:
            if watch.plural == plural:
                watch.stall()

    def heal(self) -> None:
        self.up_blocked = self.down_blocked = self.stalled = False
        self.stalled_at = self.slow_writes_s = 0.0
        self.deaf.clear()
        waiting, self._waiting = self._waiting, []
        for work, answer, write in waiting:
            self.server.loop.nature.after(self.server.latency(), self._arrive, work, answer, write)
        for watch in list(self.watches):
            watch.heal()

    def cut(self) -> None:
        """The process is gone: its connections end, and what it sent is on its way."""
        for watch in list(self.watches):
            watch.close()

    def _arrive(self, work: Callable[[], Any], answer: Answer, write: bool) -> None:
        server = self.server
        weather, rng = server.weather, server.rng
        if not server.up:
            return
        status, result = 200, None
        if weather.throttled and rng.random() < weather.throttled:
            server.counts["throttled"] += 1
            status, result = 429, "TooManyRequests"
        elif weather.broken and rng.random() < weather.broken:
            server.counts["server error"] += 1
            if write and rng.random() < 0.5:
                self._do(work)
            status, result = 500, "InternalError"
        else:
            status, result = self._do(work)
            if write and status == 200 and self.crash_in is not None:
                self.crash_in -= 1
                if self.crash_in <= 0:
                    self.crash_in = None
                    server.counts["crash after a write"] += 1
                    if self.on_crash:
                        self.on_crash()
                    return
        if self.down_blocked or (weather.answer_lost and rng.random() < weather.answer_lost):
            if write and status == 200:
                server.counts["answer lost"] += 1
            return
        self.process.after(server.latency(), answer, status, result)

    def _do(self, work: Callable[[], Any]) -> tuple[int, Any]:
        try:
            return 200, work()
        except RefusedError as refused:
            return refused.status, refused


class Watch:
    """One open watch. `take` gets (kind, object) in the client's process; kind "END" or "BREAK" is the last."""

    def __init__(
        self,
        link: Link,
        plural: str,
        *,
        label: str = "",
        name: str = "",
        take: Callable[[str, Json], None],
    ) -> None:
        self.link = link
        self.plural = plural
        self._label = label
        self._name = name
        self._take = take
        self._server = link.server
        self._last = 0.0
        self._kept: deque[tuple[str, Json]] = deque()
        self._stuck = False
        self.open = False

    def start(self, revision: int | None, timeout_s: float = 0.0) -> None:
        """At the server; raises RefusedError when the revision is too old. None: begin with what exists."""
        store = self._server.store
        if revision is None:
            backlog = [("ADDED", found) for found in store.list(self.plural) if self._selects(found)]
        else:
            if revision < store.compacted:
                raise RefusedError(410, "Expired", f"too old resource version: {revision}")
            backlog = []
            for commit in reversed(store.history):
                if commit.revision <= revision:
                    break
                if commit.plural == self.plural and (event := self._event(commit)):
                    backlog.append(event)
            backlog.reverse()
        self.open = True
        self._server.watches.append(self)
        self.link.watches.append(self)
        for kind, found in backlog:
            self._deliver(kind, found)
        nature = self._server.loop.nature
        nature.after(self._server.bookmark_s, self._bookmark)
        if timeout_s > LAST_BOOKMARK_S:
            nature.after(timeout_s - LAST_BOOKMARK_S, self._bookmark, False)

    def close(self) -> None:
        if self.open:
            self.open = False
            self._server.watches.remove(self)
            self.link.watches.remove(self)

    def break_off(self) -> None:
        """The connection breaks, and the client notices."""
        if self.open:
            self.close()
            if not self.link.down_blocked:
                self.link.process.after(self._server.latency(), self._take, "BREAK", {})

    def stall(self) -> None:
        """Nothing arrives any more, and nobody says so."""
        self._stuck = True

    def heal(self) -> None:
        """TCP delivers what it kept, or the connection turns out to be dead."""
        if not self.open:
            return
        self._stuck = False
        if self._server.rng.random() < 0.5:
            kept, self._kept = self._kept, deque()
            for kind, found in kept:
                self._deliver(kind, found)
        elif self._kept:
            self._kept.clear()
            self.break_off()

    def offer(self, commit: Commit) -> None:
        if commit.name in self.link.deaf and commit.plural == "leases":
            return
        event = self._event(commit)
        if event:
            self._deliver(*event)

    def _event(self, commit: Commit) -> tuple[str, Json] | None:
        if self._name:
            return (commit.kind, commit.new) if commit.name == self._name else None
        if not self._label:
            return commit.kind, commit.new
        was = commit.old is not None and has_label(commit.old, self._label)
        now = commit.kind != "DELETED" and has_label(commit.new, self._label)
        if now:
            return ("MODIFIED" if was else "ADDED"), commit.new
        return ("DELETED", commit.new) if was else None

    def _selects(self, found: Json) -> bool:
        if self._name:
            return bool(found["metadata"]["name"] == self._name)
        return not self._label or has_label(found, self._label)

    def _bookmark(self, again: bool = True) -> None:
        if self.open:
            self._deliver("BOOKMARK", {"metadata": {"resourceVersion": str(self._server.store.revision)}})
            if again:
                self._server.loop.nature.after(self._server.bookmark_s, self._bookmark)

    def _deliver(self, kind: str, found: Json) -> None:
        link = self.link
        if self._stuck or link.down_blocked or link.stalled:
            self._kept.append((kind, found))
            return
        loop = self._server.loop
        self._last = max(self._last, loop.now + self._server.latency())
        loop.at(self._last, link.process, self._arrive, kind, found)

    def _arrive(self, kind: str, found: Json) -> None:
        if self.open:
            self._take(kind, found)
