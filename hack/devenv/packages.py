"""System packages that a node and the images need, installed from the distribution where that is possible.

Their versions are those of the distribution's release, signed by it: a version pinned here would vanish from the
archive with the next security update.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devenv.daemons import Command, run_to_end
from devenv.errors import Missing, MissingRequirementsError
from devenv.progress import Progress
from devenv.surroundings import Surroundings

# Debian keeps these off PATH, or off the PATH of most users.
_MORE_FOLDERS = ("/usr/sbin", "/sbin", "/usr/lib/cni", "/opt/cni/bin")


@dataclass(frozen=True)
class Tool:
    """A program and the Debian package that has it."""

    program: str
    package: str


NODE_TOOLS = (
    Tool("runc", "runc"),
    Tool("bridge", "containernetworking-plugins"),
    Tool("host-local", "containernetworking-plugins"),
    Tool("nft", "nftables"),
    Tool("ip", "iproute2"),
)
IMAGE_TOOLS = (Tool("buildah", "buildah"), Tool("debootstrap", "debootstrap"))


def find_tool(program: str, around: Surroundings) -> Path | None:
    # iproute2 has a `bridge` too, but not where CNI plugins are.
    if program in ("bridge", "host-local"):
        return _in_folders(program, _MORE_FOLDERS[2:])
    found = around.which(program)
    return Path(found) if found else _in_folders(program, _MORE_FOLDERS[:2])


def install_tools(tools: Sequence[Tool], purpose: str, around: Surroundings, progress: Progress) -> dict[str, Path]:
    """Where each program is; what is missing is installed with apt.

    Raises:
        MissingRequirementsError: something is missing and cannot be installed: not root, or no apt.
        StartupError: apt failed; with its words.
    """
    if wanted := [tool for tool in tools if find_tool(tool.program, around) is None]:
        packages = sorted({tool.package for tool in wanted})
        apt = around.which("apt-get")
        if apt is None or os.geteuid() != 0:
            why = "here is no apt" if apt is None else "only root may install it"
            how = f"{why}; on Debian: apt-get install --no-install-recommends {' '.join(packages)}"
            raise MissingRequirementsError(purpose, [Missing(", ".join(t.program for t in wanted), how)])
        _install(apt, packages, progress)
    found = {tool.program: find_tool(tool.program, around) for tool in tools}
    if absent := [program for program, path in found.items() if path is None]:
        how = "the packages are installed, and yet it is not there; is this another distribution than Debian?"
        raise MissingRequirementsError(purpose, [Missing(program, how) for program in absent])
    return {program: path for program, path in found.items() if path is not None}


def _in_folders(program: str, folders: Sequence[str]) -> Path | None:
    return next((Path(f, program) for f in folders if os.access(Path(f, program), os.X_OK)), None)


def _install(apt: str, packages: Sequence[str], progress: Progress) -> None:
    options = (
        *("env", "DEBIAN_FRONTEND=noninteractive", apt, "-qq"),
        # Somebody else's apt may be at work.
        *("-o", "DPkg::Lock::Timeout=120"),
    )
    with tempfile.TemporaryDirectory(prefix="fingerv7-apt-") as folder:
        _run("apt-get-update", (*options, "update"), Path(folder), progress, "reading the package lists")
        arguments = ("install", "--yes", "--no-install-recommends", *packages)
        _run("apt-get-install", (*options, *arguments), Path(folder), progress, f"installing {', '.join(packages)}")


def _run(name: str, argv: tuple[str, ...], folder: Path, progress: Progress, what: str) -> None:
    command = Command(name=name, argv=argv, folder=folder, stop_signal=signal.SIGINT)
    run_to_end(command, what, progress, failed=name)
