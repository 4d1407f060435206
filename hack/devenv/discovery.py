"""Which Kubernetes to use: one the user named, kind, envtest's binaries, or binaries built from Go modules.

An existing cluster is used only when it was named for this project: tests create and delete freely, and the
current context of somebody's kubeconfig may be production.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from devenv.errors import DevenvError, Missing, MissingRequirementsError
from devenv.surroundings import Surroundings

CONTEXT_VARIABLE = "FINGERV7_CONTEXT"
KUBECONFIG_VARIABLE = "FINGERV7_KUBECONFIG"
ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"


@dataclass(frozen=True, kw_only=True)
class Existing:
    """A cluster that the user named; None means kubectl's own default."""

    context: str | None
    kubeconfig: Path | None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A cluster made with kind, on this container engine (`docker` or `podman`)."""

    engine: str


@dataclass(frozen=True, kw_only=True)
class Processes:
    """A control plane of plain processes; what `assets` does not hold is built from Go modules."""

    assets: Path | None


Choice = Existing | Kind | Processes


def choose(around: Surroundings) -> Choice:
    """The first of the four that this machine offers.

    Raises:
        DevenvError: a variable names something that is not there.
        MissingRequirementsError: none is possible.
    """
    context = around.env.get(CONTEXT_VARIABLE) or None
    kubeconfig = around.env.get(KUBECONFIG_VARIABLE) or None
    if context or kubeconfig:
        if kubeconfig and not Path(kubeconfig).is_file():
            raise DevenvError(f"{KUBECONFIG_VARIABLE}={kubeconfig} is no file; name a kubeconfig or unset it")
        return Existing(context=context, kubeconfig=Path(kubeconfig) if kubeconfig else None)

    if around.which("kind"):
        for engine in ("docker", "podman"):
            if around.which(engine) and around.engine_answers(engine):
                return Kind(engine=engine)

    if around.system != "Linux":
        kind = Missing(
            "kind and a container engine that answers", "https://kind.sigs.k8s.io, then start Docker or podman"
        )
        raise MissingRequirementsError(f"a development cluster on {around.system} (it needs kind there)", [kind])

    assets = around.env.get(ASSETS_VARIABLE) or None
    if assets and not (Path(assets) / "kube-apiserver").is_file():
        raise DevenvError(
            f"{ASSETS_VARIABLE}={assets} has no kube-apiserver; point it at the folder that "
            "`setup-envtest use -p path` prints, or unset it"
        )
    return Processes(assets=Path(assets) if assets else None)
