"""One replica of the operator: `runtime.main.serve` without sockets, signals and kopf.

Everything that decides is production code, from the election through the term to the pool's loop. Replaced are the
entrance (kopf's watch of StreamPools, here a list and a watch), Events and metrics, which no stream depends on, and
the watchdog's thread, which the simulated clock plays.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fingerv7.adapters.kube.election import Election
from fingerv7.adapters.kube.errors import KubeError
from fingerv7.adapters.kube.resources import STREAMPOOLS
from fingerv7.runtime.clocks import Clocks
from fingerv7.runtime.feed import PoolFeed
from fingerv7.runtime.fleets import Fleets
from fingerv7.runtime.main import _in_office, _take_office
from fingerv7.runtime.office import Office
from fingerv7.runtime.term import Term
from fingerv7.runtime.vitals import Vitals

from .clients import SimKube
from .defect import Kind
from .loop import MachineClock, Process, ProcessDied
from .network import Link
from .store import NAMESPACE

if TYPE_CHECKING:
    from .world import World

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Silence:
    """Stands for Events and metrics: takes everything, counts takeovers, says nothing."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def record(self, *_: Any, **__: Any) -> None: ...

    async def close(self) -> None: ...

    def took_over(self, pool: object) -> None:
        self._world.counts["takeover"] += 1

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class _Watchdog:
    """The thread that ends the process at the deadline, also when the event loop hangs; not when it is frozen."""

    def __init__(self, process: Process, expired: Callable[[], object]) -> None:
        self._process = process
        self._expired = expired
        self._deadline: float | None = None
        self._waits = False

    def watch(self, deadline: float) -> None:
        self._deadline = deadline
        if not self._waits:
            self._wait()

    def stop(self) -> None:
        self._deadline = None

    def _wait(self) -> None:
        process = self._process
        self._waits = self._deadline is not None
        if self._deadline is not None:
            process.loop.at(process.clock.at(self._deadline) + 0.05, process, self._look)

    def _look(self) -> None:
        if self._deadline is not None and self._process.clock.boot() >= self._deadline:
            self._deadline = None
            self._expired()
        self._wait()


