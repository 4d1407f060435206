"""Watching the worker beside us: its lock, its health, and its confirmation of a config.

These only observe and pass on what they saw; the protocol judges. Each is quiet when nothing is asked of it, because
a fleet pays for idle sidecars by the thousand.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from fingerv7_sidecar.assignment import Config
from fingerv7_sidecar.events import Confirmed, Event, HealthSeen, LockProbed
from fingerv7_sidecar.files import ConfigFolder
from fingerv7_sidecar.http1 import HttpError, call

_FIRST_POLL_S, _LAST_POLL_S = 0.02, 0.25
_HOOK_TIMEOUT_S = 30.0
_HOOK_RETRY_S = 5.0

Post = Callable[[Event], None]


def probe_lock(folder: ConfigFolder, serial: int) -> LockProbed:
    """A lock that cannot be looked at counts as held: only obtaining it proves that no worker lives."""
    return LockProbed(serial, folder.worker_lock_held() is not False)


async def watch_lock(
    folder: ConfigFolder, post: Post, interval: Callable[[], float], known: Callable[[], bool | None]
) -> None:
    """Pass on what differs from what the protocol knows."""
    while True:
        held = folder.worker_lock_held()
        if held is not None and held is not known():
            post(LockProbed(0, held))
        await asyncio.sleep(interval())


async def watch_health(url: str, post: Post, interval: Callable[[], float]) -> None:
    while True:
        try:
            response = await call(url, "GET", timeout_s=interval())
            ok = 200 <= response.status < 300
        except (HttpError, TimeoutError):
            ok = False
        post(HealthSeen(ok))
        await asyncio.sleep(interval())


async def await_file(folder: ConfigFolder, config: Config, post: Post) -> None:
    """Until the worker has written this config's hash; often at first, because a quick answer frees streams."""
    pause, last = _FIRST_POLL_S, ""
    while True:
        confirmed = folder.read_confirmation()
        if confirmed and confirmed != last:
            post(Confirmed(confirmed))
        if confirmed == config.hash:
            return
        last = confirmed
        await asyncio.sleep(pause)
        pause = min(_LAST_POLL_S, pause * 1.2)


async def await_hook(url: str, config: Config, post: Post) -> None:
    """Post the config until the worker answers with its hash."""
    pause = 0.1
    while True:
        try:
            response = await call(url, "POST", timeout_s=_HOOK_TIMEOUT_S, body=config.payload)
            if 200 <= response.status < 300 and _answered_hash(response.body) == config.hash:
                post(Confirmed(config.hash))
                return
        except (HttpError, TimeoutError):
            pass  # the epoch stays unconfirmed, which the protocol sees and reports
        await asyncio.sleep(pause)
        pause = min(_HOOK_RETRY_S, pause * 2)


def _answered_hash(body: bytes) -> str:
    """The hash as plain text, or as `{"hash": …}`."""
    text = body.decode("utf-8", "replace").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return str(value.get("hash")) if isinstance(value, dict) else str(value)
