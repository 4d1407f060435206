"""A Kubernetes control plane of plain processes: etcd, kube-apiserver, kube-controller-manager.

What is real: storage with its conflicts, CRDs with CEL, RBAC, service-account tokens, watches, Leases, namespace
deletion and garbage collection. What is missing: nodes, so no pod ever runs; `node.py` adds one.
"""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devenv.certificates import ServingCertificate, make_certificate, make_signing_key
from devenv.daemons import Command, wait_ready
from devenv.homes import Home
from devenv.kubeconfig import Access, render
from devenv.network import Network
from devenv.ports import LOOPBACK
from devenv.private_files import write_private
from devenv.progress import Progress

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager")
NODE_NAME = "fingerv7-node"

# Relative to the folder that both run in: no port to lose, nobody but the owner gets in, no path too long.
_ETCD_CLIENT = "unix://etcd-client.sock:0"
_ETCD_PEER = "unix://etcd-peer.sock:0"
_READY_S = 120.0
# What a cluster without nodes needs; all the others would only cost memory and requests.
_CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
)


_USERS = {
    "manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "node": (f"system:node:{NODE_NAME}", "system:nodes"),
}
"""User and group of each component that has a kubeconfig."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a control plane lives: on the loopback for itself alone, or on a node's network for pods too."""

    address: str = LOOPBACK
    services: str = "10.0.0.0/24"
    names: tuple[str, ...] = ()
    """More names than localhost that its certificate is for."""
    with_node: bool = False

    @classmethod
    def on(cls, network: Network) -> Site:
        names = ("kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
        return cls(
            address=str(network.address),
            services=str(network.services),
            names=(str(network.address), str(network.api_service), *names),
            with_node=True,
        )


LOCAL = Site()


@dataclass(frozen=True, kw_only=True)
class Files:
    """What the components read, all in one folder."""

    certificate: ServingCertificate
    signing_key: Path
    tokens: Path


class ControlPlane:
    """The three processes of one home; `start` first."""

    def __init__(self, home: Home, binaries: dict[str, Path], site: Site = LOCAL) -> None:
        self._home = home
        self._binaries = binaries
        self._site = site
        self.port = home.reserve_port(self._site.address)
        self._files: Files
        self.access: Access

    @property
    def certificate(self) -> ServingCertificate:
        return self._files.certificate

    def kubeconfig(self, component: str) -> Path:
        """Of a component that has one."""
        return self._home.path / f"{component}.kubeconfig"

    def start(self, progress: Progress) -> Access:
        home = self._home
        server = f"https://{self._site.address}:{self.port}"
        home.record.server = server
        admin = secrets.token_hex(32)
        self._files = _write_files(home.path, server, admin, self._site)
        kubeconfig = render(
            name=f"fingerv7-{home.record.name}",
            server=server,
            ca_pem=self._files.certificate.ca.read_bytes(),
            user="admin",
            token=admin,
        )
        self.access = Access(
            kubeconfig=write_private(home.path / "kubeconfig", kubeconfig),
            server=server,
            ca_file=self._files.certificate.ca,
            admin_token=admin,
        )
        home.launch(etcd_command(self._binaries["etcd"], home.path))
        # Started at once: it waits for etcd by itself.
        self.start_apiserver(progress)
        self._start_manager(progress)
        return self.access

    def start_apiserver(self, progress: Progress) -> None:
        command = apiserver_command(
            self._binaries["kube-apiserver"], self._home.path, self.port, self._files, self._site
        )
        apiserver = self._home.launch(command)
        wait_ready(apiserver, lambda: self._answers("/readyz"), timeout_s=_READY_S, progress=progress)

    def stop_apiserver(self) -> None:
        self._home.stop_processes("kube-apiserver")

    def _start_manager(self, progress: Progress) -> None:
        command = manager_command(self._binaries["kube-controller-manager"], self._home.path, self._files, self._site)
        manager = self._home.launch(command)
        default_account = "/api/v1/namespaces/default/serviceaccounts/default"
        wait_ready(manager, lambda: self._answers(default_account), timeout_s=_READY_S, progress=progress)

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at a path, or None while there is none or nobody answers."""
        body = self._ask(path)
        found: dict[str, Any] | None = None if body is None else json.loads(body)
        return found

    def _answers(self, path: str) -> bool:
        return self._ask(path) is not None

    def _ask(self, path: str) -> bytes | None:
        context = ssl.create_default_context(cafile=self.access.ca_file)
        connection = http.client.HTTPSConnection(self._site.address, self.port, timeout=5, context=context)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.access.admin_token}"})
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return None
        else:
            return body if response.status == http.client.OK else None
        finally:
            connection.close()


def etcd_command(binary: Path, folder: Path) -> Command:
    argv = (
        *(str(binary), "--data-dir=etcd-data", "--name=dev", "--log-level=warn"),
        # What happens to this data when the machine loses power is nobody's concern.
        "--unsafe-no-fsync",
        *(f"--listen-client-urls={_ETCD_CLIENT}", f"--advertise-client-urls={_ETCD_CLIENT}"),
        *(f"--listen-peer-urls={_ETCD_PEER}", f"--initial-advertise-peer-urls={_ETCD_PEER}"),
        f"--initial-cluster=dev={_ETCD_PEER}",
    )
    return Command(name="etcd", argv=argv, folder=folder)


def apiserver_command(binary: Path, folder: Path, port: int, files: Files, site: Site = LOCAL) -> Command:
    # A loopback address may be no endpoint of the `kubernetes` service, hence no reconciler there.
    more: tuple[str, ...] = ("--endpoint-reconciler-type=none",)
    if site.with_node and files.certificate.client is not None:
        certificate, key = files.certificate.client
        more = (
            # By address, or `logs` and `exec` look the node's name up in DNS.
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={files.certificate.ca}",
            *(f"--kubelet-client-certificate={certificate}", f"--kubelet-client-key={key}"),
            "--enable-admission-plugins=NodeRestriction",
        )
    argv = (
        *(str(binary), f"--etcd-servers={_ETCD_CLIENT}"),
        # Without an advertised address it looks for a route to the outside, which a laptop on a train lacks.
        *(f"--bind-address={site.address}", f"--advertise-address={site.address}", *more),
        f"--secure-port={port}",
        *(f"--tls-cert-file={files.certificate.certificate}", f"--tls-private-key-file={files.certificate.key}"),
        f"--service-cluster-ip-range={site.services}",
        "--service-account-issuer=https://kubernetes.default.svc",
        *(
            f"--service-account-signing-key-file={files.signing_key}",
            f"--service-account-key-file={files.signing_key}",
        ),
        *("--authorization-mode=Node,RBAC", f"--token-auth-file={files.tokens}"),
        "--allow-privileged=true",
        "--shutdown-watch-termination-grace-period=1s",
    )
    return Command(name="kube-apiserver", argv=argv, folder=folder, port=port)


def manager_command(binary: Path, folder: Path, files: Files, site: Site = LOCAL) -> Command:
    controllers = "*" if site.with_node else ",".join(_CONTROLLERS)
    argv = (
        *(str(binary), f"--kubeconfig={folder / 'manager.kubeconfig'}", "--leader-elect=false", "--secure-port=0"),
        # Each controller with its own account and roles, as in a real cluster.
        *("--use-service-account-credentials=true", f"--controllers={controllers}"),
        *(f"--service-account-private-key-file={files.signing_key}", f"--root-ca-file={files.certificate.ca}"),
    )
    return Command(name="kube-controller-manager", argv=argv, folder=folder)


def _write_files(folder: Path, server: str, admin_token: str, site: Site) -> Files:
    # The API server's own name, for those who ask it who calls them.
    client = "kube-apiserver-kubelet-client" if site.with_node else ""
    certificate = make_certificate(folder, names=site.names, client_name=client)
    tokens = [f'{admin_token},admin,admin,"system:masters"']
    for component, (user, group) in _USERS.items():
        if component != "manager" and not site.with_node:
            continue
        token = secrets.token_hex(32)
        tokens.append(f'{token},{user},{user},"{group}"' if group else f"{token},{user},{user}")
        kubeconfig = render(name=component, server=server, ca_pem=certificate.ca.read_bytes(), user=user, token=token)
        write_private(folder / f"{component}.kubeconfig", kubeconfig)
    return Files(
        certificate=certificate,
        signing_key=make_signing_key(folder / "service-accounts.key"),
        tokens=write_private(folder / "tokens.csv", "\n".join(tokens) + "\n"),
    )
