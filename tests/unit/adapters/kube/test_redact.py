from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerv7.adapters.kube.redact import redact_text, redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://radio.example/live", "http://radio.example/live"),
        ("https://radio.example:8443/live.mp3", "https://radio.example:8443/live.mp3"),
        ("http://radio.example", "http://radio.example"),
        ("https://user:secret@radio.example/live", "https://radio.example/live"),
        ("https://user:se@cret@radio.example/live", "https://radio.example/live"),
        ("https://radio.example/live?key=secret#secret", "https://radio.example/live"),
        ("https://radio.example#secret", "https://radio.example"),
        ("http://[2001:db8::1]:8000/live", "http://[2001:db8::1]:8000/live"),
        ("http://u:secret@[2001:db8::1]/live", "http://[2001:db8::1]/live"),
        ("http://user:sec/ret@radio.example/live", "http://[redacted]"),
        ("http://user:sec?ret@radio.example/live", "http://[redacted]"),
        ("http://user:sec#ret@radio.example/live", "http://[redacted]"),
        ("http://user:/secret@radio.example/live", "http://[redacted]"),
        ("http://user:80/secret@radio.example/live", "http://[redacted]"),
        ("http://radio.example/@station/live", "http://radio.example/@station/live"),
        ("http:\\\\user:secret@radio.example", "[redacted]"),
        ("http:///secret", "http://[redacted]"),
        ("user:secret@radio.example/live", "[redacted]"),
        ("secret", "[redacted]"),
        ("", "[redacted]"),
    ],
)
def test_what_may_be_a_credential_is_never_shown(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    assert isinstance(redact_url(text), str)


_PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8)


@given(_PRINTABLE, _PRINTABLE)
@settings(max_examples=300)
def test_no_password_is_ever_shown(before: str, after: str) -> None:
    assert "SECRET" not in redact_url(f"https://user:{before}SECRET{after}@radio.example/live?key=SECRET")


def test_urls_in_a_sentence_are_redacted_and_the_rest_is_kept() -> None:
    text = 'cannot pull: Get "https://user:secret@registry.example/v2/?token=secret": 401, see http://help.example/x'
    assert redact_text(text) == 'cannot pull: Get "https://registry.example/v2/": 401, see http://help.example/x'
    assert redact_text('secret "vpn-003" not found') == 'secret "vpn-003" not found'
