"""An OCI image of a few files, written without any tool: the sandbox image that every pod needs.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TYPE = "application/vnd.oci.image"


def write_image(
    path: Path, *, reference: str, files: Mapping[str, bytes], entrypoint: str, architecture: str
) -> None:
    """One layer with these executable files. The same input gives the same bytes."""
    layer = _tar({name: (content, 0o755) for name, content in files.items()})
    blobs: dict[str, bytes] = {}
    config = _blob(
        blobs,
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": [entrypoint], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        },
    )
    blobs[_digest(layer)] = layer
    manifest = _blob(
        blobs,
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPE}.manifest.v1+json",
            "config": {"mediaType": f"{_TYPE}.config.v1+json", **config},
            "layers": [
                {"mediaType": f"{_TYPE}.layer.v1.tar", "digest": _digest(layer), "size": len(layer)},
            ],
        },
    )
    named = {
        "mediaType": f"{_TYPE}.manifest.v1+json",
        **manifest,
        "annotations": {"org.opencontainers.image.ref.name": reference, "io.containerd.image.name": reference},
    }
    contents = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [named]}),
        **{f"blobs/{digest.replace(':', '/')}": blob for digest, blob in blobs.items()},
    }
    path.write_bytes(_tar({name: (content, 0o644) for name, content in contents.items()}))


def _blob(blobs: dict[str, bytes], content: Any) -> dict[str, str | int]:
    data = _json(content)
    blobs[_digest(data)] = data
    return {"digest": _digest(data), "size": len(data)}


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _tar(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
