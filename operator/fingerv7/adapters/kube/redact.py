"""Stream URLs carry credentials (`https://user:pass@…`, `?key=…`) and are printed in Events, logs and tables.

A URL that cannot be taken apart with certainty is hidden whole rather than in part.
"""

from __future__ import annotations

import re

_HIDDEN = "[redacted]"
_PORT = re.compile(r":[0-9]*$")


def redact_url(url: str) -> str:
    """`scheme://host[:port]/path` of a URL: without user information, query and fragment."""
    text = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, separator, rest = text.partition("://")
    if not separator or not scheme.isascii() or not scheme.replace("+", "").isalnum():
        return _HIDDEN
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    # A colon that no port follows, or a bracket out of place, is a password cut off by its own "/", "?" or "#".
    bare = host.partition("]")[2] if host.startswith("[") else host
    if not host or "\\" in host or ":" in _PORT.sub("", bare):
        return f"{scheme}://{_HIDDEN}"
    return f"{scheme}://{host}{slash}{path}"
