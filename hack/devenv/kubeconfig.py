"""Kubeconfigs: writing ours, and reading what tests need out of somebody else's."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from devenv.errors import DevenvError
from devenv.private_files import write_private


@dataclass(frozen=True, kw_only=True)
class Access:
    """How to reach a cluster; `admin_token` is empty where the kubeconfig uses other credentials."""

    kubeconfig: Path
    server: str
    ca_file: Path
    admin_token: str = ""


def render(*, name: str, server: str, ca_pem: bytes, user: str, token: str) -> str:
    """A kubeconfig with one context and the authority's certificate inside."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name,
                    "cluster": {"server": server, "certificate-authority-data": base64.b64encode(ca_pem).decode()},
                }
            ],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        },
        sort_keys=False,
    )


def adopt(text: str, folder: Path) -> Access:
    """Keep a flattened kubeconfig of one context (`kubectl config view --minify --flatten --raw`) in `folder`.

    Raises:
        DevenvError: it names no server, or a server that would not be verified.
    """
    config = yaml.safe_load(text) or {}
    clusters = config.get("clusters") or []
    if not clusters:
        raise DevenvError("the kubeconfig's context names no cluster; choose another context")
    cluster: dict[str, Any] = clusters[0]["cluster"]
    server = str(cluster.get("server", ""))
    if not server.startswith("https://") or cluster.get("insecure-skip-tls-verify"):
        raise DevenvError(
            f"{server or 'the server'} would not be verified; use a context with https and its authority"
        )
    return Access(
        kubeconfig=write_private(folder / "kubeconfig", text),
        server=server,
        ca_file=_ca_file(cluster.get("certificate-authority-data"), folder),
    )


def _ca_file(data: str | None, folder: Path) -> Path:
    if data:
        path = folder / "ca.crt"
        path.write_bytes(base64.b64decode(data))
        return path
    # No authority of its own: the cluster's certificate is signed by a public one.
    paths = ssl.get_default_verify_paths()
    return Path(paths.cafile or paths.openssl_cafile)
