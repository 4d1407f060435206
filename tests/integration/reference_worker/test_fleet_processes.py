"""How the fleet treats its processes (`devenv.fleet_process`, `devenv.fleet_kubelet`), on real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv import fleet_process
from devenv.fleet_kubelet import Container, Kubelet, LivenessProbe
from devenv.fleet_process import Process
from fingerv7.contract import Fence

pytestmark = pytest.mark.integration

_BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
_ROOT = Path(fleet_process.__file__).parents[1]
# Says when it is ready, and ignores SIGTERM, as a worker that hangs would.
_STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


def _eventually(condition: Callable[[], Any], what: str, within_s: float = 15.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)
    return result


def _fence(path: Path, *, for_s: float) -> None:
    path.write_text(str(Fence(time.clock_gettime(time.CLOCK_BOOTTIME), for_s, _BOOT)))


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process("stubborn", [sys.executable, "-c", _STUBBORN], dict(os.environ), tmp_path / "log")
    yield made
    made.kill()


@pytest.fixture
def kubelet() -> Iterator[Kubelet]:
    running = Kubelet()
    yield running
    running.stop()


def _ready(process: Process) -> bool:
    return process.log.exists() and "ready" in process.log.read_text()


def test_a_process_dies_with_the_one_that_started_it_however_that_ends(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time; from devenv.fleet_process import Process\n"
        f"p = Process('child', ['sleep', '60'], {{}}, pathlib.Path({str(tmp_path / 'log')!r})); p.start()\n"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    path = os.pathsep.join([str(_ROOT), str(_ROOT.parent / "examples")])
    owner = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        owner.kill()
    # A zombie that nobody reaps yet has no command line any more.
    cmdline = Path(f"/proc/{child}/cmdline")
    _eventually(lambda: not cmdline.exists() or not cmdline.read_bytes(), "the child is gone")


def test_a_process_survives_the_thread_that_asked_for_it(process: Process) -> None:
    thread = threading.Thread(target=process.start)
    thread.start()
    thread.join()
    _eventually(lambda: _ready(process), "it runs")
    assert process.alive


def test_stopping_is_sigterm_and_then_sigkill_also_for_a_frozen_one(process: Process) -> None:
    process.start()
    _eventually(lambda: _ready(process), "it runs")
    process.send(signal.SIGSTOP)
    process.stop(grace_s=0.2)
    assert process.exit_code == -signal.SIGKILL
    assert "stubborn (exit code -9)" in process.describe()


def test_a_dead_container_is_started_again_while_it_is_wanted(process: Process, kubelet: Kubelet) -> None:
    container = Container(process)
    kubelet.tend(container.tend)
    container.start()
    first = process.pid
    process.kill()
    _eventually(lambda: process.alive and process.pid != first, "it is restarted")
    assert container.restarts == 1
    container.wanted = False
    process.kill()
    container.tend(time.monotonic())
    container.tend(time.monotonic() + 60)
    assert not process.alive


def test_the_probe_kills_a_worker_whose_fence_has_expired_also_one_that_ignores_sigterm(
    process: Process, tmp_path: Path
) -> None:
    fence = tmp_path / "fence"
    _fence(fence, for_s=600)
    container = Container(process)
    probe = LivenessProbe(lambda: fence, container)
    container.start()
    _eventually(lambda: _ready(process), "it runs")
    probe.tend(100.0)
    assert probe.failures == 0
    _fence(fence, for_s=0)
    probe.tend(100.5)
    assert probe.failures == 0, "it probes once a second"
    probe.tend(101.0)
    assert probe.failures == 1
    probe.tend(102.9)
    assert process.alive, "two seconds of grace"
    probe.tend(103.0)
    assert process.exit_code == -signal.SIGKILL


def test_the_probe_waits_until_the_fence_held_for_the_first_time(process: Process, tmp_path: Path) -> None:
    container = Container(process)
    probe = LivenessProbe(lambda: tmp_path / "absent", container)
    container.start()
    for second in range(10):
        probe.tend(float(second))
    assert probe.failures == 0
    assert process.alive
