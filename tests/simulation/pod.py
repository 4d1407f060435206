"""A machine with one pod: sidecar and worker as two processes, and the kubelet that restarts and probes them.

The probe on the fence file is what stops a worker whose sidecar is dead, so the promise depends on it: its period and
the grace before SIGKILL stay below K together, as the pod builder's numbers do.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fingerv7.contract import Timing
from fingerv7_sidecar.api import LeaseClient, WorkerMirror
from fingerv7_sidecar.clock import Clock
from fingerv7_sidecar.events import StopRequested
from fingerv7_sidecar.identity import Identity, Policy
from fingerv7_sidecar.log import Log
from fingerv7_sidecar.protocol import Sidecar
from fingerv7_sidecar.runtime import Runtime

from .clients import SimRest
from .defect import Kind
from .folder import MemoryFolder
from .loop import MachineClock, Process, State
from .network import Link
from .store import NAMESPACE
from .worker import Manners, Worker

if TYPE_CHECKING:
    from .world import World


class Machine:
    """One node: what runs on it shares its clocks, and freezes with it."""

    def __init__(self, clock: MachineClock, number: int) -> None:
        self.clock = clock
        self.number = number
        self.boots = 1
        self.frozen = False

    @property
    def boot_id(self) -> str:
        return f"boot-{self.number}-{self.boots}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Of a worker's pod, from its environment."""

    timing: Timing
    manners: Manners
    probe_period_s: float
    grace_s: float
    has_lock: bool = True
    register: str = ""
    drain_on_stop: bool = False


