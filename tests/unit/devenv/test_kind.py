from __future__ import annotations

import os
from pathlib import Path

import pytest

from devenv.cluster import start_cluster_in
from devenv.errors import StartupError
from devenv.homes import detached_home, load_record
from devenv.kubeconfig import render
from devenv.progress import no_progress
from devenv.status import state_of
from devenv.surroundings import Surroundings

# Notes each call; `create` writes the kubeconfig that follows --kubeconfig.
FAKE_KIND = """#!/bin/sh
echo "$KIND_EXPERIMENTAL_PROVIDER: $*" >> {folder}/calls
[ "$1" = delete ] && exit 0
while [ "$1" != --kubeconfig ]; do shift; done
{action}
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of fake programs, the only place where kind is."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "given").write_text(
        render(name="kind", server="https://127.0.0.1:6443", ca_pem=b"PEM", user="kind", token="t")
    )
    return tmp_path


def install(machine: Path, action: str) -> Surroundings:
    (machine / "kind").write_text(FAKE_KIND.format(folder=machine, action=action))
    (machine / "kind").chmod(0o755)
    return Surroundings(
        env={},
        which=lambda name: f"/usr/bin/{name}" if name in ("kind", "podman", "kubectl") else None,
        engine_answers=lambda engine: engine == "podman",
    )


def test_a_cluster_is_made_on_the_engine_that_answers_and_deleted_by_its_name(machine: Path) -> None:
    around = install(machine, f'cp {machine}/given "$2"')
    home = detached_home(machine / "dev", "dev")
    cluster = start_cluster_in(home, around, no_progress)
    home.settled()
    assert cluster.server == "https://127.0.0.1:6443"
    assert cluster.ca_file.read_bytes() == b"PEM"
    assert not cluster.can_stop_apiserver
    record = load_record(home.path)
    assert record is not None
    assert state_of(record) == "up"
    cluster.stop()
    create, delete = (machine / "calls").read_text().splitlines()
    assert create.startswith("podman: create cluster --name fingerv7-dev --kubeconfig")
    assert delete == "podman: delete cluster --name fingerv7-dev"


def test_a_kind_that_fails_shows_its_words_and_what_it_began_is_deleted(machine: Path) -> None:
    around = install(machine, "echo no space left on device; exit 1")
    with pytest.raises(StartupError, match=r"kind failed with exit code 1(.|\n)*no space left on device"):
        start_cluster_in(detached_home(machine / "dev", "dev"), around, no_progress)
    assert (machine / "calls").read_text().splitlines()[-1] == "podman: delete cluster --name fingerv7-dev"
    assert not (machine / "dev").exists()
