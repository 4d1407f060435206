from __future__ import annotations

import dataclasses
import signal
from pathlib import Path

from devenv.certificates import ServingCertificate
from devenv.controlplane import Files, Site, apiserver_command, etcd_command, manager_command
from devenv.network import Network
from devenv.postgres_binaries import ServerBinaries
from devenv.postgres_server import server_command

FOLDER = Path("/home-of-it")
CERTIFICATE = ServingCertificate(FOLDER / "ca.crt", FOLDER / "server.crt", FOLDER / "server.key")
FILES = Files(
    certificate=CERTIFICATE,
    signing_key=FOLDER / "service-accounts.key",
    tokens=FOLDER / "tokens.csv",
)
BINARIES = ServerBinaries(folder=Path("/usr/lib/postgresql/17/bin"), user="postgres")


def test_nothing_of_the_control_plane_listens_beyond_the_loopback() -> None:
    etcd = etcd_command(Path("etcd"), FOLDER).argv
    assert all("unix://" in each for each in etcd if "urls=" in each)
    apiserver = apiserver_command(Path("kube-apiserver"), FOLDER, 6443, FILES).argv
    assert "--bind-address=127.0.0.1" in apiserver
    assert "--secure-port=0" in manager_command(Path("kube-controller-manager"), FOLDER, FILES).argv


def test_the_api_server_authorizes_by_roles() -> None:
    argv = apiserver_command(Path("kube-apiserver"), FOLDER, 6443, FILES).argv
    assert "--authorization-mode=Node,RBAC" in argv


def test_with_a_node_it_listens_on_the_bridge_only_and_proves_to_the_kubelet_who_it_is() -> None:
    certificate = dataclasses.replace(CERTIFICATE, client=(FOLDER / "client.crt", FOLDER / "client.key"))
    files = dataclasses.replace(FILES, certificate=certificate)
    site = Site.on(Network(number=7))
    argv = apiserver_command(Path("kube-apiserver"), FOLDER, 6443, files, site).argv
    assert {"--bind-address=10.213.7.1", "--service-cluster-ip-range=10.214.7.0/24"} <= set(argv)
    assert {
        "--kubelet-client-certificate=/home-of-it/client.crt",
        "--kubelet-certificate-authority=/home-of-it/ca.crt",
    } <= set(argv)
    assert "10.214.7.1" in site.names
    # Budgets, Deployments, taints: with pods all controllers are needed.
    assert "--controllers=*" in manager_command(Path("kube-controller-manager"), FOLDER, files, site).argv


def test_tokens_are_handed_over_in_files_and_never_on_a_command_line() -> None:
    argv = apiserver_command(Path("kube-apiserver"), FOLDER, 6443, FILES).argv
    assert f"--token-auth-file={FILES.tokens}" in argv


def test_postgres_throws_its_clients_out_when_it_is_stopped() -> None:
    assert server_command(BINARIES, FOLDER / "data", CERTIFICATE, 5433).stop_signal == signal.SIGINT


def test_postgres_speaks_tls_on_the_loopback_or_only_through_its_socket() -> None:
    with_port = server_command(BINARIES, FOLDER / "data", CERTIFICATE, 5433).argv
    assert {"listen_addresses=127.0.0.1", "port=5433", "ssl=on", "unix_socket_directories="} <= set(with_port)
    for_pods = server_command(BINARIES, FOLDER / "data", CERTIFICATE, 5433, ("127.0.0.1", "10.213.7.1")).argv
    assert "listen_addresses=127.0.0.1,10.213.7.1" in for_pods
    behind_front = server_command(BINARIES, FOLDER / "data", CERTIFICATE, None).argv
    assert {"listen_addresses=", "unix_socket_directories=."} <= set(behind_front)
    assert "ssl=on" not in behind_front
