from __future__ import annotations

import json
import os
import re
import tarfile
import tomllib
from io import BytesIO
from pathlib import Path

import pytest

from devenv import image_builder, images
from devenv.image_builder import EngineBuilder, added_bytes, find_builder, pip_secrets
from devenv.images import TARGETS, build_images, content_key
from devenv.progress import Progress, no_progress
from devenv.surroundings import Surroundings
from fingerv7.core.managed.template import PUBLIC_PORT

ROOT = Path(__file__).parents[3]


class Builder:
    """Writes what it was asked for, and counts."""

    base_layers = 1

    def __init__(self) -> None:
        self.built: list[str] = []

    def identity(self) -> str:
        return "base:1"

    def build(self, context: Path, target: str, name: str, archive: Path, progress: Progress) -> None:
        self.built.append(target)
        archive.write_text(name)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    root = tmp_path / "sources"
    for name in (
        "Dockerfile",
        ".dockerignore",
        "requirements/operator.txt",
        "requirements/sidecar.txt",
        "operator/fingerv7/contract.py",
        "operator/fingerv7/core/rounds.py",
        "worker-sidecar/fingerv7_sidecar/main.py",
        "examples/reference_worker/worker.py",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    builder = Builder()
    monkeypatch.setattr(images, "find_builder", lambda *_: builder)
    return builder


def around(folder: Path) -> Surroundings:
    return Surroundings(env={"XDG_CACHE_HOME": str(folder / "cache")}, which=lambda _: None)


def test_what_is_built_is_not_built_again(sources: Path, builder: Builder, tmp_path: Path) -> None:
    first = build_images(around(tmp_path), no_progress, sources)
    assert build_images(around(tmp_path), no_progress, sources) == first
    assert builder.built == list(TARGETS)
    assert first["operator"].archive.read_text() == first["operator"].name


def test_a_change_builds_only_the_images_that_have_it_and_the_old_archive_goes(
    sources: Path, builder: Builder, tmp_path: Path
) -> None:
    before = build_images(around(tmp_path), no_progress, sources)
    builder.built.clear()
    os.utime(before["worker-sidecar"].archive, (0, 0))
    (sources / "worker-sidecar/fingerv7_sidecar/main.py").write_text("changed")
    after = build_images(around(tmp_path), no_progress, sources)
    assert builder.built == ["worker-sidecar"]
    assert not before["worker-sidecar"].archive.exists()
    assert after["operator"] == before["operator"]


def test_the_sidecar_depends_on_the_shared_contract_and_on_nothing_else_of_the_operator(sources: Path) -> None:
    before = content_key(sources, "worker-sidecar", "base:1")
    (sources / "operator/fingerv7/core/rounds.py").write_text("changed")
    assert content_key(sources, "worker-sidecar", "base:1") == before
    (sources / "operator/fingerv7/contract.py").write_text("changed")
    assert content_key(sources, "worker-sidecar", "base:1") != before


def test_another_base_makes_other_images(sources: Path) -> None:
    assert content_key(sources, "operator", "base:1") != content_key(sources, "operator", "base:2")


def test_the_dockerfile_has_all_targets_and_pins_no_registry() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert all(f" AS {target}\n" in text for target in TARGETS)
    assert all(
        line.split()[1].startswith(("${BASE}", "build", "operator"))
        for line in text.splitlines()
        if line.startswith("FROM")
    )
    assert text.count("USER 65532:65532") == 2


def test_the_images_say_what_they_are_and_which_ports_are_for_others() -> None:
    stages = {
        stage.partition("\n")[0].split()[-1]: stage for stage in (ROOT / "Dockerfile").read_text().split("\nFROM ")
    }
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for target, port in (("operator", 8080), ("worker-sidecar", PUBLIC_PORT)):
        assert f'org.opencontainers.image.version="{version}"' in stages[target]
        assert [line for line in stages[target].splitlines() if line.startswith("EXPOSE")] == [f"EXPOSE {port}"]


def test_an_engine_takes_the_dockerfile_s_base_unless_it_is_told_another() -> None:
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    which = {"docker": "/usr/bin/docker"}.get
    for env, base in (({}, ""), ({"FINGERV7_BASE_IMAGE": "python@sha256:1"}, "python@sha256:1")):
        found = find_builder(Surroundings(env=env, which=which, engine_answers=lambda _: True), no_progress)
        assert isinstance(found, EngineBuilder)
        assert found.identity() == base


def test_pips_settings_travel_as_secrets_without_folders_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("certificate")
    listed = (
        f"global.index-url='https://index.example/simple'\n:env:.find-links='/opt/wheels'\n:env:.cert='{authority}'\n"
    )
    monkeypatch.setattr(image_builder, "_output", lambda _: listed)
    options = pip_secrets(tmp_path)
    assert options[1] == f"id=pip.conf,src={tmp_path}/pip.conf"
    assert options[3] == f"id=pip-cert,src={authority}"
    text = (tmp_path / "pip.conf").read_text()
    assert text == "[global]\nindex-url = https://index.example/simple\ncert = /run/secrets/pip-cert\n"


def test_the_size_counts_what_is_above_the_base(tmp_path: Path) -> None:
    files = {
        "manifest.json": json.dumps([{"Layers": ["base.tar", "code.tar"]}]).encode(),
        "base.tar": b"b" * 5000,
        "code.tar": b"c" * 3000,
    }
    archive = tmp_path / "image.tar"
    with tarfile.open(archive, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, BytesIO(data))
    assert added_bytes(archive, 1) == 3000
