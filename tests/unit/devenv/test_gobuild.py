from __future__ import annotations

import threading
from pathlib import Path

import pytest

from devenv.errors import MissingRequirementsError, StartupError
from devenv.gobuild import build, cache_folder, find_go, read_release
from devenv.progress import no_progress
from devenv.surroundings import Surroundings

RELEASE = read_release()

# Answers as `go` does and notes each build; the binary's path follows -o.
FAKE_GO = """#!/bin/sh
if [ "$1" = env ]; then echo '{{"GOVERSION": "go{version}", "GOTOOLCHAIN": "{toolchain}"}}'; exit 0; fi
echo "$@" >> {folder}/builds
while [ "$1" != -o ]; do shift; done
sleep 0.2
{action}
"""


def fake_go(
    folder: Path, *, version: str = RELEASE.go, toolchain: str = "auto", action: str = 'echo binary > "$2"'
) -> Surroundings:
    go = folder / "go"
    go.write_text(FAKE_GO.format(version=version, toolchain=toolchain, folder=folder, action=action))
    go.chmod(0o755)
    return Surroundings(
        env={"XDG_CACHE_HOME": str(folder / "cache")},
        which=lambda name: str(go) if name == "go" else None,
        system="Linux",
        machine="x86_64",
    )


def builds(folder: Path) -> list[str]:
    return (folder / "builds").read_text().splitlines()


def test_the_versions_come_from_the_module_that_is_built() -> None:
    assert RELEASE.kubernetes.startswith("v1.")
    assert RELEASE.etcd.startswith("v3.")
    folder = cache_folder(Surroundings(env={"HOME": "/home/me"}, system="Linux", machine="aarch64"), RELEASE)
    versions = f"{RELEASE.kubernetes}-{RELEASE.etcd}-linux-arm64"
    assert folder == Path("/home/me/.cache/fingerv7/controlplane") / versions


def test_what_was_built_once_is_taken_from_the_cache(tmp_path: Path) -> None:
    around = fake_go(tmp_path)
    first = build(["etcd", "kube-apiserver"], around, no_progress)
    assert [path.read_text() for path in first.values()] == ["binary\n", "binary\n"]
    assert build(["etcd", "kube-apiserver"], around, no_progress) == first
    assert len(builds(tmp_path)) == 2
    # Neither logs nor half-built binaries stay behind.
    assert {path.name for path in first["etcd"].parent.iterdir()} == {"etcd", "kube-apiserver", ".lock"}


def test_the_version_is_stamped_and_the_sums_are_not_rewritten(tmp_path: Path) -> None:
    build(["kube-apiserver"], fake_go(tmp_path), no_progress)
    (line,) = builds(tmp_path)
    assert f"gitVersion={RELEASE.kubernetes}" in line
    assert "-mod=readonly" in line
    assert line.endswith("k8s.io/kubernetes/cmd/kube-apiserver")


def test_containerd_is_kept_by_its_own_version_with_its_shim_beside_it(tmp_path: Path) -> None:
    found = build(["containerd", "containerd-shim-runc-v2"], fake_go(tmp_path), no_progress)
    assert found["containerd"].parent == found["containerd-shim-runc-v2"].parent
    assert found["containerd"].parent.name == f"{RELEASE.containerd}-linux-amd64"
    assert builds(tmp_path)[0].endswith("github.com/containerd/containerd/v2/cmd/containerd")


def test_two_starters_at_once_build_once(tmp_path: Path) -> None:
    around = fake_go(tmp_path)
    threads = [threading.Thread(target=build, args=(["etcd"], around, no_progress)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds(tmp_path)) == 1


def test_a_failed_build_leaves_nothing_that_passes_for_a_binary(tmp_path: Path) -> None:
    around = fake_go(tmp_path, action='echo half > "$2"; echo "disk full"; exit 1')
    with pytest.raises(StartupError, match=r"go build of etcd failed with exit code 1(.|\n)*disk full"):
        build(["etcd"], around, no_progress)
    assert not (cache_folder(around, RELEASE) / "etcd").exists()
    binaries = build(["etcd"], fake_go(tmp_path), no_progress)
    assert binaries["etcd"].read_text() == "binary\n"


def test_a_go_that_is_too_old_is_named_with_the_version_to_get(tmp_path: Path) -> None:
    with pytest.raises(MissingRequirementsError) as caught:
        find_go(fake_go(tmp_path, version="1.22.1", toolchain="local"), RELEASE)
    assert f"Go {RELEASE.go} (`{tmp_path}/go` is 1.22.1)" in str(caught.value)
    assert "unset GOTOOLCHAIN=local" in str(caught.value)


@pytest.mark.parametrize("version", [RELEASE.go, "1.27rc1", "2.0", "1.100.0"])
def test_a_go_that_is_new_enough_is_used(tmp_path: Path, version: str) -> None:
    assert find_go(fake_go(tmp_path, version=version), RELEASE) == str(tmp_path / "go")


def test_without_go_the_ways_out_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devenv.gobuild._GO_HOME", str(tmp_path / "none"))
    around = Surroundings(env={"XDG_CACHE_HOME": str(tmp_path)}, which=lambda _name: None)
    with pytest.raises(MissingRequirementsError, match=r"no `go` on PATH(.|\n)*go.dev(.|\n)*KUBEBUILDER_ASSETS"):
        build(["etcd"], around, no_progress)
