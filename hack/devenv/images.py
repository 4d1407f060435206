"""The project's images as archives in the cache, built when their sources have changed.

An image's tag is the hash of everything in it, so a pod never runs an older one under the same name, and what is
built already is not built again.
"""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devenv.image_builder import added_bytes, find_builder
from devenv.progress import Progress
from devenv.surroundings import Surroundings

TARGETS = ("operator", "worker-sidecar", "reference-worker")

_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = {
    "operator": ("requirements/operator.txt", "operator/fingerv7"),
    "worker-sidecar": (
        "requirements/sidecar.txt",
        "operator/fingerv7/contract.py",
        "worker-sidecar/fingerv7_sidecar",
    ),
    "reference-worker": ("requirements/operator.txt", "operator/fingerv7", "examples/reference_worker"),
}
_KEPT_S = 3600.0
_SUFFIXES = (".py", ".sql", ".txt")


@dataclass(frozen=True, kw_only=True)
class Image:
    """One target: the name that pods use, and the archive that has it."""

    target: str
    name: str
    archive: Path
    base_layers: int | None

    def added_mb(self) -> float | None:
        """What it adds to its base, uncompressed, in megabytes; None where nobody knows where the base ends."""
        return None if self.base_layers is None else added_bytes(self.archive, self.base_layers) / 1e6


def build_images(around: Surroundings, progress: Progress, root: Path = _ROOT) -> dict[str, Image]:
    """All targets, from the cache or built into it; two builders at the same time build once.

    Raises:
        MissingRequirementsError: nothing on this machine can build them; the text says how to change that.
        StartupError: a build failed; with its words.
    """
    builder = find_builder(around, progress)
    cache = around.cache_folder / "images"
    cache.mkdir(parents=True, exist_ok=True)
    images: dict[str, Image] = {}
    with (cache / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for target in TARGETS:
            key = content_key(root, target, builder.identity())
            image = Image(
                target=target,
                name=f"fingerv7.local/{target}:{key}",
                archive=cache / f"{target}-{key}.tar",
                base_layers=builder.base_layers,
            )
            images[target] = image
            if not image.archive.is_file():
                half = image.archive.with_suffix(".half")
                half.unlink(missing_ok=True)
                builder.build(root, target, image.name, half, progress)
                _remove_old(cache, target)
                half.replace(image.archive)
    return images


def _remove_old(cache: Path, target: str) -> None:
    # Somebody with other sources may be about to load what he has just built.
    for archive in cache.glob(f"{target}-*.tar"):
        if time.time() - archive.stat().st_mtime > _KEPT_S:
            archive.unlink()


def content_key(root: Path, target: str, base: str) -> str:
    """The hash of a target's sources, of the recipe, and of the base's name."""
    digest = hashlib.sha256(base.encode())
    for path in (root / "Dockerfile", root / ".dockerignore", *sorted(_files(root, target))):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _files(root: Path, target: str) -> Iterator[Path]:
    for source in (root / each for each in _SOURCES[target]):
        if source.is_file():
            yield source
        else:
            yield from (path for path in source.rglob("*") if path.suffix in _SUFFIXES)
