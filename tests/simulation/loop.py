"""One thread, many processes, and a time that only moves when nothing is left to do.

An asyncio event loop without I/O. Every handle belongs to the process whose code asked for it, and every process sees
time through the clock of its machine. So a process that is frozen keeps its handles for later, and one that is killed
loses them for ever: not even its `finally` blocks run.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import enum
import heapq
import itertools
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any


class ProcessDied(BaseException):
    """Unwinds the code of a process that has just been killed from within (`os._exit`)."""


class State(enum.Enum):
    RUNNING = enum.auto()
    PAUSED = enum.auto()
    DEAD = enum.auto()


class MachineClock:
    """Clocks of one machine: boot time runs at `rate`, the wall clock is that plus an offset that may jump."""

    def __init__(self, loop: SimLoop, *, rate: float, boot_offset: float, wall_offset: float) -> None:
        self._loop = loop
        self.rate = rate
        self._boot_offset = boot_offset
        self.wall_offset = wall_offset

    def boot(self) -> float:
        return self._boot_offset + self._loop.now * self.rate

    def wall(self) -> float:
        return self._boot_offset + self._loop.now * self.rate + self.wall_offset

    def at(self, boot: float) -> float:
        """The true time at which boot time is this."""
        return (boot - self._boot_offset) / self.rate

    def reboot(self) -> None:
        """Boot time starts over; the wall clock goes on."""
        was = self.boot()
        self._boot_offset = 5.0 - self._loop.now * self.rate
        self.wall_offset += was - 5.0


_OWNER: contextvars.ContextVar[Process] = contextvars.ContextVar("owner")


class Process:
    """Something that can be frozen and killed as a whole."""

    __slots__ = ("clock", "context", "held", "loop", "name", "pauses", "state", "tasks")

    def __init__(self, loop: SimLoop, name: str, clock: MachineClock) -> None:
        self.loop = loop
        self.name = name
        self.clock = clock
        self.state = State.RUNNING
        self.pauses = 0
        self.held: list[Handle] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.context = contextvars.Context()
        """By it a task is known as this process's, whoever wakes it. Nothing is ever run in it."""
        self.context.run(_OWNER.set, self)

    @property
    def alive(self) -> bool:
        return self.state is not State.DEAD

    def pause(self) -> None:
        """It stands still until it was resumed as often as it was paused."""
        self.pauses += 1
        if self.state is State.RUNNING:
            self.state = State.PAUSED

    def resume(self) -> None:
        self.pauses -= 1
        if self.state is State.PAUSED and not self.pauses:
            self.state = State.RUNNING
            held, self.held = self.held, []
            self.loop.ready.extend(held)

    def kill(self) -> None:
        self.state = State.DEAD
        self.held = []

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task of this process."""
        before, self.loop.current = self.loop.current, self
        try:
            task = self.loop.create_task(work)
            task.add_done_callback(self._ended)
        finally:
            self.loop.current = before
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, ProcessDied):
            self.loop.errors.append(f"{self.name}: {type(error).__name__}: {error}")

    def after(self, seconds: float, call: Callable[..., object], *args: Any) -> Handle:
        """Call back in this process after so many seconds of true time."""
        return self.loop.at(self.loop.now + seconds, self, call, *args)

    def after_own(self, seconds: float, call: Callable[..., object], *args: Any) -> Handle:
        """The same in seconds of its own clock."""
        return self.loop.at(self.loop.now + seconds / self.clock.rate, self, call, *args)


class Handle:
    __slots__ = ("args", "call", "gone", "process", "time")

    def __init__(self, process: Process, call: Callable[..., object], args: tuple[Any, ...], time: float) -> None:
        self.process = process
        self.call = call
        self.args = args
        self.time = time
        self.gone = False

    def cancel(self) -> None:
        self.gone = True

    def cancelled(self) -> bool:
        return self.gone

    def when(self) -> float:
        return self.time


class SimLoop(asyncio.AbstractEventLoop):
    """The loop of the whole world."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.ready: deque[Handle] = deque()
        self._heap: list[tuple[float, int, Handle]] = []
        self._sequence = itertools.count()
        self._closed = False
        self.nature = Process(self, "nature", MachineClock(self, rate=1.0, boot_offset=0.0, wall_offset=1.7e9))
        """What is no process: the network, the kubelets, the API server, the database."""
        self.current = self.nature
        self.processes: list[Process] = [self.nature]
        self.errors: list[str] = []
        """What no process should raise."""
        self.executor_delay: Callable[[], float] = lambda: 0.0

    def process(self, name: str, clock: MachineClock) -> Process:
        made = Process(self, name, clock)
        self.processes.append(made)
        return made

    def at(self, when: float, process: Process, call: Callable[..., object], *args: Any) -> Handle:
        """Call back in that process at that true time."""
        handle = Handle(process, call, args, when)
        heapq.heappush(self._heap, (when, next(self._sequence), handle))
        return handle

    def run_until(self, end: float) -> None:
        """Let everything happen that happens until then."""
        ready, heap, pop, next_ready = self.ready, self._heap, heapq.heappop, self.ready.popleft
        running, paused, nature = State.RUNNING, State.PAUSED, self.nature
        events._set_running_loop(self)
        try:
            while True:
                while ready:
                    handle = next_ready()
                    if handle.gone:
                        continue
                    process = handle.process
                    if process.state is not running:
                        if process.state is paused:
                            process.held.append(handle)
                        continue
                    self.current = process
                    self.steps += 1
                    try:
                        handle.call(*handle.args)
                    except ProcessDied:
                        process.kill()
                    except Exception as error:
                        self.errors.append(f"{process.name}: {type(error).__name__}: {error}")
                self.current = nature
                if not heap or heap[0][0] > end:
                    self.now = max(self.now, end)
                    return
                when, _, handle = pop(heap)
                if not handle.gone:
                    self.now = max(self.now, when)
                    ready.append(handle)
        finally:
            events._set_running_loop(None)

    def close(self) -> None:
        """Take what is left apart without letting any of it have an effect."""
        self._closed = True
        events._set_running_loop(self)
        try:
            for process in self.processes:
                process.kill()
                for task in process.tasks:
                    if not task.done():
                        _dismantle(task)
                process.tasks.clear()
        finally:
            events._set_running_loop(None)
            self.ready.clear()
            self._heap.clear()

    # --- what asyncio asks for ----------------------------------------------------------------------------

    def time(self) -> float:
        return self.current.clock.boot()

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        owner = self.current if context is None else context.get(_OWNER, self.current)
        handle = Handle(owner, callback, args, self.now)
        if not self._closed:
            self.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        process = self.current
        return self.at(self.now + max(0.0, delay) / process.clock.rate, process, callback, *args)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        process = self.current
        return self.at(max(self.now, process.clock.at(when)), process, callback, *args)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> asyncio.Task[Any]:
        if self._closed:
            coro.close()
            return self.create_future()  # type: ignore[return-value]
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=self.current.context)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        tasks = self.current.tasks
        tasks.append(task)
        if len(tasks) > 200:
            tasks[:] = [each for each in tasks if not each.done()]
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """A thread: it does its work at some moment of its own, in the same process."""
        future = self.create_future()

        def work() -> None:
            if not future.cancelled():
                future.set_result(func(*args))

        self.call_later(self.executor_delay(), work)
        return future

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not self._closed and not isinstance(error, ProcessDied):
            self.errors.append(f"{self.current.name}: {context.get('message')}: {error!r}")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)


def _dismantle(task: asyncio.Task[Any]) -> None:
    """Close a suspended coroutine, however often it awaits again on its way out."""
    coroutine = task.get_coro()
    for _ in range(20):
        with contextlib.suppress(RuntimeError, ProcessDied, Exception):
            coroutine.close()  # type: ignore[union-attr]
            return
