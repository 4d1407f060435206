from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from devenv.processes import ProcessRecord, boot_id, is_alive, started_ticks, stop_process, uptime_s

DEAF = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def record_of(pid: int, grace_s: float = 5.0) -> ProcessRecord:
    return ProcessRecord(
        name="it", pid=pid, started_ticks=started_ticks(pid) or 0, boot=boot_id(), stop_signal=15, grace_s=grace_s
    )


def test_a_recorded_process_is_stopped_by_its_signal(sleeper: subprocess.Popen[bytes]) -> None:
    record = record_of(sleeper.pid)
    assert is_alive(record)
    stop_process(record)
    assert sleeper.wait(5) == -15
    assert not is_alive(record)


def test_a_process_that_ignores_its_signal_is_killed_when_its_grace_is_over() -> None:
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        stop_process(record_of(process.pid, grace_s=0.1))
        assert process.wait(5) == -9


def test_a_pid_that_means_another_process_by_now_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    earlier = dataclasses.replace(record_of(sleeper.pid), started_ticks=1)
    assert not is_alive(earlier)
    stop_process(earlier)
    assert sleeper.poll() is None


def test_a_record_from_before_a_reboot_means_nobody(sleeper: subprocess.Popen[bytes]) -> None:
    before = dataclasses.replace(record_of(sleeper.pid), boot="another boot")
    assert not is_alive(before)
    stop_process(before)
    assert sleeper.poll() is None


def test_a_zombie_is_dead(sleeper: subprocess.Popen[bytes]) -> None:
    record = record_of(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # dead, and still there for us to reap
    assert not is_alive(record)


def test_a_process_that_is_gone_is_no_error(sleeper: subprocess.Popen[bytes]) -> None:
    record = record_of(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    stop_process(record)


def test_uptime_counts_from_the_start_of_the_process(sleeper: subprocess.Popen[bytes]) -> None:
    assert 0 <= uptime_s(record_of(sleeper.pid)) < 60
