from __future__ import annotations

import subprocess
import sys

import pytest
from kubernetes.client import ApiException

from fingerv7.cli import access, arguments, main

HEAVY = ("kopf", "aiohttp", "asyncpg", "orjson", "fingerv7.runtime", "fingerv7.core")


def test_usage_names_the_program_as_it_was_called(capsys):
    assert main.program("/usr/local/bin/fingerv7") == "fingerv7"
    assert main.program("C:/bin/kubectl-fingerv7.exe") == "kubectl fingerv7"
    with pytest.raises(SystemExit) as left:
        arguments.parser("kubectl fingerv7").parse_args(["why"])
    assert left.value.code == 2
    assert "usage: kubectl fingerv7 why" in capsys.readouterr().err


def test_access_may_be_given_before_and_after_the_command():
    read = arguments.parser("fingerv7").parse_args
    assert read(["-n", "a", "why", "1"]).namespace == "a"
    assert read(["why", "1", "-n", "a"]).namespace == "a"
    assert read(["--context", "c", "uninstall", "--kubeconfig", "f"]).context == "c"


def test_nothing_of_the_operator_s_machinery_is_imported():
    code = f"import fingerv7.cli.why, fingerv7.cli.uninstall, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("status", "verb", "namespace", "name", "sentence"),
    [
        (401, "list", "ns", "", "https://api does not accept your credentials; log in again, or choose another"),
        (403, "list", None, "", "you may not list fingerworkers.fingerv7.io in all namespaces; ask for that right"),
        (403, "patch", "ns", "w1", "you may not patch fingerworkers.fingerv7.io in namespace ns; ask for that right"),
        (404, "list", "ns", "", "https://api does not know fingerworkers.fingerv7.io; install the CRDs"),
        (404, "get", "ns", "w1", "there is no fingerworkers.fingerv7.io w1 in namespace ns"),
        (409, "patch", "ns", "w1", "fingerworkers.fingerv7.io w1 in namespace ns keeps changing; try again"),
        (
            500,
            "list",
            "ns",
            "",
            "https://api answered 500 to list fingerworkers.fingerv7.io in namespace ns: broken;",
        ),
        (0, "list", "ns", "", "cannot reach https://api (self-signed certificate); check --context"),
    ],
)
def test_a_refusal_is_a_sentence_that_says_what_to_do(status, verb, namespace, name, sentence):
    error = ApiException(status=status, reason="SSLError\n[SSL] verify failed: self-signed certificate")
    error.body = '{"message": "broken"}'
    assert str(access._refused(error, verb, access.FINGERWORKERS, namespace, name, "https://api")).startswith(
        sentence
    )


def test_a_stranger_is_told_to_log_in_and_not_to_ask_for_rights():
    error = ApiException(status=403)
    error.body = b'{"message": "User \\"system:anonymous\\" cannot list"}'
    refused = access._refused(error, "list", access.FINGERWORKERS, "ns", "", "https://api")
    assert "does not accept your credentials" in str(refused)
