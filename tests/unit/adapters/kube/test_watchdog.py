from __future__ import annotations

import subprocess
import sys
import threading
import time

from fingerv7.adapters.kube.watchdog import Watchdog, boot_time


def test_it_fires_at_its_deadline_and_not_before() -> None:
    fired = threading.Event()
    dog = Watchdog(fired.set, clock=boot_time)
    dog.watch(boot_time() + 0.3)
    assert not fired.wait(0.1)
    dog.watch(boot_time() + 0.6)
    assert not fired.wait(0.4)
    assert fired.wait(5)


def test_a_stopped_one_never_fires_and_can_be_used_again() -> None:
    fired = threading.Event()
    dog = Watchdog(fired.set, clock=boot_time)
    dog.watch(boot_time() + 0.1)
    dog.stop()
    assert not fired.wait(0.3)
    dog.watch(boot_time() + 0.1)
    assert fired.wait(5)


def test_time_asleep_counts() -> None:
    slept = [0.0]
    fired = threading.Event()
    dog = Watchdog(fired.set, clock=lambda: time.monotonic() + slept[0])
    dog.watch(time.monotonic() + 60)
    slept[0] = 60.0
    assert fired.wait(5)


BLOCKED = """
import asyncio, time
from fingerv7.adapters.kube.watchdog import Watchdog, boot_time, exit_process

async def main():
    Watchdog(lambda: exit_process("leadership lost"), clock=boot_time).watch(boot_time() + 0.3)
    time.sleep(60)  # the loop hangs

asyncio.run(main())
"""


def test_a_blocked_loop_does_not_keep_the_process_alive() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == b"leadership lost\n"


FULL_PIPE = """
import asyncio, os, threading, time
from fingerv7.adapters.kube.watchdog import Watchdog, boot_time, exit_process

Watchdog(lambda: exit_process("leadership lost"), clock=boot_time).watch(boot_time() + 0.3)
while True:
    os.write(2, b"x" * 4096)  # blocks for ever once nobody reads
"""


def test_a_full_pipe_on_standard_error_does_not_keep_the_process_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", FULL_PIPE], stderr=subprocess.PIPE) as process:
        assert process.wait(30) == 1
