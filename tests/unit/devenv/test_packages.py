from __future__ import annotations

import os
from pathlib import Path

import pytest

from devenv import packages
from devenv.errors import MissingRequirementsError, StartupError
from devenv.packages import Tool, install_tools
from devenv.progress import no_progress
from devenv.surroundings import Surroundings

TOOLS = (Tool("runc", "runc"), Tool("nft", "nftables"))


def machine(folder: Path, apt: str = "") -> Surroundings:
    """A PATH of one folder, with an apt-get that does `apt`."""
    if apt:
        script = folder / "apt-get"
        script.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\n{apt}\n')
        script.chmod(0o755)
    return Surroundings(
        env={}, which=lambda name: str(folder / name) if os.access(folder / name, os.X_OK) else None, system="Linux"
    )


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(packages, "_MORE_FOLDERS", ("/nowhere",) * 4)


def test_what_is_there_is_used_and_apt_is_not_asked(tmp_path: Path) -> None:
    around = machine(tmp_path, "exit 1")
    for tool in TOOLS:
        (tmp_path / tool.program).touch(0o755)
    assert install_tools(TOOLS, "a test", around, no_progress)["nft"] == tmp_path / "nft"


def test_only_what_is_missing_is_installed(tmp_path: Path) -> None:
    (tmp_path / "runc").touch(0o755)
    install_tools(TOOLS, "a test", machine(tmp_path, f"touch {tmp_path}/nft; chmod 755 {tmp_path}/nft"), no_progress)
    assert (tmp_path / "asked").read_text().splitlines()[-1].endswith("--no-install-recommends nftables")


def test_without_root_the_command_to_give_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingRequirementsError, match=r"only root may(.|\n)*apt-get install .* nftables runc"):
        install_tools(TOOLS, "a test", machine(tmp_path, "true"), no_progress)


def test_without_apt_the_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingRequirementsError, match=r"here is no apt(.|\n)*nftables runc"):
        install_tools(TOOLS, "a test", machine(tmp_path), no_progress)


def test_a_failed_installation_tells_what_apt_said(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="no network"):
        install_tools(TOOLS, "a test", machine(tmp_path, "echo no network; exit 100"), no_progress)


def test_a_package_without_the_program_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(MissingRequirementsError, match="another distribution"):
        install_tools(TOOLS, "a test", machine(tmp_path, "true"), no_progress)