class _Quiet(Log):
    """The sidecar's log lines go to the trace, if anybody reads it."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell

    def write(self, wall: float, level: str, event: str, fields: Mapping[str, object]) -> None:
        self._tell(f"{event} {dict(fields)}")


class Pod:
    """One pod; a new one of the same name has another uid and an empty folder."""

    def __init__(self, world: World, name: str, uid: str, machine: Machine, settings: Settings) -> None:
        self.world = world
        self.name = name
        self.uid = uid
        self.machine = machine
        self.settings = settings
        self.folder = MemoryFolder()
        self.worker: Worker | None = None
        self.sidecar: Process | None = None
        self.runtime: Runtime | None = None
        self.link: Link | None = None
        self.removed = False
        self.frozen_until = 0.0
        """Until when what it runs may be what it ran before its machine was frozen."""
        self._lives = 0
        self._rng = random.Random(world.rng.getrandbits(64))
        self._probe_held = False
        self._killing = False

    # --- containers ---------------------------------------------------------------------------------------

    def start(self) -> None:
        self.start_sidecar()
        self.start_worker()
        self.world.loop.nature.after(self._rng.random() * self.settings.probe_period_s, self._probe)

    def start_sidecar(self) -> None:
        if self.removed or (self.sidecar and self.sidecar.alive):
            return
        world = self.world
        self._lives += 1
        process = world.loop.process(f"{self.name}/{self.uid}/sidecar-{self._lives}", self.machine.clock)
        self.sidecar = process
        self.link = world.link(process, self.crash_sidecar)
        if self.machine.frozen:
            process.pause()
        process.spawn(self._run_sidecar(process, self.link))

    async def _run_sidecar(self, process: Process, link: Link) -> None:
        settings, clock = self.settings, self.machine.clock

        def now() -> Clock:
            return Clock(clock.boot(), clock.wall())

        identity = Identity(
            self.name,
            NAMESPACE,
            self.world.pool_name,
            self.uid,
            f"n{self._lives}",
            self.machine.boot_id,
        )
        policy = Policy(
            timing=settings.timing,
            has_lock=settings.has_lock,
            register=settings.register,
            drain_on_stop=settings.drain_on_stop,
        )
        scale = self.world.scale
        api = SimRest(link, may_create=scale.registration or scale.may_create)
        log = _Quiet(lambda text: self.world.note(process, text))
        self.runtime = runtime = Runtime(
            Sidecar(identity, policy, self.folder.find(), now()),
            self.folder,
            LeaseClient(api, identity),  # type: ignore[arg-type]
            lambda post: WorkerMirror(api, identity, post),  # type: ignore[arg-type]
            log,
            clock=now,
        )
        try:
            await runtime.run()
        except Exception as error:
            if not process.alive:
                raise
            self.world.defect(Kind.FAILURE, f"{process.name} failed: {type(error).__name__}: {error}")
        self._sidecar_ended(process)

    def _sidecar_ended(self, process: Process) -> None:
        process.kill()
        if self.sidecar is process and self.link:
            self.link.cut()
            self.world.loop.nature.after(0.1 + self._rng.random(), self.start_sidecar)

    def crash_sidecar(self) -> bool:
        """Whether there was one to kill."""
        if not (self.sidecar and self.sidecar.alive):
            return False
        self.world.note(self.sidecar, "killed")
        self._sidecar_ended(self.sidecar)
        return True

    def start_worker(self) -> None:
        if self.removed or (self.worker and self.worker.process.alive):
            return
        world = self.world
        process = world.loop.process(f"{self.name}/{self.uid}/worker", self.machine.clock)
        if self.machine.frozen:
            process.pause()
        self._probe_held = self._killing = False
        self.worker = Worker(
            process, self.name, self.folder, self.settings.manners, self._rng, world.judge, self.machine.boot_id
        )
        self.worker.pod = self

    def crash_worker(self) -> bool:
        """Whether there was one to kill."""
        if not (self.worker and self.worker.process.alive):
            return False
        self.world.note(self.worker.process, "killed")
        self.worker.died()
        self.world.loop.nature.after(0.1 + self._rng.random(), self.start_worker)
        return True

    def stop_gracefully(self) -> bool:
        """SIGTERM to both, as when a pod is deleted; whether there was anybody to hear it."""
        heard = any(process.alive for process in self._processes())
        if self.runtime and self.sidecar and self.sidecar.alive:
            self.sidecar.after(0.0, self.runtime.post, StopRequested())
        if self.worker and self.worker.process.alive:
            self.worker.process.after(0.0, self.worker.terminate)
            self.world.loop.nature.after(3 * self.settings.timing.stop_time_ms / 1000, self._kill, self.worker)
        return heard

    def remove(self) -> None:
        """The pod is gone for good, with its folder."""
        self.removed = True
        if self.worker and self.worker.process.alive:
            self.worker.died()
        if self.sidecar and self.sidecar.alive:
            self._sidecar_ended(self.sidecar)

    # --- the machine --------------------------------------------------------------------------------------

    def reboot(self) -> bool:
        """Both die, boot time begins anew, the folder is still there; not of a machine that is frozen or gone."""
        if self.machine.frozen or self.removed:
            return False
        self.crash_worker()
        self.crash_sidecar()
        self.machine.boots += 1
        self.machine.clock.reboot()
        return True

    def freeze(self) -> None:
        self.machine.frozen = True
        for process in self._processes():
            process.pause()

    def thaw(self) -> None:
        self.machine.frozen = False
        stop_s = self.settings.timing.stop_time_ms / 1000 + 0.1
        self.frozen_until = self.world.loop.now + stop_s / self.machine.clock.rate
        for process in self._processes():
            process.resume()
        if self.worker:
            self.world.loop.at(self.frozen_until + 1e-3, self.world.loop.nature, self.world.judge.thawed, self.worker)

    def _processes(self) -> list[Process]:
        found = [self.sidecar, self.worker.process if self.worker else None]
        return [process for process in found if process]

    # --- the kubelet --------------------------------------------------------------------------------------

    def _probe(self) -> None:
        if self.removed:
            return
        world, settings, clock = self.world, self.settings, self.machine.clock
        worker = self.worker
        if worker and worker.process.alive and not self.machine.frozen and not self._killing:
            fence = self.folder.fence
            if fence is not None and fence.holds(now_s=clock.boot(), boot_id=self.machine.boot_id):
                self._probe_held = True
            elif self._probe_held:
                world.note(worker.process, "its probe failed")
                self._killing = True
                worker.process.after(0.0, worker.terminate)
                world.loop.nature.after(settings.grace_s / clock.rate, self._kill, worker)
        world.loop.nature.after(settings.probe_period_s / clock.rate, self._probe)

    def _kill(self, worker: Worker) -> None:
        if self.machine.frozen:
            self.world.loop.nature.after(0.1, self._kill, worker)
        elif worker is self.worker and worker.process.alive:
            self.crash_worker()


__all__ = ["Machine", "Pod", "Settings", "State"]
