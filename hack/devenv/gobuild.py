"""Kubernetes' and etcd's own binaries, built from their Go modules: a real control plane wherever Go is.

No container engine and no download site is needed, only the module proxy that Go is set up for. It takes minutes,
so the result is cached outside the repository, keyed by the versions in `hack/controlplane/go.mod`, and two
starters at the same time build once.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from devenv.daemons import Command, run_to_end
from devenv.errors import Missing, MissingRequirementsError
from devenv.progress import Progress, step
from devenv.surroundings import Surroundings

MODULE_FOLDER = Path(__file__).resolve().parents[1] / "controlplane"
_GO_HOME = "/usr/local/go/bin/go"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CONTAINERD = "github.com/containerd/containerd/v2"
_CONTAINERD_NAMES = ("containerd", "containerd-shim-runc-v2", "ctr")
_PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "pause": "./pause",
    **{name: f"{_CONTAINERD}/cmd/{name}" for name in _CONTAINERD_NAMES},
}
_VERSION_PACKAGE = "k8s.io/component-base/version"
_HALF = "building-"


@dataclass(frozen=True)
class Release:
    """The versions that go.mod pins: `v1.36.3`, `v3.6.8`, `v2.3.7`, and the Go that they need, `1.26.8`."""

    kubernetes: str
    etcd: str
    containerd: str
    go: str

    def of(self, name: str) -> str:
        """The version of a binary."""
        if name in _CONTAINERD_NAMES:
            return self.containerd
        return self.etcd if name == "etcd" else self.kubernetes


def read_release(go_mod: Path = MODULE_FOLDER / "go.mod") -> Release:
    text = go_mod.read_text(encoding="utf-8")

    def find(pattern: str) -> str:
        found = re.search(pattern, text, re.MULTILINE)
        if found is None:
            raise ValueError(f"{go_mod} has no line like {pattern}")
        return found[1]

    return Release(
        kubernetes=find(r"^\s*(?:require )?k8s\.io/kubernetes (v\S+)"),
        etcd=find(r"^\s*(?:require )?go\.etcd\.io/etcd/server/v3 (v\S+)"),
        containerd=find(r"^\s*(?:require )?github\.com/containerd/containerd/v2 (v\S+)"),
        go=find(r"^go (\S+)$"),
    )


def cache_folder(around: Surroundings, release: Release) -> Path:
    return around.cache_folder / "controlplane" / f"{release.kubernetes}-{release.etcd}-{platform_of(around)}"


def containerd_folder(around: Surroundings, release: Release) -> Path:
    """Where containerd is, and its shim beside it, where it looks for it."""
    return around.cache_folder / "containerd" / f"{release.containerd}-{platform_of(around)}"


def platform_of(around: Surroundings) -> str:
    """As Go calls it: `linux-amd64`."""
    return f"{around.system.lower()}-{architecture(around)}"


def architecture(around: Surroundings) -> str:
    return _ARCHITECTURES.get(around.machine, around.machine)


def build(names: Sequence[str], around: Surroundings, progress: Progress) -> dict[str, Path]:
    """The named binaries (`etcd`, `kube-apiserver`, …), from the cache or built into it.

    Raises:
        MissingRequirementsError: something has to be built and there is no suitable Go.
        StartupError: the build failed; with the compiler's words.
    """
    release = read_release()
    cache = cache_folder(around, release)
    folders = {name: containerd_folder(around, release) if name in _CONTAINERD_NAMES else cache for name in names}
    binaries = {name: folder / name for name, folder in folders.items()}
    if all(path.is_file() for path in binaries.values()):
        return binaries

    go = find_go(around, release)
    cache.mkdir(parents=True, exist_ok=True)
    with build_lock(cache / ".lock", "the control plane", progress):
        for folder in {cache, *folders.values()}:
            remove_leftovers(folder)
        wanted = [name for name in names if not binaries[name].is_file()]
        for number, name in enumerate(wanted, 1):
            what = f"building {name} {release.of(name)} ({number} of {len(wanted)}, only this once)"
            _build_one(go, name, release, binaries[name], progress, what)
    return binaries


def find_go(around: Surroundings, release: Release) -> str:
    """The `go` command, if it is new enough or can fetch one that is."""
    how = f"install Go {release.go} or newer: https://go.dev/doc/install, and put its bin folder on PATH"
    go = around.which("go") or (_GO_HOME if Path(_GO_HOME).is_file() else None)
    purpose = "building the control plane from Go modules"
    if go is None:
        alternative = "or install kind with a container engine, or set KUBEBUILDER_ASSETS"
        raise MissingRequirementsError(
            purpose, [Missing("the Go toolchain (no `go` on PATH)", f"{how};\n      {alternative}")]
        )
    # Asked for in the module's folder: since 1.21 Go answers with the version that it would switch to.
    asked = subprocess.run(
        [go, "env", "-json", "GOVERSION", "GOTOOLCHAIN"],
        cwd=MODULE_FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(asked.stdout) if asked.returncode == 0 else {}
    version = str(answer.get("GOVERSION", "")).removeprefix("go")
    if _numbers(version) < _numbers(release.go):
        what = f"Go {release.go} (`{go}` is {version or asked.stderr.strip() or 'of unknown version'})"
        if answer.get("GOTOOLCHAIN") == "local":
            how += "; or unset GOTOOLCHAIN=local, so that Go fetches the version it needs"
        raise MissingRequirementsError(purpose, [Missing(what, how)])
    return go


def _numbers(version: str) -> tuple[int, ...]:
    """Of "1.26.8" or "1.27rc1" the leading numbers; of nothing the smallest."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(part or 0) for part in found.groups()) if found else ()


