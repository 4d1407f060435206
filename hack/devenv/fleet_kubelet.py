"""Plays the kubelet's part for workers that are plain processes: restarts and the liveness probe.

The probe is what stops a worker whose sidecar is dead, so without it the promise "never on two workers" would not
hold and a test of it would prove nothing. Its numbers are those of the pod builder: every second, one failure is
enough, SIGTERM, two seconds later SIGKILL. As with a startup probe, it counts from the first time that it held.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from devenv.fleet_process import Process
from fingerv7.contract import Fence

PROBE_PERIOD_S = 1.0
TERMINATION_GRACE_S = 2.0
_BACK_OFF_S = (0.5, 1.0, 2.0, 5.0)
_LOOK_EVERY_S = 0.05
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Container:
    """A process that is wanted or not, restarted with a back-off while it is."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.wanted = False
        self.restart = True
        self.restarts = 0
        self._start_at_s: float | None = None

    def start(self) -> None:
        self.wanted = True
        self.process.start()

    def tend(self, now_s: float) -> None:
        """Start it again when its back-off is over."""
        if not (self.wanted and self.restart) or self.process.alive:
            self._start_at_s = None
        elif self._start_at_s is None:
            self._start_at_s = now_s + _BACK_OFF_S[min(self.restarts, len(_BACK_OFF_S) - 1)]
        elif now_s >= self._start_at_s:
            self.restarts += 1
            self.process.start()


class LivenessProbe:
    """The exec probe on the fence file, and what follows when it fails."""

    def __init__(self, fence: Callable[[], Path], container: Container) -> None:
        self._fence = fence
        self._container = container
        self._boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
        self._probed_pid: int | None = None
        self._held = False
        self._next_s = 0.0
        self._kill_at_s: float | None = None
        self.failures = 0
        self.enabled = True

    def tend(self, now_s: float) -> None:
        process = self._container.process
        if process.pid != self._probed_pid:
            self._probed_pid, self._held, self._kill_at_s = process.pid, False, None
        if not process.alive:
            return
        if self._kill_at_s is not None:
            if now_s >= self._kill_at_s:
                process.kill()
            return
        if not self.enabled or now_s < self._next_s:
            return
        self._next_s = now_s + PROBE_PERIOD_S
        if self.holds():
            self._held = True
        elif self._held:
            self.failures += 1
            process.stop_soon()
            self._kill_at_s = now_s + TERMINATION_GRACE_S

    def holds(self) -> bool:
        try:
            fence = Fence.parse(self._fence().read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError):
            return False
        return fence is not None and fence.holds(now_s=time.clock_gettime(time.CLOCK_BOOTTIME), boot_id=self._boot_id)


class Kubelet:
    """One thread that tends all workers of a fleet."""

    def __init__(self) -> None:
        self._tended: list[Callable[[float], None]] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet-kubelet", daemon=True)
        self._thread.start()

    def tend(self, tended: Callable[[float], None]) -> None:
        """Call this some twenty times a second with the monotonic time."""
        with self._lock:
            self._tended.append(tended)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            with self._lock:
                tended = list(self._tended)
            for each in tended:
                each(time.monotonic())
