"""Helm, for the tests of the chart: the one on PATH where it is of the wanted line, or else built from its Go module.

Each line has a module of its own in `hack/helm`, because Helm needs other Kubernetes versions than the development
cluster does, and each of its lines others than the next. `python -m devenv.helm v4 v3` builds what is missing.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final, Literal, get_args

from devenv.errors import DevenvError
from devenv.gobuild import build_lock, find_go, go_build, platform_of, read_release, remove_leftovers
from devenv.progress import Progress, print_progress
from devenv.surroundings import Surroundings, here

Line = Literal["v4", "v3"]

LINES: Final[tuple[Line, ...]] = get_args(Line)
_MODULES: Final = Path(__file__).resolve().parents[1] / "helm"
_ASK_S: Final = 30
_V3_STAMPED: Final = ("chartutil", "lint/rules")


def version(line: Line) -> str:
    """What `hack/helm/<line>/go.mod` pins: `v4.3.1`."""
    return _pinned(line, f"helm.sh/helm/{line}")


def _kubernetes_minor(line: Line) -> str:
    """Of the release that its client is from: 36 for v0.36.2."""
    return _pinned(line, "k8s.io/client-go").split(".")[1]


def _pinned(line: Line, module: str) -> str:
    file = _MODULES / line / "go.mod"
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{file} requires no {module}")
    return found[1]


def find_helm(line: Line, around: Surroundings, progress: Progress) -> Path:
    """The binary, which takes minutes to build once.

    Raises:
        MissingRequirementsError: it has to be built and there is no suitable Go.
        StartupError: the build failed; with the compiler's words.
    """
    installed = around.which("helm")
    if installed and _is_of(installed, line):
        return Path(installed)
    target = around.cache_folder / "helm" / f"{version(line)}-{platform_of(around)}" / "helm"
    if not target.is_file():
        go = find_go(around, read_release())
        target.parent.mkdir(parents=True, exist_ok=True)
        with build_lock(target.parent / ".lock", "Helm", progress):
            remove_leftovers(target.parent)
            if not target.is_file():
                _build(go, line, target, progress)
    return target


def _is_of(helm: str, line: Line) -> bool:
    try:
        asked = subprocess.run(
            [helm, "version", "--short"], capture_output=True, text=True, check=False, timeout=_ASK_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0 and asked.stdout.startswith(f"{line}.")


def _build(go: str, line: Line, target: Path, progress: Progress) -> None:
    package = f"helm.sh/helm/{line}"
    flags = f"-s -w -X {package}/internal/version.version={version(line)}"
    if line == "v3":
        # Else it renders for Kubernetes 1.20 where no cluster is asked; Helm 4 finds out by itself.
        stamps = {"Major": "1", "Minor": _kubernetes_minor(line)}
        parts = [
            f"-X {package}/pkg/{where}.k8sVersion{part}={number}"
            for where in _V3_STAMPED
            for part, number in stamps.items()
        ]
        flags = " ".join([flags, *parts])
    what = f"building Helm {version(line)} (only this once)"
    go_build(go, _MODULES / line, f"{package}/cmd/helm", flags, target, progress, what, name=f"helm-{line}")


def main(arguments: list[str]) -> int:
    """Build the named lines, or Helm 4, and say where they are."""
    wanted = [line for line in LINES if line in (arguments or ["v4"])]
    if set(arguments) - set(LINES):
        print(f"python -m devenv.helm {' '.join(f'[{line}]' for line in LINES)}", file=sys.stderr)
        return 2
    try:
        for line in wanted:
            print(f"helm {line}: {find_helm(line, here(), print_progress)}")
    except DevenvError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
