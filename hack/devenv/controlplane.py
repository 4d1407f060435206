"""A Kubernetes control plane of plain processes on the loopback: etcd, kube-apiserver, kube-controller-manager.

What is real: storage with its conflicts, CRDs with CEL, RBAC, service-account tokens, watches, Leases, namespace
deletion and garbage collection. What is missing: nodes, so no pod ever runs.
"""

from __future__ import annotations

import http.client
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path

from devenv.certificates import ServingCertificate, make_certificate, make_signing_key
from devenv.daemons import Command, wait_ready
from devenv.homes import Home
from devenv.kubeconfig import Access, render
from devenv.ports import LOOPBACK
from devenv.private_files import write_private
from devenv.progress import Progress

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager")

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


@dataclass(frozen=True, kw_only=True)
class Files:
    """What the components read, all in one folder."""

    certificate: ServingCertificate
    signing_key: Path
    tokens: Path
    manager_kubeconfig: Path


class ControlPlane:
    """The three processes of one home; `start` first."""

    def __init__(self, home: Home, binaries: dict[str, Path]) -> None:
        self._home = home
        self._binaries = binaries
        self._port = home.reserve_port()
        self._files: Files
        self.access: Access

    def start(self, progress: Progress) -> Access:
        home = self._home
        server = f"https://{LOOPBACK}:{self._port}"
        home.record.server = server
        admin, manager = secrets.token_hex(32), secrets.token_hex(32)
        self._files = _write_files(home.path, server, admin, manager)
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
        command = apiserver_command(self._binaries["kube-apiserver"], self._home.path, self._port, self._files)
        apiserver = self._home.launch(command)
        wait_ready(apiserver, lambda: self._answers("/readyz"), timeout_s=_READY_S, progress=progress)

    def stop_apiserver(self) -> None:
        self._home.stop_processes("kube-apiserver")

    def _start_manager(self, progress: Progress) -> None:
        command = manager_command(self._binaries["kube-controller-manager"], self._home.path, self._files)
        manager = self._home.launch(command)
        default_account = "/api/v1/namespaces/default/serviceaccounts/default"
        wait_ready(manager, lambda: self._answers(default_account), timeout_s=_READY_S, progress=progress)

    def _answers(self, path: str) -> bool:
        context = ssl.create_default_context(cafile=self.access.ca_file)
        connection = http.client.HTTPSConnection(LOOPBACK, self._port, timeout=5, context=context)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.access.admin_token}"})
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
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


def apiserver_command(binary: Path, folder: Path, port: int, files: Files) -> Command:
    argv = (
        *(str(binary), f"--etcd-servers={_ETCD_CLIENT}"),
        # Without an advertised address it looks for a route to the outside, which a laptop on a train lacks;
        # a loopback address may be no endpoint of the `kubernetes` service, hence no reconciler.
        *(f"--bind-address={LOOPBACK}", f"--advertise-address={LOOPBACK}", "--endpoint-reconciler-type=none"),
        f"--secure-port={port}",
        *(f"--tls-cert-file={files.certificate.certificate}", f"--tls-private-key-file={files.certificate.key}"),
        "--service-cluster-ip-range=10.0.0.0/24",
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


def manager_command(binary: Path, folder: Path, files: Files) -> Command:
    argv = (
        *(str(binary), f"--kubeconfig={files.manager_kubeconfig}", "--leader-elect=false", "--secure-port=0"),
        # Each controller with its own account and roles, as in a real cluster.
        *("--use-service-account-credentials=true", f"--controllers={','.join(_CONTROLLERS)}"),
        *(f"--service-account-private-key-file={files.signing_key}", f"--root-ca-file={files.certificate.ca}"),
    )
    return Command(name="kube-controller-manager", argv=argv, folder=folder)


def _write_files(folder: Path, server: str, admin_token: str, manager_token: str) -> Files:
    certificate = make_certificate(folder)
    manager_user = "system:kube-controller-manager"
    kubeconfig = render(
        name="manager", server=server, ca_pem=certificate.ca.read_bytes(), user=manager_user, token=manager_token
    )
    tokens = f'{admin_token},admin,admin,"system:masters"\n{manager_token},{manager_user},{manager_user}\n'
    return Files(
        certificate=certificate,
        signing_key=make_signing_key(folder / "service-accounts.key"),
        tokens=write_private(folder / "tokens.csv", tokens),
        manager_kubeconfig=write_private(folder / "manager.kubeconfig", kubeconfig),
    )
