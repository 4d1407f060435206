from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
import yaml

from devenv.errors import DevenvError
from devenv.kubeconfig import adopt, render

RENDERED = render(name="fingerv7-dev", server="https://127.0.0.1:6443", ca_pem=b"PEM", user="admin", token="secret")


def test_the_kubeconfig_holds_the_authority_and_never_skips_verification() -> None:
    config = yaml.safe_load(RENDERED)
    assert config["clusters"] == [
        {
            "name": "fingerv7-dev",
            "cluster": {
                "server": "https://127.0.0.1:6443",
                "certificate-authority-data": base64.b64encode(b"PEM").decode(),
            },
        }
    ]
    assert config["current-context"] == "fingerv7-dev"
    assert config["contexts"] == [{"name": "fingerv7-dev", "context": {"cluster": "fingerv7-dev", "user": "admin"}}]
    assert config["users"] == [{"name": "admin", "user": {"token": "secret"}}]


def test_an_existing_cluster_is_adopted_with_its_authority_in_a_file(tmp_path: Path) -> None:
    access = adopt(RENDERED, tmp_path)
    assert access.server == "https://127.0.0.1:6443"
    assert access.ca_file.read_bytes() == b"PEM"
    assert access.admin_token == ""
    assert access.kubeconfig.read_text() == RENDERED
    assert stat.S_IMODE(access.kubeconfig.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "cluster",
    [
        {"server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": True},
        {"server": "http://127.0.0.1:8080"},
    ],
    ids=["verification switched off", "no TLS"],
)
def test_a_server_that_would_not_be_verified_is_refused(tmp_path: Path, cluster: dict[str, object]) -> None:
    text = yaml.safe_dump({"clusters": [{"name": "c", "cluster": cluster}]})
    with pytest.raises(DevenvError, match="would not be verified"):
        adopt(text, tmp_path)


def test_a_context_without_a_cluster_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DevenvError, match="names no cluster"):
        adopt("apiVersion: v1\nclusters: null\n", tmp_path)
