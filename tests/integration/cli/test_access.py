"""Without access: one sentence that says what to do, exit code 2, and never a traceback."""

from __future__ import annotations

import socket
import sys

import pytest

pytestmark = pytest.mark.integration


def sentence(done):
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    *before, last = done.stderr.splitlines()
    return last.removeprefix("fingerv7: "), before


def test_no_kubeconfig(cli, tmp_path):
    text, _ = sentence(cli("why", "1", config=tmp_path / "missing"))
    assert text.endswith("missing; set KUBECONFIG or name one with --kubeconfig")


def test_a_kubeconfig_that_is_not_there_or_is_none(cli, tmp_path):
    assert "cannot be used" in sentence(cli("why", "1", "--kubeconfig", str(tmp_path / "missing")))[0]
    torn = tmp_path / "torn"
    for content in ("", "- a\n", "a: {", "users: 5\n"):
        torn.write_text(content)
        text, before = sentence(cli("why", "1", "--kubeconfig", str(torn)))
        assert "cannot be used" in text
        assert before == []


def test_an_unknown_context(cli):
    text, _ = sentence(cli("why", "1", "--context", "nowhere"))
    assert "context nowhere" in text
    assert text.endswith("name another with --kubeconfig or --context")


def test_a_server_that_does_not_answer(cli, kubeconfig):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = f"https://127.0.0.1:{taken.getsockname()[1]}"
        text, _ = sentence(cli("why", "1", config=kubeconfig(server=server)))
    assert text == f"cannot reach {server} ([Errno 111] Connection refused); check --context and the network"


def test_a_server_of_another_authority(cli, kubeconfig, cluster):
    server = cluster.server.replace("127.0.0.1", "127.0.0.2")
    text, _ = sentence(cli("why", "1", config=kubeconfig(server=server)))
    assert text.startswith(f"cannot reach {server} (")


def test_credentials_that_are_not_accepted(cli, kubeconfig):
    text, _ = sentence(cli("why", "1", config=kubeconfig(token="nobody")))
    assert "does not accept your credentials" in text


def test_a_failing_exec_plugin_is_told(cli, kubeconfig):
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "false", "interactiveMode": "Never"}
    text, before = sentence(cli("why", "1", config=kubeconfig(user={"exec": plugin})))
    assert "does not accept your credentials" in text
    assert any("exec" in line for line in before)


def test_an_exec_plugin_s_token_is_used(cli, cluster, kubeconfig, stored, namespace):
    stored.pool()
    credential = '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}'
    args = ["-c", f"print('''{credential % cluster.admin_token}''')"]
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": args,
        "interactiveMode": "Never",
    }
    done = cli("why", "1", config=kubeconfig(user={"exec": plugin}))
    assert (done.returncode, done.stderr) == (1, "")


def test_a_missing_right_is_named(cli, cluster, kubeconfig, namespace, stored):
    stored.pool()
    config = kubeconfig(token=cluster.service_account_token(namespace, "guest"))
    text, _ = sentence(cli("why", "1", config=config))
    assert text.startswith(f"you may not list streampools.fingerv7.io in namespace {namespace};")
    text, _ = sentence(cli("uninstall", "-A", config=config))
    assert text.startswith("you may not list streampools.fingerv7.io in all namespaces;")


def test_a_namespace_without_pools(cli, namespace):
    text, _ = sentence(cli("why", "1"))
    assert text == f"there is no StreamPool in namespace {namespace}; name another namespace with -n"