def _build_one(go: str, name: str, release: Release, target: Path, progress: Progress, what: str) -> None:
    major, minor, _ = release.kubernetes.removeprefix("v").split(".", 2)
    stamps = {"gitVersion": release.kubernetes, "gitMajor": major, "gitMinor": minor}
    # Without the stamps the server calls itself v0.0.0 and clients refuse features by version.
    flags = " ".join(["-s -w", *(f"-X {_VERSION_PACKAGE}.{key}={value}" for key, value in stamps.items())])
    flags += f" -X {_CONTAINERD}/version.Version={release.containerd}"
    package = _PACKAGES.get(name, f"k8s.io/kubernetes/cmd/{name}")
    go_build(go, MODULE_FOLDER, package, flags, target, progress, what, name=name)


def go_build(
    go: str, module: Path, package: str, flags: str, target: Path, progress: Progress, what: str, *, name: str
) -> None:
    """Build a package of a module's folder, and put the binary in its place when it is whole. `flags`: the linker's.

    Raises:
        StartupError: the build failed; with the compiler's words.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=_HALF, dir=target.parent))
    command = Command(
        name=name,
        folder=folder,
        argv=(
            *("env", "CGO_ENABLED=0", "GOWORK=off", go, "-C", str(module), "build", "-mod=readonly"),
            *("-trimpath", "-ldflags", flags, "-o", str(folder / "binary"), package),
        ),
        stop_signal=signal.SIGINT,
    )
    run_to_end(command, what, progress, failed=f"go build of {name}")
    (folder / "binary").replace(target)
    # Left in place after a failure, for its log; the next build removes it.
    shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Of builds that failed or were killed; with the lock held."""
    for leftover in folder.glob(f"{_HALF}*"):
        shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def build_lock(path: Path, of: str, progress: Progress) -> Iterator[None]:
    """While it is held, nobody else builds the same."""
    # The kernel frees it with the process, so a killed build blocks nobody.
    with path.open("a") as file:
        if not _locked(file):
            with step(progress, f"waiting for another build of {of}") as tick:
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
