"""Asking the VPN beside the worker how it is, through the HTTP control server that gluetun made customary.

What it says goes into the worker's report and nowhere else: a VPN that does not answer is no reason to stop a worker.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from fingerv7_sidecar.events import Event, VpnSeen
from fingerv7_sidecar.http1 import HttpError, Response, call

_STATUS_PATHS = ("/v1/vpn/status", "/v1/openvpn/status")
"""The second one for servers that know only OpenVPN."""
_IP_PATH = "/v1/publicip/ip"
_INTERVAL_S = 30.0
_TIMEOUT_S = 5.0
_LONGEST = 64

Post = Callable[[Event], None]
Tell = Callable[[str, str], None]


async def watch_vpn(url: str, key: str, post: Post, tell: Tell, interval_s: float = _INTERVAL_S) -> None:
    """Ask again and again. `tell` is given each change of state and the reason, for the log."""
    before = ""
    while True:
        seen, reason = await ask(url, key)
        post(seen)
        if seen.status != before:
            tell(seen.status, reason)
        before = seen.status
        await asyncio.sleep(interval_s)


async def ask(url: str, key: str) -> tuple[VpnSeen, str]:
    """Its state, and why it is not known where that is `unreachable`."""
    headers = {"x-api-key": key} if key else {}
    try:
        for path in _STATUS_PATHS:
            answer = await call(url.rstrip("/") + path, "GET", timeout_s=_TIMEOUT_S, headers=headers)
            if answer.status not in (400, 404):
                break
        if answer.status in (401, 403):
            return VpnSeen(
                "unreachable"
            ), f"it answers {answer.status}; VPN_CONTROL_KEY must be a key that it accepts"
        status = _text(answer, "status")
        if not status:
            return VpnSeen("unreachable"), f"it answers {answer.status} without a status"
    except TimeoutError:
        return VpnSeen("unreachable"), f"no answer within {_TIMEOUT_S:g} s"
    except HttpError as error:
        return VpnSeen("unreachable"), str(error)
    try:
        answer = await call(url.rstrip("/") + _IP_PATH, "GET", timeout_s=_TIMEOUT_S, headers=headers)
    except (HttpError, TimeoutError):
        return VpnSeen(status), ""
    return VpnSeen(status, _text(answer, "public_ip")), ""


def _text(answer: Response, key: str) -> str:
    """A short text of a JSON object, or nothing."""
    if not 200 <= answer.status < 300:
        return ""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return ""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) and len(found) <= _LONGEST and found.isprintable() else ""
