"""A cluster in which pods run: one that the user named, kind's, or our own control plane with a node beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Self

from devenv.cluster import Cluster, control_plane_binaries, start_cluster_in
from devenv.controlplane import ControlPlane, Site
from devenv.discovery import Existing, Kind, Processes, choose
from devenv.errors import CommandError, DevenvError
from devenv.homes import Home, owned_home, reap_abandoned
from devenv.kind import gateway_of_kind, load_into_kind
from devenv.kubectl import find_kubectl
from devenv.network import make_bridge
from devenv.node import Node, install_node, new_folder
from devenv.postgres_server import Reach
from devenv.progress import Progress, print_progress
from devenv.surroundings import Surroundings, here

Load = Callable[[Path], None]


class PodCluster:
    """A cluster with at least one node, stopped at the end of the `with` block.

    Attributes:
        cluster: for kubectl and everything else that needs no node.
        reach: how pods reach this machine, and as whom they come; None where nobody can know.
    """

    def __init__(self, cluster: Cluster, *, reach: Reach | None, load: Load | None) -> None:
        self.cluster = cluster
        self.reach = reach
        self._load = load

    @property
    def takes_archives(self) -> bool:
        """Whether images can be put on the nodes without a registry."""
        return self._load is not None

    def load(self, archive: Path) -> None:
        """Put the images of an archive on every node.

        Raises:
            DevenvError: this is somebody else's cluster.
        """
        if self._load is None:
            raise DevenvError(
                "images cannot be put on the nodes of a cluster that is not ours; push them to its registry"
            )
        self._load(archive)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.stop()


def start_pods(*, name: str | None = None, progress: Progress = print_progress) -> PodCluster:
    """Start a cluster with a node that ends with this process, however this process ends.

    What a killed process leaves (containers outlive containerd on purpose) is removed by the next start.

    Raises:
        MissingRequirementsError: this machine lacks something; the text says how to get it.
        StartupError: a component did not become ready; with the end of its log.
    """
    reap_abandoned()
    return start_pods_in(owned_home(name or "node"), here(), progress)


def start_pods_in(home: Home, around: Surroundings, progress: Progress) -> PodCluster:
    """Start one in a home, which is torn down when that fails."""
    try:
        choice = choose(around)
    except BaseException:
        home.tear_down()
        raise
    match choice:
        case Existing():
            return PodCluster(start_cluster_in(home, around, progress), reach=None, load=None)
        case Kind():
            cluster = start_cluster_in(home, around, progress)
            name = home.record.kind_cluster
            return PodCluster(
                cluster,
                reach=_reach_of_kind(choice.engine),
                load=lambda archive: load_into_kind(archive, name=name, engine=choice.engine),
            )
        case Processes():
            return _own(home, choice, around, progress)


def prepare_pods(around: Surroundings, progress: Progress) -> str:
    """Install and build what a start needs, which may take minutes, and say what will be used."""
    choice = choose(around)
    if isinstance(choice, Processes):
        programs = {**control_plane_binaries(choice, around, progress), **install_node(around, progress)}
        return "\n".join(f"{name}: {path}" for name, path in programs.items())
    return f"nodes: {choice}"


def _own(home: Home, choice: Processes, around: Surroundings, progress: Progress) -> PodCluster:
    try:
        programs = install_node(around, progress)
        kubectl = find_kubectl(around, progress)
        binaries = control_plane_binaries(choice, around, progress)
        network = make_bridge()
        record = new_folder(home, network)
        home.record.provider = "processes with a node"
        control_plane = ControlPlane(home, binaries, Site.on(network))
        access = control_plane.start(progress)
        node = Node(home, record, network, control_plane, programs, around)
        node.start(progress)
    except BaseException:
        home.tear_down()
        raise
    reach = Reach(address=str(network.address), clients=str(network.pods))
    return PodCluster(Cluster(home, access, kubectl, control_plane), reach=reach, load=node.load)


def _reach_of_kind(engine: str) -> Reach | None:
    """The network's gateway is this machine, unless the engine runs in a virtual machine of its own."""
    try:
        address = gateway_of_kind(engine)
    except (CommandError, subprocess.SubprocessError):
        return None
    return Reach(address=address, clients="samenet")
