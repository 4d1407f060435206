"""The shell around the protocol: performs its actions, and turns answers and the passing of time into events.

Everything runs on one event loop; only the config's fsync runs in a thread, because a slow disk must not delay a
renewal, which the fence file's unsynced line does not. Nothing here decides anything.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from fingerv7_sidecar import vpn, worker
from fingerv7_sidecar.api import LeaseClient, WorkerMirror
from fingerv7_sidecar.clock import Clock, read_clock
from fingerv7_sidecar.events import (
    Action,
    AwaitConfirmation,
    ConfigWritten,
    Event,
    FenceWritten,
    Finish,
    LeaseReply,
    Note,
    ProbeLock,
    ReadWorker,
    SendLease,
    Tick,
    WriteConfig,
    WriteFence,
)
from fingerv7_sidecar.files import ConfigFolder, explain
from fingerv7_sidecar.log import Log
from fingerv7_sidecar.protocol import Sidecar


class Runtime:
    """One running sidecar. `post` takes events, `run` ends when the protocol says that nothing is left to do."""

    def __init__(
        self,
        sidecar: Sidecar,
        folder: ConfigFolder,
        lease: LeaseClient,
        mirror: Callable[[Callable[[Event], None]], WorkerMirror],
        log: Log,
        *,
        ack_url: str = "",
        health_url: str = "",
        vpn_url: str = "",
        vpn_key: str = "",
        clock: Callable[[], Clock] = read_clock,
    ) -> None:
        self.sidecar = sidecar
        self.ticked_at = clock().boot
        self._folder = folder
        self._lease = lease
        self._mirror = mirror(self.post)
        self._log = log
        self._ack_url = ack_url
        self._health_url = health_url
        self._vpn = (vpn_url, vpn_key)
        self._clock = clock
        self._events: deque[Event] = deque()
        self._handling = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self._awaiting: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Raises whatever broke: the process then ends, and its successor starts over from what is stored."""
        policy = self.sidecar.policy
        if policy.has_lock:
            vitals = self.sidecar.vitals
            self._spawn(worker.watch_lock(self._folder, self.post, self._lock_interval, lambda: vitals.lock_held))
        if self._health_url:
            self._spawn(worker.watch_health(self._health_url, self.post, self._health_interval))
        if self._vpn[0]:
            self._spawn(vpn.watch_vpn(*self._vpn, self.post, self._tell_vpn))
        self.post(Tick())
        try:
            await self._finished
        finally:
            if self._timer:
                self._timer.cancel()
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def post(self, event: Event) -> None:
        """Tell the protocol. Events that its actions cause at once are handled after them, in order."""
        self._events.append(event)
        if self._handling or self._finished.done():
            return
        self._handling = True
        try:
            while self._events:
                for action in self.sidecar.handle(self._clock(), self._events.popleft()):
                    self._perform(action)
        except Exception as error:
            self._fail(error)
            return
        finally:
            self._handling = False
        self._changed.set()
        self._changed = asyncio.Event()
        self._arm()

    async def until(self, condition: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until the protocol's state fulfils `condition`; False when time runs out or the process ends."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await self._changed.wait()
        except TimeoutError:
            return condition()
        return True

    def _arm(self) -> None:
        now = self._clock()
        self.ticked_at = now.boot
        if self._timer:
            self._timer.cancel()
        if not self._finished.done():
            delay = max(0.0, self.sidecar.wake_at(now) - now.boot)
            self._timer = asyncio.get_running_loop().call_later(delay, self.post, Tick())

    def _perform(self, action: Action) -> None:
        match action:
            case Note():
                self._log.write(self._clock().wall, action.level, action.event, action.fields)
            case SendLease():
                self._spawn(self._send_lease(action))
            case ReadWorker():
                if self._reading:
                    self._reading.cancel()
                self._reading = self._spawn(self._mirror.run(action.serial))
            case WriteConfig():
                self._spawn(self._write_config(action))
            case WriteFence():
                self._write_fence(action)
            case AwaitConfirmation():
                if self._awaiting:
                    self._awaiting.cancel()
                    self._awaiting = None
                if action.config and self._ack_url:
                    self._awaiting = self._spawn(worker.await_hook(self._ack_url, action.config, self.post))
                elif action.config:
                    self._awaiting = self._spawn(worker.await_file(self._folder, action.config, self.post))
            case ProbeLock():
                self.post(worker.probe_lock(self._folder, action.serial))
            case Finish():
                if not self._finished.done():
                    self._finished.set_result(None)

    async def _send_lease(self, action: SendLease) -> None:
        reply = LeaseReply(action.serial, 0, reason="the request was broken off")
        try:
            reply = await self._lease.send(action)
        finally:
            self.post(reply)

    async def _write_config(self, action: WriteConfig) -> None:
        loop = asyncio.get_running_loop()
        self.post(await loop.run_in_executor(None, write_config, self._folder, action))

    def _write_fence(self, action: WriteFence) -> None:
        # In the loop on purpose: where this hangs, renewals have to hang too. The file then stops the worker D after
        # the last one that it knows of, and after T its streams move; from a thread they would be kept for nobody.
        try:
            self._folder.write_fence(action.fence)
        except OSError as error:
            reason = explain(error)
            if not action.fence.fence_after_s:
                # It must not hold; a missing one does not.
                try:
                    self._folder.remove_fence()
                except OSError as second:
                    reason = explain(second)
            self.post(FenceWritten(reason))
        else:
            if self.sidecar.proof.file_error:
                self.post(FenceWritten())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._finished.done():
            self._finished.set_exception(error)

    def _tell_vpn(self, status: str, reason: str) -> None:
        fields = {"status": status, "reason": reason} if reason else {"status": status}
        self._log.write(self._clock().wall, "warning" if reason else "info", "vpn", fields)

    def _lock_interval(self) -> float:
        return min(1.0, max(0.1, self.sidecar.times.renew_s / 4))

    def _health_interval(self) -> float:
        grace = self.sidecar.policy.worker_grace_s
        return min(2.0, max(0.1, (self.sidecar.times.renew_s if grace is None else grace) / 3))


def write_config(folder: ConfigFolder, action: WriteConfig) -> ConfigWritten:
    """Runs in a thread. A config that stops the worker is unlinked if it cannot be written."""
    try:
        folder.write_config(action.config.payload)
    except OSError as error:
        reason = explain(error)
        if not action.unlink_on_failure:
            return ConfigWritten(action.serial, "failed", reason)
        try:
            folder.remove_config()
        except OSError:
            return ConfigWritten(action.serial, "failed", reason)
        return ConfigWritten(action.serial, "unlinked", reason)
    return ConfigWritten(action.serial, "written")
