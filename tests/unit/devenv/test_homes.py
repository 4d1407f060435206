from __future__ import annotations

import dataclasses
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.daemons import Command, Daemon, launch_detached
from devenv.homes import Home, Record, detached_home, load_record, owned_home, reap_abandoned, tear_down
from devenv.processes import is_alive
from devenv.status import duration, render_status, state_of


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_another_process_finds_everything_by_the_record(tmp_path: Path) -> None:
    home = detached_home(tmp_path / "dev", "dev")
    daemon = home.launch(Command(name="sleeper", argv=("sleep", "60"), folder=home.path, port=4711))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home.add_folder(elsewhere)
    home.settled()

    record = load_record(home.path)
    assert record is not None
    assert record.components == [daemon.record]
    assert state_of(record) == "up"
    tear_down(home.path, record)
    assert not is_alive(daemon.record)
    assert not home.path.exists()
    assert not elsewhere.exists()
    home.tear_down()


def test_a_restarted_process_replaces_its_record(tmp_path: Path) -> None:
    home = detached_home(tmp_path / "dev", "dev")
    command = Command(name="sleeper", argv=("sleep", "60"), folder=home.path)
    home.launch(command)
    home.stop_processes("sleeper")
    again = home.launch(command)
    assert home.record.components == [again.record]
    home.tear_down()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Processes that share the tests among them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_waits_until_what_was_started_is_noted(tmp_path: Path) -> None:
    def interrupted(command: Command) -> Daemon:
        daemon = launch_detached(command)
        signal.raise_signal(signal.SIGINT)
        return daemon

    home = Home(tmp_path, Record(name="dev"), interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            home.launch(Command(name="sleeper", argv=("sleep", "60"), folder=home.path))
        (noted,) = home.record.components
        assert is_alive(noted)
    finally:
        home.tear_down()
    assert not is_alive(noted)


def test_records_hold_no_secrets_and_are_private_all_the_same(tmp_path: Path) -> None:
    home = detached_home(tmp_path / "dev", "dev")
    assert stat.S_IMODE((home.path / "record.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    home.tear_down()


def test_a_name_that_is_taken_is_not_started_twice(tmp_path: Path) -> None:
    home = detached_home(tmp_path / "dev", "dev")
    with pytest.raises(FileExistsError):
        detached_home(tmp_path / "dev", "dev")
    home.tear_down()


def test_what_a_killed_owner_left_is_removed_and_a_living_one_is_left_alone() -> None:
    living, abandoned = owned_home("living"), owned_home("abandoned")
    assert abandoned.record.owner is not None
    abandoned.record.owner = dataclasses.replace(abandoned.record.owner, started_ticks=1)
    abandoned.save()
    reap_abandoned()
    assert living.path.exists()
    assert not abandoned.path.exists()
    living.tear_down()


def test_status_tells_starting_up_broken_and_dead_apart(tmp_path: Path) -> None:
    home = detached_home(tmp_path / "dev", "dev")
    assert state_of(home.record) == "starting"
    home.settled()
    assert state_of(home.record) == "not ours"
    for name in ("one", "two"):
        home.launch(Command(name=name, argv=("sleep", "60"), folder=home.path, port=4711))
    assert state_of(home.record) == "up"
    home.stop_processes("one")
    assert state_of(home.record) == "broken"
    shown = render_status([home.record])
    assert "gone" in shown
    assert "up 0s" in shown
    assert "make down ARGS='--name dev'" in shown
    home.stop_processes("two")
    assert state_of(home.record) == "dead"
    home.tear_down()


def test_without_clusters_status_says_how_to_get_one() -> None:
    assert render_status([]) == "nothing is up; `make up` starts a cluster"


@pytest.mark.parametrize(
    ("seconds", "text"), [(5.9, "5s"), (192, "3m12s"), (7_500, "2h5m"), (190_800, "2d5h")], ids=str
)
def test_uptimes_show_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
