"""The guard, run as what it is: process 1 of a PID namespace, in every shell that is there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from fingerv7.contract import Fence
from fingerv7.core.managed.guard import FENCE_PROBE, GUARD, guarded
from fingerv7_sidecar.clock import read_boot_id, read_clock

ROOT = pathlib.Path(__file__).parents[4]
UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
if os.geteuid():
    UNSHARE += ["--user", "--map-root-user"]
SHELLS = [
    pytest.param(words, id=words[0], marks=() if shutil.which(words[0]) else pytest.mark.skip(f"no {words[0]} here"))
    for words in (["dash"], ["bash"], ["busybox", "sh"])
]
HOLDER = 'exec 9>"$0"; flock -x 9; trap "" TERM INT HUP; : >"$0.started"; while :; do sleep 0.1; done'
"""Holds a lock that shows from outside whether it lives, and ignores what one can ignore."""


def permitted():
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=10, check=False).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not permitted(), reason="no PID namespace may be made here")


class Container:
    def __init__(self, shell, folder, command):
        self.folder = folder
        script = GUARD.replace("/config/fence", str(folder / "fence"))
        given = guarded(command)
        assert given[:3] == ["sh", "-c", GUARD]
        self.process = subprocess.Popen(
            [*UNSHARE, *shell, "-c", script, *given[3:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )

    def fence(self, seconds):
        """Renewed now; returns when it expires, on the monotonic clock."""
        line = str(Fence(read_clock().boot, seconds, read_boot_id()))
        (self.folder / "new").write_text(line + "\n", encoding="ascii")
        (self.folder / "new").rename(self.folder / "fence")
        return time.monotonic() + seconds

    def terminate(self):
        """Only its process 1, as a container runtime does."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii")
        os.kill(int(children.split()[0]), signal.SIGTERM)

    def wait(self, seconds=20.0):
        return self.process.wait(seconds)

    def holds_lock(self):
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
        return False


@pytest.fixture
def container(tmp_path):
    with contextlib.ExitStack() as stack:

        def start(shell, *command):
            made = Container(shell, tmp_path, command)
            stack.callback(made.process.stdout.close)
            stack.callback(made.process.wait, 10)
            stack.callback(made.process.kill)
            return made

        yield start


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


@pytest.mark.parametrize("shell", SHELLS)
def test_nothing_starts_before_the_fence_holds(container, tmp_path, shell):
    started = tmp_path / "started"
    made = container(shell, "sh", "-c", f"echo here >{started}; exit 5")
    with pytest.raises(subprocess.TimeoutExpired):
        made.wait(1.5)
    made.fence(-1)
    with pytest.raises(subprocess.TimeoutExpired):
        made.wait(1.5)
    (tmp_path / "fence").write_text("1 2* x\n")  # an arithmetic error, which ends a shell
    with pytest.raises(subprocess.TimeoutExpired):
        made.wait(1.5)
    assert not started.exists()
    made.fence(60)
    assert made.wait() == 5
    assert started.exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_whoever_waits_for_the_fence_ends_on_term(container, shell):
    made = container(shell, "true")
    time.sleep(0.5)  # for the trap: before it is set, the kernel ignores the signal
    made.terminate()
    assert made.wait() == 143


@pytest.mark.parametrize("shell", SHELLS)
def test_everything_ends_with_the_fence(container, tmp_path, shell):
    """Also what left the group and the session, ignores TERM, and has lost its parent."""
    made = container(
        shell, "sh", "-c", f"setsid sh -c '{HOLDER}' {tmp_path / 'lock'} & trap '' TERM; sleep 60; sleep 60"
    )
    made.fence(60)
    until((tmp_path / "lock.started").exists)
    expires = made.fence(3)
    until(lambda: not made.holds_lock())
    assert expires - 1.5 < time.monotonic() < expires + 2
    assert made.wait() == 99


@pytest.mark.parametrize("shell", SHELLS)
def test_a_renewed_fence_lets_it_run_on(container, tmp_path, shell):
    made = container(shell, "sh", "-c", HOLDER, str(tmp_path / "lock"))
    made.fence(3)
    until((tmp_path / "lock.started").exists)
    for _ in range(4):
        made.fence(3)
        with pytest.raises(subprocess.TimeoutExpired):
            made.wait(1)
    assert made.holds_lock()


@pytest.mark.parametrize("shell", SHELLS)
def test_term_goes_to_the_command_whose_grace_is_watched_too(container, tmp_path, shell):
    made = container(
        shell, "sh", "-c", f"trap ': >{tmp_path}/asked' TERM; : >{tmp_path}/up; while :; do sleep 0.1; done"
    )
    made.fence(60)
    until((tmp_path / "up").exists)
    made.terminate()
    until((tmp_path / "asked").exists)
    expires = made.fence(2)
    assert made.wait() == 99
    assert time.monotonic() < expires + 2


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)])
def test_the_status_is_passed_on(container, shell, script, status):
    made = container(shell, "sh", "-c", script)
    made.fence(60)
    assert made.wait() == status


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_that_knows_no_term_ends_by_it(container, tmp_path, shell):
    """Which it would not as process 1."""
    made = container(shell, "sleep", "60")
    made.fence(60)
    time.sleep(1)
    made.terminate()
    assert made.wait() == 143


@pytest.mark.parametrize("shell", SHELLS)
def test_output_arguments_and_orphans_pass(container, shell):
    script = 'for n in 1 2 3; do (sleep 0.2 & ) ; done; sleep 0.5; printf "%s|" "$@"'
    made = container(shell, "sh", "-c", script, "sh", "a b", "$HOME", "")
    made.fence(60)
    assert made.wait() == 0
    assert made.process.stdout.read() == b"a b|$HOME||"


def test_kubernetes_replaces_nothing_in_it():
    assert "$$" not in GUARD
    assert "$(" not in GUARD.replace("$((", "")


def test_the_documentation_has_this_very_script():
    page = (ROOT / "docs" / "workers.md").read_text(encoding="utf-8")
    assert GUARD in page
    assert f"\n{FENCE_PROBE}\n" in page
