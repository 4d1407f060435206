from __future__ import annotations

import asyncio
import base64
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from fingerv7.adapters.kube import credentials
from fingerv7.adapters.kube.credentials import RereadToken, load_credentials
from fingerv7.adapters.kube.errors import CredentialsError

from .virtual_time import virtually


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ca: trustme.CA) -> Path:
    """The files that a pod finds."""
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "namespace").write_text("radio")
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return tmp_path


def test_a_pod_uses_its_service_account_and_verifies_the_server(pod: Path) -> None:
    found = load_credentials()
    assert (found.server, found.namespace) == ("https://10.0.0.1:443", "radio")
    assert found.ssl_context.verify_mode is ssl.CERT_REQUIRED
    assert found.ssl_context.check_hostname


def test_an_ipv6_address_is_bracketed(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    assert load_credentials().server == "https://[fd00::1]:443"


@virtually
async def test_the_token_is_read_again_after_a_minute_or_when_it_is_refused(pod: Path) -> None:
    token = load_credentials().token
    assert await token.authorization() == "Bearer first"
    (pod / "token").write_text("second")
    assert await token.authorization() == "Bearer first"
    await asyncio.sleep(61)
    assert await token.authorization() == "Bearer second"
    (pod / "token").write_text("third")
    assert await token.authorization(rejected="Bearer first") == "Bearer second"  # another request's old one
    assert await token.authorization(rejected="Bearer second") == "Bearer third"


@virtually
async def test_a_token_that_was_never_read_is_missed_by_name(pod: Path) -> None:
    token = load_credentials().token
    (pod / "token").unlink()
    with pytest.raises(CredentialsError, match="token"):
        await token.authorization()
    (pod / "token").write_text("back")
    assert await token.authorization() == "Bearer back"


@virtually
async def test_a_token_that_cannot_be_read_again_is_kept(pod: Path) -> None:
    token = load_credentials().token
    await token.authorization()
    (pod / "token").unlink()
    await asyncio.sleep(61)
    assert await token.authorization() == "Bearer first"


@virtually
async def test_many_refused_requests_cause_one_reading() -> None:
    readings: list[bool] = []

    def read(refused: bool) -> str:
        readings.append(refused)
        return f"Bearer {len(readings)}"

    token = RereadToken(read)
    old = await token.authorization()
    answers = await asyncio.gather(*(token.authorization(rejected=old) for _ in range(20)))
    assert set(answers) == {"Bearer 2"}
    assert readings == [False, True]


def test_outside_a_pod_nothing_is_picked_up_silently(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(_kubeconfig(tmp_path)))
    with pytest.raises(CredentialsError, match="name a kubeconfig"):
        load_credentials()


# --- kubeconfig -------------------------------------------------------------------------------------------


def _kubeconfig(folder: Path, user: dict[str, Any] | None = None, **cluster: Any) -> Path:
    file = folder / "config"
    server = {"server": "https://127.0.0.1:6443", **cluster}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": server}],
        "users": [{"name": "u", "user": user or {"token": "from-config"}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "c", "user": "u", "namespace": "radio"}},
        ],
    }
    file.write_text(json.dumps(document))
    return file


@pytest.fixture
def trusted(ca: trustme.CA) -> dict[str, str]:
    return {"certificate-authority-data": base64.b64encode(ca.cert_pem.bytes()).decode()}


async def test_a_kubeconfig_gives_server_token_and_namespace(tmp_path: Path, trusted: dict[str, str]) -> None:
    file = _kubeconfig(tmp_path, **trusted)
    found = load_credentials(kubeconfig=file)
    assert (found.server, found.namespace) == ("https://127.0.0.1:6443", "default")
    assert await found.token.authorization() == "Bearer from-config"
    assert load_credentials(kubeconfig=file, context="two").namespace == "radio"


async def test_an_exec_plugin_is_run_and_run_again_when_its_token_is_refused(
    tmp_path: Path, trusted: dict[str, str]
) -> None:
    (tmp_path / "count").write_text("")
    script = (
        f'printf x >> {tmp_path}/count; n=$(wc -c < {tmp_path}/count); printf \'{{"kind": "ExecCredential", '
        '"apiVersion": "client.authentication.k8s.io/v1", "status": {"token": "run-%s"}}\' $n'
    )
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": ["-c", script],
        "interactiveMode": "Never",
    }
    found = load_credentials(kubeconfig=_kubeconfig(tmp_path, {"exec": plugin}, **trusted))
    first = await found.token.authorization()
    assert first == "Bearer run-1"
    assert await found.token.authorization() == first
    assert await found.token.authorization(rejected=first) == "Bearer run-2"


async def test_a_client_certificate_needs_no_token(tmp_path: Path, ca: trustme.CA, trusted: dict[str, str]) -> None:
    issued = ca.issue_cert("me")
    user = {
        "client-certificate-data": base64.b64encode(issued.cert_chain_pems[0].bytes()).decode(),
        "client-key-data": base64.b64encode(issued.private_key_pem.bytes()).decode(),
    }
    found = load_credentials(kubeconfig=_kubeconfig(tmp_path, user, **trusted))
    assert await found.token.authorization() is None


def test_an_unverified_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="insecure-skip-tls-verify"):
        load_credentials(kubeconfig=_kubeconfig(tmp_path, **{"insecure-skip-tls-verify": True}))
    with pytest.raises(CredentialsError, match="not an https"):
        load_credentials(kubeconfig=_kubeconfig(tmp_path, server="http://127.0.0.1:8080"))


def test_what_is_wrong_with_a_kubeconfig_is_said(tmp_path: Path, trusted: dict[str, str]) -> None:
    with pytest.raises(CredentialsError, match="missing"):
        load_credentials(kubeconfig=tmp_path / "missing")
    with pytest.raises(CredentialsError, match="'three'"):
        load_credentials(kubeconfig=_kubeconfig(tmp_path, **trusted), context="three")
    broken = tmp_path / "broken"
    broken.write_text("{")
    with pytest.raises(CredentialsError, match="broken"):
        load_credentials(kubeconfig=broken)
