from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from devenv.daemons import Command, Daemon, launch_detached, launch_owned, wait_ready
from devenv.errors import StartupError
from devenv.processes import is_alive
from devenv.progress import no_progress

# What a shell without job control does to `command &`.
IN_THE_BACKGROUND = ("sh", "-c", 'trap "" INT QUIT; exec "$@"', "sh")

# The owner prints the pid of its guard and waits to be killed.
OWNER = """
import sys, time
from pathlib import Path
from devenv.daemons import Command, launch_owned
daemon = launch_owned(Command(name="sleeper", argv=("sleep", "60"), folder=Path(sys.argv[1])))
print(daemon.record.pid, flush=True)
time.sleep(60)
"""


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


def running_in(folder: Path) -> set[int]:
    """Whatever runs with this working folder, by the kernel's word instead of our records'."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str((entry / "cwd").readlink()).removesuffix(" (deleted)") == str(folder):
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def start_owner(folder: Path, *, prefix: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "hack")}
    argv = [*prefix, sys.executable, "-c", OWNER, str(folder)]
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE)


def guard_of(owner: subprocess.Popen[bytes]) -> int:
    assert owner.stdout is not None
    return int(owner.stdout.readline())


def test_an_owned_command_runs_until_it_is_stopped(tmp_path: Path) -> None:
    daemon = launch_owned(Command(name="sleeper", argv=("sleep", "60"), folder=tmp_path))
    wait_for(lambda: len(running_in(tmp_path)) == 2, "guard and command running")
    assert daemon.is_alive()
    daemon.stop()
    assert running_in(tmp_path) == set()


def test_an_owned_command_gets_its_own_stop_signal(tmp_path: Path) -> None:
    script = "trap 'echo fast; exit 0' INT; echo ready; while :; do sleep 0.05; done"
    command = Command(name="it", argv=("sh", "-c", script), folder=tmp_path, stop_signal=signal.SIGINT)
    daemon = launch_owned(command)
    wait_for(lambda: "ready" in command.log.read_text(), "the start")
    daemon.stop()
    assert command.log.read_text().splitlines() == ["ready", "fast"]


def test_nothing_outlives_an_owner_that_was_killed(tmp_path: Path) -> None:
    with start_owner(tmp_path) as owner:
        guard_of(owner)
        wait_for(lambda: len(running_in(tmp_path)) == 2, "guard and command running")
        owner.kill()
    wait_for(lambda: not running_in(tmp_path), "the end of guard and command")


def test_nothing_outlives_a_guard_that_was_killed(tmp_path: Path) -> None:
    daemon = launch_owned(Command(name="sleeper", argv=("sleep", "60"), folder=tmp_path))
    wait_for(lambda: len(running_in(tmp_path)) == 2, "guard and command running")
    os.kill(daemon.record.pid, signal.SIGKILL)
    wait_for(lambda: not running_in(tmp_path) - {daemon.record.pid}, "the end of the command")
    daemon.stop()


def test_nor_does_it_when_all_this_runs_in_the_background_of_a_script(tmp_path: Path) -> None:
    with start_owner(tmp_path, prefix=IN_THE_BACKGROUND) as owner:
        guard = guard_of(owner)
        wait_for(lambda: len(running_in(tmp_path)) == 2, "guard and command running")
        os.kill(guard, signal.SIGKILL)
        wait_for(lambda: not running_in(tmp_path) - {guard}, "the end of the command")
        owner.kill()


def test_a_detached_command_is_found_again_by_its_record(tmp_path: Path) -> None:
    daemon = launch_detached(Command(name="sleeper", argv=("sleep", "60"), folder=tmp_path, port=4711))
    assert is_alive(daemon.record)
    assert (daemon.record.port, daemon.record.log) == (4711, str(tmp_path / "sleeper.log"))
    daemon.stop()
    assert running_in(tmp_path) == set()


@pytest.mark.parametrize("launch", [launch_owned, launch_detached])
def test_a_command_that_ends_at_once_shows_the_end_of_its_log(
    tmp_path: Path, launch: Callable[[Command], Daemon]
) -> None:
    command = Command(name="broken", argv=("sh", "-c", "echo no such flag >&2; exit 3"), folder=tmp_path)
    daemon = launch(command)
    with pytest.raises(StartupError, match=r"broken ended with exit code 3(.|\n)*no such flag"):
        wait_ready(daemon, lambda: False, timeout_s=10, progress=no_progress)
    daemon.stop()


def test_a_command_that_never_becomes_ready_shows_the_end_of_its_log(tmp_path: Path) -> None:
    daemon = launch_owned(
        Command(name="slow", argv=("sh", "-c", "echo still thinking; exec sleep 60"), folder=tmp_path)
    )
    wait_for(lambda: bool(daemon.command.log.read_text()), "its first words")
    with pytest.raises(StartupError, match=r"slow was not ready after 0 s(.|\n)*still thinking"):
        wait_ready(daemon, lambda: False, timeout_s=0, progress=no_progress)
    daemon.stop()
