from __future__ import annotations

from pathlib import Path

import pytest

from devenv.gobuild import read_release
from devenv.helm import LINES, find_helm, version
from devenv.progress import no_progress
from devenv.surroundings import Surroundings

GO = """#!/bin/sh
if [ "$1" = env ]; then echo '{{"GOVERSION": "go{go}", "GOTOOLCHAIN": "auto"}}'; exit 0; fi
echo "$@" >> {folder}/builds
while [ "$1" != -o ]; do shift; done
echo binary > "$2"
"""


def around(folder: Path, **programs: str) -> Surroundings:
    """With these programs on PATH, as shell scripts."""
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return Surroundings(
        env={"XDG_CACHE_HOME": str(folder / "cache")},
        which=lambda name: str(folder / name) if name in programs else None,
        system="Linux",
        machine="x86_64",
    )


def helm_that_says(words: str) -> str:
    return f"#!/bin/sh\necho {words}\n"


@pytest.mark.parametrize("line", LINES)
def test_each_line_has_a_module_that_pins_it(line) -> None:
    assert version(line).startswith(f"{line}.")


def test_a_helm_of_the_wanted_line_is_taken_from_the_path(tmp_path: Path) -> None:
    here = around(tmp_path, helm=helm_that_says("v4.1.0+g4553a0a"))
    assert find_helm("v4", here, no_progress) == tmp_path / "helm"


def test_another_line_is_built_once_and_kept(tmp_path: Path) -> None:
    go = GO.format(go=read_release().go, folder=tmp_path)
    here = around(tmp_path, helm=helm_that_says("v3.19.0+g3d8990f"), go=go)
    built = find_helm("v4", here, no_progress)
    assert built == tmp_path / "cache" / "fingerv7" / "helm" / f"{version('v4')}-linux-amd64" / "helm"
    assert find_helm("v4", here, no_progress) == built
    assert built.read_text() == "binary\n"
    assert (tmp_path / "builds").read_text().count("helm.sh/helm/v4/cmd/helm") == 1
    assert {path.name for path in built.parent.iterdir()} == {"helm", ".lock"}
