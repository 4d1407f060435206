from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from devenv.oci_archive import write_image


def write(path: Path) -> dict[str, bytes]:
    write_image(path, reference="local/pause:1", files={"pause": b"it"}, entrypoint="/pause", architecture="amd64")
    with tarfile.open(path) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def test_every_blob_has_the_name_of_its_content_and_all_that_is_named_is_there(tmp_path: Path) -> None:
    files = write(tmp_path / "image.tar")
    blobs = {name.removeprefix("blobs/sha256/"): data for name, data in files.items() if name.startswith("blobs")}
    assert all(hashlib.sha256(data).hexdigest() == name for name, data in blobs.items())
    (named,) = json.loads(files["index.json"])["manifests"]
    assert named["annotations"]["io.containerd.image.name"] == "local/pause:1"
    manifest = json.loads(blobs[named["digest"].removeprefix("sha256:")])
    config = json.loads(blobs[manifest["config"]["digest"].removeprefix("sha256:")])
    assert config["config"]["Entrypoint"] == ["/pause"]
    (layer,) = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    with tarfile.open(fileobj=io.BytesIO(blobs[layer["digest"].removeprefix("sha256:")])) as archive:
        assert archive.getmember("pause").mode == 0o755


def test_the_same_files_make_the_same_image(tmp_path: Path) -> None:
    write(tmp_path / "one.tar")
    write(tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
