"""A node of plain processes: containerd, kubelet and scheduler beside the control plane, so that pods really run.

It needs root, Linux and a few small packages, and no container engine. What is real: images, sandboxes, probes,
volumes, service-account tokens, logs and exec, graceful deletion, evictions with their budgets, Pod Security. What is
missing: a second node, DNS, services other than `kubernetes`, NetworkPolicies.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from pathlib import Path

from devenv import gobuild
from devenv.controlplane import NODE_NAME, ControlPlane
from devenv.daemons import Command, wait_ready
from devenv.errors import CommandError, Missing, MissingRequirementsError
from devenv.homes import Home
from devenv.network import Network, cni_configuration, translate_api_service
from devenv.node_files import SANDBOX_IMAGE, containerd_configuration, kubelet_configuration
from devenv.oci_archive import write_image
from devenv.packages import NODE_TOOLS, install_tools
from devenv.progress import Progress, step
from devenv.remains import NodeRecord
from devenv.surroundings import Surroundings

COMPONENTS = ("containerd", "containerd-shim-runc-v2", "ctr", "kubelet", "kube-scheduler", "pause")

_PURPOSE = "a node with real pods"
_READY_S = 120.0


def install_node(around: Surroundings, progress: Progress) -> dict[str, Path]:
    """Every program that a node needs, found, installed or built.

    Raises:
        MissingRequirementsError: this user or machine cannot run one; names all reasons at once.
    """
    missing = []
    if os.geteuid() != 0:
        missing.append(Missing("root", "containers without an engine need it: sudo -E make …, or install kind"))
    filesystems = Path("/proc/filesystems").read_text(encoding="ascii").split()
    missing += [
        Missing(f"the kernel's {name}", f"modprobe {name}, or another kernel, or kind on a machine that has it")
        for name in ("overlay", "tmpfs")
        if name not in filesystems
    ]
    if not any(Path("/sys/fs/cgroup").iterdir()):
        missing.append(Missing("cgroups", "mount /sys/fs/cgroup"))
    if missing:
        raise MissingRequirementsError(_PURPOSE, missing)
    tools = install_tools(NODE_TOOLS, _PURPOSE, around, progress)
    return {**tools, **gobuild.build(COMPONENTS, around, progress)}


def new_folder(home: Home, network: Network) -> NodeRecord:
    """Where the node lives; recorded before anything is in it. Short, because sockets are in it."""
    folder = Path(tempfile.mkdtemp(prefix="fingerv7-node-", dir="/var/lib"))
    record = NodeRecord(network=network.number, folder=str(folder))
    home.record.node = record
    home.save()
    return record


class Node:
    """The node of one home; `start` after its control plane.

    Args:
        control_plane: started, on the network's address.
        programs: from `install_node`.
    """

    def __init__(
        self,
        home: Home,
        record: NodeRecord,
        network: Network,
        control_plane: ControlPlane,
        programs: dict[str, Path],
        around: Surroundings,
    ) -> None:
        self._home = home
        self._around = around
        self._record = record
        self._control_plane = control_plane
        self._programs = programs
        self.network = network
        self._folder = Path(record.folder)

    def start(self, progress: Progress) -> None:
        """Returns when the node is Ready and pods can be scheduled on it."""
        self._start_containerd(progress)
        self._load_sandbox_image(progress)
        plane, home = self._control_plane, self._home
        translate_api_service(self.network, plane.port)
        home.launch(scheduler_command(self._programs["kube-scheduler"], home.path, plane.kubeconfig("scheduler")))
        config = self._folder / "kubelet.json"
        certificate = plane.certificate
        config.write_text(
            kubelet_configuration(
                self._record,
                address=str(self.network.address),
                certificate=certificate.certificate,
                key=certificate.key,
                client_ca=certificate.ca,
            ),
            encoding="utf-8",
        )
        kubelet = home.launch(
            kubelet_command(
                self._programs["kubelet"], self._folder, config, plane.kubeconfig("node"), str(self.network.address)
            )
        )
        wait_ready(kubelet, self._is_ready, timeout_s=_READY_S, progress=progress)

    def load(self, archive: Path) -> None:
        """Make the images of an OCI archive known to the node, under the names that the archive has."""
        load_archive(self._programs["ctr"], self._record, archive)

    def _start_containerd(self, progress: Progress) -> None:
        cni = self._folder / "cni"
        cni.mkdir()
        (cni / "10-bridge.conflist").write_text(cni_configuration(self.network, self._folder / "addresses"))
        config = self._folder / "containerd.toml"
        config.write_text(
            containerd_configuration(
                self._record, runc=self._programs["runc"], plugins=self._programs["bridge"].parent, cni=cni
            ),
            encoding="utf-8",
        )
        argv = (str(self._programs["containerd"]), "--config", str(config))
        containerd = self._home.launch(Command(name="containerd", argv=argv, folder=self._folder))
        wait_ready(containerd, self._containerd_answers, timeout_s=_READY_S, progress=progress)

    def _containerd_answers(self) -> bool:
        try:
            _ctr(self._programs["ctr"], self._record, "version")
        except CommandError:
            return False
        return True

    def _load_sandbox_image(self, progress: Progress) -> None:
        archive = self._folder / "pause.tar"
        with step(progress, "importing the sandbox image"):
            write_image(
                archive,
                reference=SANDBOX_IMAGE,
                files={"pause": self._programs["pause"].read_bytes()},
                entrypoint="/pause",
                architecture=gobuild.architecture(self._around),
            )
            self.load(archive)

    def _is_ready(self) -> bool:
        node = self._control_plane.get(f"/api/v1/nodes/{NODE_NAME}")
        conditions = {each["type"]: each["status"] for each in (node or {}).get("status", {}).get("conditions", [])}
        tainted = (node or {}).get("spec", {}).get("taints")
        return conditions.get("Ready") == "True" and not tainted


def load_archive(ctr: Path, record: NodeRecord, archive: Path) -> None:
    """Make the images of an archive known to a running node.

    Raises:
        CommandError: containerd does not answer, or refuses it.
    """
    _ctr(ctr, record, "images", "import", str(archive))


def _ctr(ctr: Path, record: NodeRecord, *args: str) -> str:
    argv = [str(ctr), "--address", str(record.socket), "--namespace", "k8s.io", *args]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr)
    return done.stdout


def scheduler_command(binary: Path, folder: Path, kubeconfig: Path) -> Command:
    argv = (str(binary), f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0")
    return Command(name="kube-scheduler", argv=argv, folder=folder)


def kubelet_command(binary: Path, folder: Path, config: Path, kubeconfig: Path, address: str) -> Command:
    argv = (
        *(str(binary), f"--config={config}", f"--kubeconfig={kubeconfig}"),
        *(f"--root-dir={folder / 'kubelet'}", f"--cert-dir={folder / 'kubelet-pki'}"),
        *(f"--hostname-override={NODE_NAME}", f"--node-ip={address}", "--v=1"),
    )
    return Command(name="kubelet", argv=argv, folder=folder, stop_signal=signal.SIGTERM)
