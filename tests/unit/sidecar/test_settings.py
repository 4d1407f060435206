from __future__ import annotations

import json

import pytest

from fingerv7_sidecar.settings import SettingsError, read_settings

GOOD = {"INSTANCE_ID": "w1", "NAMESPACE": "radio", "KUBERNETES_API_URL": "https://127.0.0.1:6443"}


def test_little_has_to_be_set():
    settings = read_settings(GOOD)
    assert (settings.config_dir, settings.listen_host, settings.listen_port) == ("/config", "127.0.0.1", 8089)
    assert settings.timing.fence_after_ms == 12_000
    assert settings.ack == "File"


def test_the_service_of_the_cluster_is_used_in_pods():
    settings = read_settings(
        {
            "INSTANCE_ID": "w1",
            "NAMESPACE": "x",
            "KUBERNETES_SERVICE_HOST": "fd00::1",
            "KUBERNETES_SERVICE_PORT": "443",
        }
    )
    assert (settings.api_host, settings.api_port) == ("fd00::1", 443)


def test_times_are_derived_from_the_takeover_time():
    timing = read_settings(GOOD | {"TAKEOVER_AFTER": "10s", "RENEW_INTERVAL": "1s"}).timing
    assert (timing.fence_after_ms, timing.renew_interval_ms) == (6_000, 1_000)


def test_a_registration_carries_what_is_set():
    settings = read_settings(
        GOOD | {"MAX_STREAMS": "50", "CAPABILITIES": "audio_fingerprinting, vpn", "LOCATION": "dc1"}
    )
    assert json.loads(settings.register) == {
        "maxStreams": 50,
        "capabilities": ["audio_fingerprinting", "vpn"],
        "location": "dc1",
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"INSTANCE_ID": ""}, "INSTANCE_ID is not set"),
        ({"INSTANCE_ID": "Bad_Name"}, "must be a Kubernetes name"),
        ({"KUBERNETES_API_URL": "http://127.0.0.1:8080"}, "must be https://"),
        ({"KUBERNETES_API_URL": ""}, "no API server is known"),
        ({"KUBERNETES_API_URL": "https://[::1"}, "must be https://"),
        ({"TAKEOVER_AFTER": "20"}, "is not a duration"),
        ({"FENCE_AFTER": "19s"}, "safety"),
        ({"REQUEST_TIMEOUT": "6s"}, "liveness"),
        ({"MAX_STREAMS": "1001"}, "from 1 to 1000"),
        ({"REGISTER": "1"}, "needs MAX_STREAMS"),
        ({"ACK": "Maybe"}, "File, Http, OnWrite"),
        ({"ACK": "Http"}, "needs ACK_URL"),
        ({"ACK_URL": "ftp://x"}, "http://"),
        ({"ACK_URL": f"http://{'a' * 64}/"}, "ACK_URL is not valid"),
        ({"ACK_URL": "http://a..b/"}, "ACK_URL is not valid"),
        ({"ACK_URL": "http://a b/"}, "ACK_URL is not valid"),
        ({"ACK_URL": "http://-a/"}, "ACK_URL is not valid"),
        ({"ACK_URL": f"http://{'a.' * 127}/"}, "ACK_URL is not valid"),
        ({"ACK_URL": "http://a/b c"}, "ASCII without blanks"),
        ({"ACK_URL": "http://a/\u00e4"}, "ASCII without blanks"),
        ({"ACK_URL": "http://a/\tb"}, "ASCII without blanks"),
        ({"ACK_URL": "http://a:99999/"}, "ACK_URL is not valid"),
        ({"KUBERNETES_API_URL": "https://a..b"}, "must be https://"),
        ({"LISTEN": "8089"}, "host:port"),
        ({"LOG_LEVEL": "loud"}, "debug, info, warning, error"),
        ({"WORKER_LOCK": "maybe"}, "1 or 0"),
        ({"CONFIG_FILE_MODE": "999"}, "octal"),
        ({"POD_UID": "a/b"}, "without slashes"),
        ({"PUBLIC_LISTEN": "8090"}, "PUBLIC_LISTEN='8090' is not valid; it must be host:port"),
        ({"PUBLIC_LISTEN": "0.0.0.0:8090", "DRAIN_KEY": "short"}, "DRAIN_KEY is not valid; it must be 16 to 256"),
        ({"PUBLIC_LISTEN": "0.0.0.0:8090", "DRAIN_KEY": "with a blank in it"}, "without blanks"),
        ({"DRAIN_KEY": "0123456789abcdef"}, "no use without PUBLIC_LISTEN"),
        ({"VPN_CONTROL_URL": "https://127.0.0.1:8000"}, "http://"),
        ({"VPN_CONTROL_KEY": "k"}, "no use without VPN_CONTROL_URL"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_accepted(change, says):
    with pytest.raises(SettingsError, match=says):
        read_settings(GOOD | change)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000",
        "http://[::1]/x?y=1",
        "http://localhost",
        "http://my_vpn.radio.svc.cluster.local./a%20b",
    ],
)
def test_every_address_that_can_be_asked_is_accepted(url):
    assert read_settings(GOOD | {"WORKER_HEALTH_URL": url}).worker_health_url == url


def test_keys_are_never_shown():
    key = "not-for-everybody "
    with pytest.raises(SettingsError) as raised:
        read_settings(GOOD | {"DRAIN_KEY": f"{key}x", "VPN_CONTROL_KEY": f"{key}y"})
    assert "not-for" not in str(raised.value)
    good = {
        "PUBLIC_LISTEN": "[::]:8090",
        "DRAIN_KEY": "not-for-everybody",
        "VPN_CONTROL_URL": "http://127.0.0.1:8000",
    }
    settings = read_settings(GOOD | good | {"VPN_CONTROL_KEY": "not-for-anybody"})
    assert settings.public_listen == ("::", 8090)
    assert "not-for" not in repr(settings)


def test_all_problems_are_said_at_once():
    with pytest.raises(SettingsError) as raised:
        read_settings({"TAKEOVER_AFTER": "x", "MAX_STREAMS": "0"})
    assert len(str(raised.value).splitlines()) >= 4
