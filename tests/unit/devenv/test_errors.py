from __future__ import annotations

from pathlib import Path

from devenv.errors import CommandError, Missing, MissingRequirementsError, StartupError


def test_everything_that_is_missing_is_named_at_once_with_how_to_get_it() -> None:
    error = MissingRequirementsError("starting it", [Missing("Go 1.26", "install it"), Missing("disk", "free some")])
    assert str(error) == (
        "starting it is not possible on this machine yet. What is missing:\n"
        "  - Go 1.26\n      install it\n"
        "  - disk\n      free some"
    )


def test_a_failed_start_shows_only_the_end_of_a_long_log(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    lines = str(StartupError("it", "ended", log)).splitlines()
    assert lines[0] == "it ended. The end of its log:"
    assert lines[1:] == [f"    line {number}" for number in range(980, 1000)]


def test_a_log_that_is_empty_or_missing_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "empty.log").touch()
    assert "(empty)" in str(StartupError("it", "ended", tmp_path / "empty.log"))
    assert "(not readable: " in str(StartupError("it", "ended", tmp_path / "none.log"))


def test_a_failed_command_carries_its_standard_error() -> None:
    error = CommandError(["kubectl", "get", "x"], 1, "the server doesn't have it\n")
    assert str(error) == "`kubectl get x` exited with 1:\nthe server doesn't have it"
