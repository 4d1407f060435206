"""Helm, for the tests of the chart: the one on PATH where it is of the wanted line, or else built from its Go module.

Each line has a module of its own in `hack/helm`, because Helm needs other Kubernetes versions than the development
cluster does, and each of its lines others than the next. `python -m devenv.helm v4 v3` builds what is missing.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TextIO, get_args

from devenv.daemons import Command, launch_owned
from devenv.errors import DevenvError, StartupError
from devenv.gobuild import find_go, platform_of, read_release
from devenv.progress import Progress, print_progress, step
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
        with _lock(target.parent / ".lock", progress):
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
    for leftover in target.parent.glob("building-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="building-", dir=target.parent))
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
    command = Command(
        name=f"helm-{line}",
        folder=folder,
        argv=(
            *("env", "CGO_ENABLED=0", "GOWORK=off", go, "-C", str(_MODULES / line), "build", "-mod=readonly"),
            *("-trimpath", "-ldflags", flags, "-o", str(folder / "binary"), f"{package}/cmd/helm"),
        ),
        stop_signal=signal.SIGINT,
    )
    daemon = launch_owned(command)
    try:
        with step(progress, f"building Helm {version(line)} (only this once)") as tick:
            while (code := daemon.wait(1.0)) is None:
                tick()
            if code != 0:
                raise StartupError(f"go build of Helm {version(line)}", f"failed with exit code {code}", command.log)
        (folder / "binary").replace(target)
        # Left in place after a failure, for its log; the next build removes it.
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        daemon.stop()


@contextmanager
def _lock(path: Path, progress: Progress) -> Iterator[None]:
    # The kernel frees it with the process, so a killed build blocks nobody.
    with path.open("a") as file:
        if not _locked(file):
            with step(progress, "waiting for another build of Helm") as tick:
                while not _locked(file):
                    tick()
                    time.sleep(1.0)
        yield


def _locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
