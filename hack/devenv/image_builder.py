"""Building images: with the container engine of this machine, or with buildah, which needs no engine and no daemon.

buildah builds the same Dockerfile, isolated by chroot only. Its base is made of the distribution's own packages with
debootstrap, because it is for machines where no registry can be reached.
"""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from devenv.daemons import Command, run_to_end
from devenv.errors import CommandError, DevenvError, Missing, MissingRequirementsError
from devenv.packages import IMAGE_TOOLS, install_tools
from devenv.progress import Progress
from devenv.surroundings import Surroundings

BASE_VARIABLE = "FINGERV7_BASE_IMAGE"

_PURPOSE = "building the images"
_BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")
# What apt leaves behind, and what nobody reads in a container.
_BASE_LITTER = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man", "usr/share/locale")
# Settings of the machine's pip that a build needs to find packages; folders of the machine are not there.
_PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout", "timeout")


class Builder(Protocol):
    """Something that builds one target of a Dockerfile into an archive."""

    base_layers: int | None
    """How many layers the base has, where that is known; for `added_bytes`."""

    def identity(self) -> str:
        """What the result depends on besides the sources."""
        ...

    def build(self, context: Path, target: str, name: str, archive: Path, progress: Progress) -> None:
        """Raises StartupError with the build's words."""
        ...


def find_builder(around: Surroundings, progress: Progress) -> Builder:
    """The engine that answers, else buildah.

    Raises:
        MissingRequirementsError: there is neither; the text says how to get one.
    """
    for engine in ("docker", "podman"):
        if around.which(engine) and around.engine_answers(engine):
            return EngineBuilder(engine, around.env.get(BASE_VARIABLE, ""))
    return BuildahBuilder(install_tools(IMAGE_TOOLS, _PURPOSE, around, progress), around)


class EngineBuilder:
    """Docker or podman. Without a base, the Dockerfile's own is taken."""

    base_layers: int | None = None

    def __init__(self, engine: str, base: str) -> None:
        self._engine = engine
        self._base = base

    def identity(self) -> str:
        return self._base

    def build(self, context: Path, target: str, name: str, archive: Path, progress: Progress) -> None:
        base = ("--build-arg", f"BASE={self._base}") if self._base else ()
        argv = (self._engine, "build", "--target", target, "--tag", name, *base)
        with tempfile.TemporaryDirectory(prefix="fingerv7-build-") as folder:
            secrets = pip_secrets(Path(folder))
            _run(f"build-{target}", (*argv, *secrets, str(context)), Path(folder), progress, f"building {name}")
            saving = (self._engine, "save", "--output", str(archive), name)
            _run(f"save-{target}", saving, Path(folder), progress, f"saving {name}")


class BuildahBuilder:
    """Buildah with a store of its own in the cache, and a base of Debian packages."""

    base_layers: int | None = 1

    def __init__(self, tools: Mapping[str, Path], around: Surroundings) -> None:
        self._tools = tools
        self._around = around
        self._store = around.cache_folder / "images"
        self._release = read_archive(around)

    @property
    def base(self) -> str:
        """The base's name; another recipe makes another base."""
        recipe = hashlib.sha256(repr((_BASE_PACKAGES, _BASE_LITTER)).encode()).hexdigest()[:12]
        return f"localhost/fingerv7-base:{self._release[1]}-{recipe}"

    def identity(self) -> str:
        return self.base

    def build(self, context: Path, target: str, name: str, archive: Path, progress: Progress) -> None:
        self._store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fingerv7-build-") as temporary:
            folder = Path(temporary)
            policy = folder / "policy.json"
            # Nothing is fetched from anywhere; without a policy file buildah refuses even local images.
            policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}', encoding="ascii")
            if not self._has(self.base):
                self._make_base(folder, progress)
            building = self._buildah(
                *("bud", "--isolation", "chroot", "--layers", "--pull-never", "--signature-policy", str(policy)),
                *("--build-arg", f"BASE={self.base}", "--target", target, "--tag", name, *pip_secrets(folder)),
                *(
                    "--ignorefile",
                    str(context / ".dockerignore"),
                    "--file",
                    str(context / "Dockerfile"),
                    str(context),
                ),
            )
            _run(f"build-{target}", building, folder, progress, f"building {name}")
            # In Docker's format, which is not compressed: it is read once, on this machine, and 20 s sooner there.
            pushing = self._buildah(
                "push", "--signature-policy", str(policy), name, f"docker-archive:{archive}:{name}"
            )
            _run(f"push-{target}", pushing, folder, progress, f"saving {name}")
            self._forget_older(name)

    def _has(self, name: str) -> bool:
        return subprocess.run(self._buildah("inspect", name), capture_output=True, check=False).returncode == 0

    def _forget_older(self, name: str) -> None:
        """Earlier images of this target; the layers that the next build can use stay."""
        target = name.partition(":")[0]
        images = json.loads(_output(self._buildah("images", "--json")))
        for each in (one for image in images for one in image.get("names") or ()):
            if each.partition(":")[0] == target and each != name:
                subprocess.run(self._buildah("rmi", each), capture_output=True, check=False)

    def _make_base(self, folder: Path, progress: Progress) -> None:
        uri, codename = self._release
        container = _output(self._buildah("from", "scratch")).strip()
        try:
            root = Path(_output(self._buildah("mount", container)).strip())
            packages = ",".join(_BASE_PACKAGES)
            argv = (str(self._tools["debootstrap"]), "--variant=minbase", f"--include={packages}", codename)
            _run("debootstrap", (*argv, str(root), uri), folder, progress, f"making a base of {codename}'s packages")
            for each in _BASE_LITTER:
                shutil.rmtree(root / each, ignore_errors=True)
                (root / each).mkdir()
            # The mirror's address is this machine's, and no image's.
            (root / "etc/apt/sources.list").write_text("")
            _run("commit", self._buildah("commit", container, self.base), folder, progress, "committing the base")
        finally:
            subprocess.run(self._buildah("rm", container), capture_output=True, check=False)

    def _buildah(self, *args: str) -> tuple[str, ...]:
        driver = storage_driver(self._store)
        places = ("--root", str(self._store / driver), "--runroot", str(self._store / f"{driver}-run"))
        return (str(self._tools["buildah"]), *places, "--storage-driver", driver, *args)


