"""Stream URLs carry credentials (`https://user:pass@…`, `?key=…`) and are printed in Events, logs and tables.

A URL that cannot be taken apart with certainty is hidden whole rather than in part.
"""

from __future__ import annotations

import re

_HIDDEN = "[redacted]"
_PORT = re.compile(r":[0-9]+$")


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+]*://[^\s\"']+")


def redact_text(text: str) -> str:
    """A sentence of somebody else's, with every URL in it as `redact_url` gives it."""
    return _URL.sub(lambda found: redact_url(found[0]), text)


def redact_url(url: str) -> str:
    """`scheme://host[:port]/path` of a URL: without user information, query and fragment."""
    text = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, separator, rest = text.partition("://")
    if not separator or not scheme.isascii() or not scheme.replace("+", "").isalnum():
        return _HIDDEN
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    bare = host.partition("]")[2] if host.startswith("[") else host
    # A password with an unquoted "/", "?", "#" or "@" in it is cut off there. It leaves a colon that no port
    # follows, or something like a port or a host, with the real "@" still to come.
    torn = (":" in bare or "@" in authority) and "@" in url[len(scheme) + 3 + len(authority) :]
    if not host or "\\" in host or ":" in _PORT.sub("", bare) or torn:
        return f"{scheme}://{_HIDDEN}"
    return f"{scheme}://{host}{slash}{path}"
