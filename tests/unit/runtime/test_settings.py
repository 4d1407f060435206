from __future__ import annotations

import pytest

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