def storage_driver(folder: Path) -> str:
    """Overlay, unless the kernel lacks it or the folder is on one itself, as inside a container.

    vfs works everywhere, and copies the whole file system for each line of a Dockerfile.
    """
    has_overlay = "overlay" in Path("/proc/filesystems").read_text(encoding="ascii").split()
    kind = _output(("stat", "--file-system", "--format=%T", str(folder))).strip()
    return "overlay" if has_overlay and kind != "overlayfs" else "vfs"


def read_archive(around: Surroundings) -> tuple[str, str]:
    """From where this machine's packages come, and its release's name.

    Raises:
        MissingRequirementsError: apt does not say.
    """
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines() if "=" in line
    )
    codename = release.get("VERSION_CODENAME", "").strip('"')
    asked = ""
    if around.which("apt-get"):
        form = "$(REPO_URI) $(CODENAME)"
        asked = _output(("apt-get", "indextargets", "--format", form, "Created-By: Packages"))
    for line in asked.splitlines():
        uri, _, name = line.partition(" ")
        if name == codename:
            return uri, codename
    missing = Missing("Debian's package archive in apt's sources", "or a container engine that answers")
    raise MissingRequirementsError(_PURPOSE, [missing])


def pip_secrets(folder: Path) -> tuple[str, ...]:
    """How this machine's pip finds packages, as secrets of a build: used by it and left in no layer."""
    listed = _output((sys.executable, "-m", "pip", "config", "list"))
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        settings[key.rpartition(".")[2]] = str(ast.literal_eval(value))
    lines = ["[global]", *(f"{key} = {settings[key]}" for key in _PIP_SETTINGS if key in settings)]
    options: list[str] = []
    if (certificates := Path(settings.get("cert", ""))).is_file():
        lines.append("cert = /run/secrets/pip-cert")
        options += ["--secret", f"id=pip-cert,src={certificates.resolve()}"]
    config = folder / "pip.conf"
    config.write_text("\n".join(lines).replace("\n\n", "\n") + "\n", encoding="utf-8")
    return ("--secret", f"id=pip.conf,src={config}", *options)


def added_bytes(archive: Path, base_layers: int) -> int:
    """How much an archive's image adds to its base, uncompressed: the size of the layers that are not the base's."""
    with tarfile.open(archive) as image:
        file = image.extractfile("manifest.json")
        if file is None:
            raise DevenvError(f"{archive} has no manifest.json; delete it and build again")
        (manifest,) = json.load(file)
        return sum(image.getmember(each).size for each in manifest["Layers"][base_layers:])


def _output(argv: Sequence[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr)
    return done.stdout


def _run(name: str, argv: tuple[str, ...], folder: Path, progress: Progress, what: str) -> None:
    command = Command(name=name, argv=argv, folder=folder, stop_signal=signal.SIGINT)
    run_to_end(command, what, progress)
