"""The few places where production code reaches for the real world, and what it gets instead.

Constants of policy that are written for a T of 20 s are scaled with T, so that ten T show as much as they would there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from fingerv7.adapters.postgres import source
from fingerv7.core import takeover
from fingerv7_sidecar import api as sidecar_api

if TYPE_CHECKING:
    from .world import World

_REFERENCE_T_S = 20.0


@contextlib.contextmanager
def installed() -> Iterator[Callable[[World], None]]:
    """Gives what connects production code to a world; everything is as before afterwards."""
    undo: list[tuple[Any, str, Any]] = []

    def put(target: Any, name: str, value: Any) -> None:
        undo.append((target, name, getattr(target, name)))
        setattr(target, name, value)

    def connect(world: World) -> None:
        share = world.scale.takeover_s / _REFERENCE_T_S
        put(source, "open_connection", world.database.open)
        for module, name in (
            (sidecar_api, "_READ_TIMEOUT_S"),
            (sidecar_api, "_SAFETY_READ_S"),
            (sidecar_api, "_WATCH_SILENCE_S"),
            (takeover, "BACKOFF_FIRST_S"),
        ):
            put(module, name, getattr(module, name) * share)
        put(sidecar_api, "time", _Time(world))

    try:
        yield connect
    finally:
        for target, name, value in reversed(undo):
            setattr(target, name, value)


class _Time:
    """Stands for the module `time`."""

    def __init__(self, world: World) -> None:
        self.monotonic = world.loop.time
