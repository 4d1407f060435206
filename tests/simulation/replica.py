"""One replica of the operator: `runtime.main.serve` and `_in_office` without sockets, signals and kopf.

Everything that decides is production code, from the election to the pool's loop. Replaced are the entrance (kopf's
watch of StreamPools, here a list and a watch), Events and metrics, which no stream depends on, and the watchdog's
thread, which the simulated clock plays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fingerv7.adapters.kube.election import Election
from fingerv7.adapters.kube.errors import KubeError
from fingerv7.adapters.kube.resources import STREAMPOOLS
from fingerv7.runtime.clocks import Clocks
from fingerv7.runtime.fleet import Fleet
from fingerv7.runtime.main import _catch_up, _take_office
from fingerv7.runtime.office import Office
from fingerv7.runtime.pools import Pools
from fingerv7.runtime.term import Term

from .clients import SimKube
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
        self.pools: Pools | None = None
        self.fleet: Fleet | None = None
        self.term: Term | None = None
        self.election: Election | None = None
        self.wanted = True
        self._lives = 0

    @property
    def in_office(self) -> bool:
        running = self.process is not None and self.process.alive
        return running and self.term is not None and self.pools is not None and self.term.may_write

    def start(self) -> None:
        if not self.wanted or (self.process and self.process.alive):
            return
        self._lives += 1
        self.process = self.world.loop.process(f"{self.name}#{self._lives}", self.clock)
        self.link = self.world.link(self.process, self.crash)
        self.pools = self.fleet = self.term = self.election = None
        self.process.spawn(self._serve(self.process, self.link))

    def crash(self) -> None:
        """SIGKILL, or `os._exit`; the kubelet starts it again."""
        if self.process and self.process.alive:
            self.world.note(self.process, "killed")
            self.process.kill()
            if self.link:
                self.link.cut()
            self.world.loop.nature.after(self.world.restart_s(), self.start)

    def stop_gracefully(self) -> None:
        """SIGTERM."""
        if self.process and self.process.alive:
            self.process.after(0.0, self._leave, self.process)

    def _leave(self, process: Process) -> None:
        process.spawn(self._release(process))

    async def _release(self, process: Process) -> None:
        if self.pools:
            await self.pools.stop()
        if self.election:
            await self.election.release()
        self.crash()
        raise ProcessDied

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
            timestamp=lambda: _text(clock.wall()),
            since=lambda text: _since(clock.wall(), text),
            wall=clock.wall,
        )
        api = SimKube(link, request_timeout_s=world.request_timeout_s, watch_stall_s=world.watch_stall_s)
        self.fleet = fleet = Fleet(api, namespace=None, clock=clocks.monotonic)
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
        watching = [asyncio.create_task(fleet.workers.run()), asyncio.create_task(fleet.leases.run())]
        epoch = await _take_office(election, fleet)
        term = self.term = Term(epoch, may_write=lambda: election.may_write)
        holding = asyncio.create_task(election.hold())
        await _catch_up(fleet)
        term.begin(fleet.highest_leader_epoch())
        world.note(process, f"in office {term.leader_epoch}")
        world.judge.took_office(self)
        silence: Any = _Silence(world)
        pools = self.pools = Pools(Office(api, fleet, term, silence, clocks, silence))
        strays = asyncio.create_task(pools.run_strays())
        feeding = asyncio.create_task(_feed(api, pools))
        superseded = asyncio.create_task(pools.superseded.wait())
        await asyncio.wait({superseded, holding, strays, feeding, *watching}, return_when=asyncio.FIRST_COMPLETED)
        for task in (holding, strays, feeding, *watching):
            if task.done() and not pools.superseded.is_set():
                world.defect(f"{process.name}: a task that never ends has ended: {task.exception()!r}")
        world.note(process, "superseded")
        self.crash()
        raise ProcessDied


async def _feed(api: SimKube, pools: Pools) -> None:
    """Kopf's part: StreamPools as they are listed, and as they change."""
    path = STREAMPOOLS.path(None)
    known: dict[str, Any] = {}
    while True:
        try:
            items, version = await api.list(path)
            for gone in known.keys() - {item["metadata"]["uid"] for item in items}:
                await pools.observe("DELETED", known[gone])
            known = {item["metadata"]["uid"]: item for item in items}
            for item in items:
                await pools.observe(None, item)
            events = api.watch(path, resource_version=version, timeout_s=300.0)
            try:
                async for kind, body in events:
                    if kind != "BOOKMARK":
                        await pools.observe(kind, body)
            finally:
                await events.aclose()
        except KubeError:
            await asyncio.sleep(0.5)


def _text(wall: float) -> str:
    return (_EPOCH + timedelta(seconds=wall)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _since(wall: float, text: str) -> float:
    try:
        return wall - (datetime.fromisoformat(text) - _EPOCH).total_seconds()
    except ValueError:
        return float("inf")