class Replica:
    """Keeps one operator process running, as a Deployment does."""

    def __init__(self, world: World, name: str, clock: MachineClock) -> None:
        self.world = world
        self.name = name
        self.clock = clock
        self.process: Process | None = None
        self.link: Link | None = None
        self.term: _Term | None = None
        self.election: Election | None = None
        self.fleets: Fleets | None = None
        self._stop: asyncio.Event | None = None
        self._lives = 0

    @property
    def in_office(self) -> bool:
        running = self.process is not None and self.process.alive
        return running and self.term is not None and self.term.begun and self.term.may_write

    @property
    def sees(self) -> bool:
        """Whether nothing keeps its watches from telling it what happens."""
        informers = self.fleets.informers if self.fleets else []
        return bool(informers) and not any(informer.last_error for informer in informers)

    def start(self) -> None:
        if self.process and self.process.alive:
            return
        self._lives += 1
        self.process = self.world.loop.process(f"{self.name}#{self._lives}", self.clock)
        self.link = self.world.link(self.process, self.crash)
        self.term = self.election = self.fleets = self._stop = None
        self.process.spawn(self._serve(self.process, self.link))

    def crash(self) -> bool:
        """SIGKILL, or `os._exit`; the kubelet starts it again. Whether there was one to kill."""
        if not (self.process and self.process.alive):
            return False
        self.world.note(self.process, "killed")
        self.process.kill()
        if self.link:
            self.link.cut()
        self.world.loop.nature.after(self.world.restart_s(), self.start)
        return True

    def stop_gracefully(self) -> bool:
        """SIGTERM; whether there was anybody to hear it."""
        if not (self.process and self.process.alive and self._stop):
            return False
        self.process.after(0.0, self._stop.set)
        return True

    def _lost(self, why: str) -> None:
        if self.process:
            self.world.note(self.process, why)
        self.crash()
        raise ProcessDied

    async def _serve(self, process: Process, link: Link) -> None:
        world = self.world
        clock = self.clock
        clocks = Clocks(
            monotonic=clock.boot,
            timestamp=lambda: _text(int(clock.wall())),
            since=lambda text: _since(clock.wall(), text),
            wall=clock.wall,
        )
        api = SimKube(link, request_timeout_s=world.request_timeout_s, watch_stall_s=world.watch_stall_s)
        fleets = self.fleets = Fleets(api, clock=clocks.monotonic)
        election = self.election = Election(
            api,
            namespace=NAMESPACE,
            name="fingerv7-operator",
            identity=process.name,
            lease_s=world.lease_s,
            renew_deadline_s=world.renew_deadline_s,
            retry_s=world.retry_s,
            on_lost=self._lost,
            clock=clock.boot,
            now=lambda: _EPOCH + timedelta(seconds=clock.wall()),
            watchdog=False,
        )
        election._watchdog = _Watchdog(process, lambda: election._end("the watchdog expired"))  # type: ignore[assignment]
        feed = PoolFeed()
        stop = self._stop = asyncio.Event()
        stopping = asyncio.create_task(stop.wait())
        forever = [
            *(asyncio.create_task(informer.run()) for informer in fleets.informers),
            asyncio.create_task(_watch_pools(api, feed)),
        ]
        outside = {stopping, *forever}
        acquiring = asyncio.create_task(_take_office(election, fleets, Vitals()))
        await asyncio.wait({acquiring, *outside}, return_when=asyncio.FIRST_COMPLETED)
        if acquiring.done():
            silence: Any = _Silence(world)
            term = self.term = _Term(acquiring.result(), self, election)
            await _in_office(Office(api, fleets, term, silence, clocks, silence), election, feed, outside)
        else:
            acquiring.cancel()
            await asyncio.gather(acquiring, return_exceptions=True)
        if any(task.done() for task in forever):
            world.defect(Kind.FAILURE, f"{process.name}: a task that never ends has ended")
        await election.release()
        self.crash()
        raise ProcessDied


class _Term(Term):
    """Says when it begins."""

    def __init__(self, acquired_at: int, replica: Replica, election: Election) -> None:
        super().__init__(acquired_at, may_write=lambda: election.may_write)
        self._replica = replica
        self._acquired_at = acquired_at
        self.begun = False

    def begin(self, highest_stored: int) -> None:
        super().begin(highest_stored)
        self.begun = True
        replica = self._replica
        if replica.process:
            replica.world.note(replica.process, f"in office {self.leader_epoch}")
        # One that was frozen on its way into office finds that it may write nothing any more.
        if self.may_write:
            replica.world.judge.took_office(self._acquired_at, self.leader_epoch)


async def _watch_pools(api: SimKube, feed: PoolFeed) -> None:
    """Kopf's part: StreamPools as they are listed, and as they change."""
    path = STREAMPOOLS.path(None)
    known: dict[str, Any] = {}
    while True:
        try:
            items, version = await api.list(path)
            for gone in known.keys() - {item["metadata"]["uid"] for item in items}:
                await feed.observe("DELETED", known[gone])
            known = {item["metadata"]["uid"]: item for item in items}
            for item in items:
                await feed.observe(None, item)
            events = api.watch(path, resource_version=version, timeout_s=300.0)
            try:
                async for kind, body in events:
                    if kind != "BOOKMARK":
                        await feed.observe(kind, body)
            finally:
                await events.aclose()
        except KubeError:
            await asyncio.sleep(0.5)


@functools.lru_cache(maxsize=64)
def _text(wall: int) -> str:
    return (_EPOCH + timedelta(seconds=wall)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _since(wall: float, text: str) -> float:
    try:
        return wall - (datetime.fromisoformat(text) - _EPOCH).total_seconds()
    except ValueError:
        return float("inf")
