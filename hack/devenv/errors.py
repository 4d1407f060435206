"""Everything that can go wrong here, each with what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TAIL_LINES = 20
_TAIL_BYTES = 64 * 1024
_LINE_LENGTH = 300


class DevenvError(Exception):
    """The base of all errors of this package; its text is meant for the person at the terminal."""


@dataclass(frozen=True)
class Missing:
    """One thing that this machine lacks, and how to get it."""

    what: str
    how: str


class MissingRequirementsError(DevenvError):
    """The machine lacks something; names all of it at once, so that nobody fixes one thing per attempt."""

    def __init__(self, purpose: str, missing: Sequence[Missing]) -> None:
        self.missing = tuple(missing)
        lines = [f"{purpose} is not possible on this machine yet. What is missing:"]
        lines += [f"  - {each.what}\n      {each.how}" for each in self.missing]
        super().__init__("\n".join(lines))


class StartupError(DevenvError):
    """A process did not become ready; carries the end of its log."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        super().__init__(f"{name} {reason}. The end of its log:\n{tail(log)}")


class CommandError(DevenvError):
    """A command that we ran failed; carries what it wrote to standard error."""

    def __init__(self, argv: Sequence[str], returncode: int, stderr: str) -> None:
        self.returncode = returncode
        self.stderr = stderr
        super().__init__(f"`{' '.join(argv)}` exited with {returncode}:\n{stderr.strip()}")


def tail(log: Path) -> str:
    """The last lines of a log, indented; says so when there are none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
    except OSError as error:
        return f"    (not readable: {error})"
    return "\n".join(f"    {line[:_LINE_LENGTH]}" for line in lines) or "    (empty)"
