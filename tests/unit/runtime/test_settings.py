from __future__ import annotations

import pytest

from fingerv7.adapters.kube.election import Election
from fingerv7.runtime.main import main
from fingerv7.runtime.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        (None, (None, 8080)),
        (":9090", (None, 9090)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("none", None),
        ("", None),
    ],
)
def test_where_it_listens(text, listen):
    env = {"POD_NAMESPACE": "fingerv7"} | ({} if text is None else {"FINGERV7_LISTEN": text})
    assert Settings.read(env).listen == listen


@pytest.mark.parametrize("text", ["8080x", "host:", ":70000"])
def test_what_is_no_address_is_refused_with_what_is_accepted(text):
    with pytest.raises(SettingsError, match="host:port, :port or none is accepted"):
        Settings.read({"POD_NAMESPACE": "fingerv7", "FINGERV7_LISTEN": text})


@pytest.mark.parametrize(
    "times",
    [
        {"LEASE": "10"},
        {"RENEW_DEADLINE": "14"},
        {"RETRY": "10"},
        {"LEASE": "301", "RENEW_DEADLINE": "200"},
        {"LEASE": "0.4", "RENEW_DEADLINE": "0.3", "RETRY": "0.1"},
    ],
)
def test_times_that_could_make_two_leaders_are_refused_with_what_is_accepted(times):
    env = {f"FINGERV7_{name}_SECONDS": text for name, text in times.items()}
    with pytest.raises(SettingsError, match="nine tenths") as refused:
        Settings.read(env)
    assert all(f"{name}={text}" in str(refused.value) for name, text in env.items())


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "soon"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(SettingsError, match="a number of seconds above zero is accepted"):
        Settings.read({"FINGERV7_LEASE_SECONDS": text})


@pytest.mark.parametrize("times", [("15", "10", "2"), ("1", "0.9", "0.1"), ("300", "270", "269")])
def test_times_as_the_refusal_describes_them_are_accepted_by_the_election(times):
    names = ("LEASE", "RENEW_DEADLINE", "RETRY")
    settings = Settings.read({f"FINGERV7_{name}_SECONDS": text for name, text in zip(names, times, strict=True)})
    Election(
        None,  # type: ignore[arg-type]
        namespace="ns",
        name="n",
        lease_s=settings.lease_s,
        renew_deadline_s=settings.renew_deadline_s,
        retry_s=settings.retry_s,
        watchdog=False,
    )


def test_a_wrong_setting_ends_the_process_with_a_sentence_and_no_traceback(monkeypatch):
    monkeypatch.setenv("FINGERV7_LEASE_SECONDS", "10")
    with pytest.raises(SystemExit, match=r"^fingerv7-operator: FINGERV7_LEASE_SECONDS=10 with "):
        main()


def test_the_policy_for_the_sidecars_image():
    assert Settings.read({"FINGERV7_SIDECAR_PULL_POLICY": "Always"}).sidecar_pull_policy == "Always"
    with pytest.raises(SettingsError, match="Always, IfNotPresent, Never or nothing is accepted"):
        Settings.read({"FINGERV7_SIDECAR_PULL_POLICY": "always"})
