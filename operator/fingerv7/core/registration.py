"""What a worker that nobody declared asks for in its Lease: annotation `fingerv7.io/register`.

Anything may be in there, since any sidecar with the pool's label writes it, so it is read strictly and the error
says what would be accepted.
"""

from __future__ import annotations

import json
import re
from typing import Any

from fingerv7.contract import CAPABILITY_PATTERN, FINGERPRINTING, MAX_CAPABILITIES, MAX_STREAMS

_CAPABILITY = re.compile(CAPABILITY_PATTERN)


class RegistrationError(ValueError):
    """Says what is wrong with a registration and what is accepted."""


def worker_spec(register: str, pool: str) -> dict[str, Any]:
    """The spec of the FingerWorker that a Lease registers. Raises RegistrationError."""
    try:
        asked = json.loads(register)
    except ValueError:
        raise RegistrationError(
            f'fingerv7.io/register must be JSON such as {{"maxStreams": 50, "capabilities": ["{FINGERPRINTING}"]}}'
        ) from None
    if not isinstance(asked, dict):
        raise RegistrationError("fingerv7.io/register must be a JSON object")
    limit = asked.get("maxStreams")
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_STREAMS:
        raise RegistrationError(
            f"maxStreams must be a whole number from 1 to {MAX_STREAMS} (MAX_STREAMS of the sidecar)"
        )
    capabilities = asked.get("capabilities", [FINGERPRINTING])
    if not isinstance(capabilities, list) or not all(
        isinstance(c, str) and _CAPABILITY.fullmatch(c) for c in capabilities
    ):
        raise RegistrationError(
            "capabilities must be a list of words of letters, digits, '_', '.' and '-', at most 63 of them a word"
        )
    capabilities = sorted(set(capabilities))
    if len(capabilities) > MAX_CAPABILITIES:
        raise RegistrationError(
            f"{len(capabilities)} capabilities are too many, at most {MAX_CAPABILITIES} are accepted "
            "(CAPABILITIES of the sidecar)"
        )
    if FINGERPRINTING not in capabilities:
        raise RegistrationError(f"capabilities must contain {FINGERPRINTING} (CAPABILITIES of the sidecar)")
    location = asked.get("location") or ""
    if not isinstance(location, str) or len(location) > 63 or not location.isprintable():
        raise RegistrationError(
            "location must be a printable text of at most 63 characters (LOCATION of the sidecar)"
        )
    spec: dict[str, Any] = {
        "poolRef": {"name": pool},
        "maxStreams": limit,
        "capabilities": capabilities,
    }
    if location:
        spec["location"] = location
    return spec
