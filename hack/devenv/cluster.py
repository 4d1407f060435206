"""A Kubernetes API to work against, whatever this machine offers, and everything gone afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from devenv import gobuild
from devenv.controlplane import COMPONENTS, ControlPlane
from devenv.discovery import Existing, Kind, Processes, choose
from devenv.errors import CommandError, DevenvError
from devenv.homes import TEMPORARY_PREFIX, Home, owned_home, reap_abandoned
from devenv.kind import create_kind
from devenv.kubeconfig import Access, adopt
from devenv.kubectl import find_kubectl, run_kubectl
from devenv.progress import Progress, no_progress, print_progress, step
from devenv.surroundings import Surroundings, here


class Cluster:
    """A running cluster, stopped at the end of the `with` block or by `stop`."""

    def __init__(self, home: Home, access: Access, kubectl: Path, control_plane: ControlPlane | None) -> None:
        self._home = home
        self._kubectl = kubectl
        self._control_plane = control_plane
        self.name = home.record.name
        self.kubeconfig = access.kubeconfig
        self.server = access.server
        self.ca_file = access.ca_file
        self.admin_token = access.admin_token

    @property
    def can_stop_apiserver(self) -> bool:
        """Whether the API server is a process of ours, so that fault tests can stop it."""
        return self._control_plane is not None

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002 - as in subprocess
        """Run kubectl on this cluster and return what it printed.

        Raises:
            CommandError: it failed and `check` is set; carries its standard error.
        """
        return run_kubectl(self._kubectl, *args, env=self._kubectl_env(), stdin=input, check=check)

    def service_account_token(self, namespace: str, name: str, duration_s: int = 86_400) -> str:
        """A token of a service account, which is created where it does not exist."""
        try:
            self.kubectl("create", "serviceaccount", name, "-n", namespace)
        except CommandError as error:
            if "already exists" not in error.stderr:  # behind "(AlreadyExists):" from some versions of kubectl
                raise
        return self.kubectl("create", "token", name, "-n", namespace, f"--duration={duration_s}s").strip()

    def stop_apiserver(self) -> None:
        """Stop the API server, as an outage; etcd keeps the data, the port stays ours."""
        self._own_control_plane().stop_apiserver()

    def start_apiserver(self) -> None:
        """Start it again on the same port; returns when it is ready."""
        self._own_control_plane().start_apiserver(no_progress)

    def stop(self) -> None:
        self._home.tear_down()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _own_control_plane(self) -> ControlPlane:
        if self._control_plane is None:
            raise DevenvError(
                f"the API server of {self.server} is not ours to stop; fault tests need the control plane of "
                "plain processes: unset FINGERV7_CONTEXT and FINGERV7_KUBECONFIG, and hide kind from PATH"
            )
        return self._control_plane

    def _kubectl_env(self) -> dict[str, str]:
        # A cache of its own: the shared one is keyed by host and port, and our ports come again with other contents.
        return {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self._home.path / "kubectl-cache")}


def start_cluster(*, name: str | None = None, progress: Progress = print_progress) -> Cluster:
    """Start a cluster that ends with this process, however this process ends.

    Args:
        name: shown in the kubeconfig's context; several clusters of one name may run.
        progress: told about each step.

    Raises:
        MissingRequirementsError: this machine lacks something; the text says how to get it.
        StartupError: a component did not become ready; with the end of its log.
    """
    reap_abandoned()
    return start_cluster_in(owned_home(name or "dev"), here(), progress)


def start_cluster_in(home: Home, around: Surroundings, progress: Progress) -> Cluster:
    """Start a cluster in a home, which is torn down when that fails."""
    try:
        kubectl = find_kubectl(around, progress)
        choice = choose(around)
        control_plane: ControlPlane | None = None
        home.record.provider = type(choice).__name__.lower()
        match choice:
            case Existing():
                access = _adopt_existing(home, choice, kubectl, progress)
            case Kind():
                access = _make_kind(home, choice, progress)
            case Processes():
                binaries = control_plane_binaries(choice, around, progress)
                control_plane = ControlPlane(home, binaries)
                access = control_plane.start(progress)
        return Cluster(home, access, kubectl, control_plane)
    except BaseException:
        home.tear_down()
        raise


def prepare(around: Surroundings, progress: Progress) -> str:
    """Find or build everything that a start needs, which may take minutes, and say what will be used."""
    kubectl = find_kubectl(around, progress)
    choice = choose(around)
    if isinstance(choice, Processes):
        binaries = control_plane_binaries(choice, around, progress)
        return "\n".join(f"{name}: {path}" for name, path in {"kubectl": kubectl, **binaries}.items())
    return f"kubectl: {kubectl}\ncluster: {choice}"


def control_plane_binaries(choice: Processes, around: Surroundings, progress: Progress) -> dict[str, Path]:
    """From the assets folder what it has (envtest's has no controller manager), the rest built."""
    found = {
        name: choice.assets / name
        for name in COMPONENTS
        if choice.assets is not None and (choice.assets / name).is_file()
    }
    return found | gobuild.build([name for name in COMPONENTS if name not in found], around, progress)


def _make_kind(home: Home, choice: Kind, progress: Progress) -> Access:
    # Recorded before it exists: a start that is killed half-way leaves containers too.
    home.record.kind_cluster = kind_name(home.path)
    home.record.kind_engine = choice.engine
    home.save()
    kubeconfig = home.path / "kind.kubeconfig"
    create_kind(
        name=home.record.kind_cluster,
        engine=choice.engine,
        kubeconfig=kubeconfig,
        log=home.path / "kind.log",
        progress=progress,
    )
    access = adopt(kubeconfig.read_text(encoding="utf-8"), home.path)
    home.record.server = access.server
    home.save()
    return access


def kind_name(home: Path) -> str:
    """Of the home's folder, which is unique, in the characters that kind allows."""
    return "fingerv7-" + home.name.removeprefix(TEMPORARY_PREFIX).lower().replace("_", "-")


def _adopt_existing(home: Home, choice: Existing, kubectl: Path, progress: Progress) -> Access:
    context = () if choice.context is None else ("--context", choice.context)
    env = {} if choice.kubeconfig is None else {"KUBECONFIG": str(choice.kubeconfig)}
    with step(progress, f"looking at context {choice.context or '(current)'}, which you named"):
        text = run_kubectl(kubectl, "config", "view", "--minify", "--flatten", "--raw", *context, env=env)
        access = adopt(text, home.path)
        run_kubectl(kubectl, "version", env={"KUBECONFIG": str(access.kubeconfig)})
    home.record.server = access.server
    home.save()
    return access
