from __future__ import annotations

from pathlib import Path

import pytest

from devenv.discovery import Existing, Kind, Processes, choose
from devenv.errors import DevenvError, MissingRequirementsError
from devenv.surroundings import Surroundings


def around(
    *, programs: tuple[str, ...] = (), answering: tuple[str, ...] = (), system: str = "Linux", **env: str
) -> Surroundings:
    return Surroundings(
        env=env,
        which=lambda name: f"/usr/bin/{name}" if name in programs else None,
        engine_answers=lambda engine: engine in answering,
        system=system,
        machine="x86_64",
    )


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    (tmp_path / "kube-apiserver").touch()
    return tmp_path


def test_a_named_context_comes_before_everything_else(assets: Path) -> None:
    found = choose(
        around(
            programs=("kind", "docker"),
            answering=("docker",),
            FINGERV7_CONTEXT="mine",
            KUBEBUILDER_ASSETS=str(assets),
        )
    )
    assert found == Existing(context="mine", kubeconfig=None)


def test_a_named_kubeconfig_is_used_with_its_own_context(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.touch()
    assert choose(around(FINGERV7_KUBECONFIG=str(config))) == Existing(context=None, kubeconfig=config)


def test_a_named_kubeconfig_that_is_not_there_is_no_reason_to_take_another_cluster() -> None:
    with pytest.raises(DevenvError, match="FINGERV7_KUBECONFIG=/nowhere is no file"):
        choose(around(FINGERV7_KUBECONFIG="/nowhere", programs=("kind", "docker"), answering=("docker",)))


def test_the_kubeconfig_of_everyday_work_is_never_picked_up() -> None:
    assert choose(around(KUBECONFIG="/home/me/.kube/production")) == Processes(assets=None)


def test_kind_is_used_where_an_engine_answers(assets: Path) -> None:
    found = choose(around(programs=("kind", "docker"), answering=("docker",), KUBEBUILDER_ASSETS=str(assets)))
    assert found == Kind(engine="docker")


def test_podman_is_an_engine_too() -> None:
    found = choose(around(programs=("kind", "docker", "podman"), answering=("podman",)))
    assert found == Kind(engine="podman")


@pytest.mark.parametrize(
    ("programs", "answering"),
    [(("kind", "docker"), ()), (("docker",), ("docker",)), (("kind",), ())],
    ids=["a client without its engine", "an engine without kind", "kind without an engine"],
)
def test_half_of_what_kind_needs_is_not_enough(programs: tuple[str, ...], answering: tuple[str, ...]) -> None:
    assert choose(around(programs=programs, answering=answering)) == Processes(assets=None)


def test_envtest_assets_are_used_before_anything_is_built(assets: Path) -> None:
    assert choose(around(KUBEBUILDER_ASSETS=str(assets))) == Processes(assets=assets)


def test_an_assets_folder_without_an_api_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(DevenvError, match="has no kube-apiserver; point it at"):
        choose(around(KUBEBUILDER_ASSETS=str(tmp_path)))


def test_other_systems_are_told_to_use_kind() -> None:
    with pytest.raises(MissingRequirementsError, match=r"on Darwin.*\n.*kind and a container engine"):
        choose(around(system="Darwin"))
    assert choose(around(system="Darwin", programs=("kind", "docker"), answering=("docker",))) == Kind(
        engine="docker"
    )


def test_relative_xdg_folders_are_ignored_as_their_specification_says() -> None:
    assert around(HOME="/home/me", XDG_CACHE_HOME="here").cache_folder == Path("/home/me/.cache/fingerv7")
    assert around(HOME="/home/me", XDG_STATE_HOME="/var/s").state_folder == Path("/var/s/fingerv7")
