"""The few places where production code reaches for the real world, and what it gets instead.

Constants of policy that are written for a T of 20 s are scaled with T, so that ten T show as much as they would there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

from fingerv7.adapters.postgres import source
from fingerv7.core import takeover
from fingerv7.runtime import fleet, main
from fingerv7.runtime.publisher import Publisher
from fingerv7_sidecar import api as sidecar_api

from .loop import ProcessDied
from .once import once

if TYPE_CHECKING:
    from .world import World

_REFERENCE_T_S = 20.0


class Hooks:
    """What was replaced, so that everything is as before afterwards."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any]] = []

    def put(self, target: Any, name: str, value: Any) -> None:
        """Replace an attribute of a module or class."""
        self._undo.append((target, name, getattr(target, name)))
        setattr(target, name, value)

    def connect(self, world: World) -> None:
        """Production code talks to this world from now on."""
        share = world.scale.takeover_s / _REFERENCE_T_S
        self.put(source, "open_connection", world.database.open)
        for module, name in (
            (sidecar_api, "_READ_TIMEOUT_S"),
            (sidecar_api, "_SAFETY_READ_S"),
            (sidecar_api, "_WATCH_SILENCE_S"),
            (takeover, "BACKOFF_FIRST_S"),
        ):
            self.put(module, name, getattr(module, name) * share)
        for name in ("worker_from_json", "lease_from_json"):
            self.put(fleet, name, once(getattr(fleet, name)))
        self.put(sidecar_api, "json", orjson)
        self.put(sidecar_api, "time", _Time(world))
        self.put(main, "os", _Os(world))
        publish = Publisher.publish

        async def watched(publisher: Publisher, writes: Any, workers: Any, status: Any) -> Any:
            writes = list(writes)
            world.judge.decided(writes)
            return await publish(publisher, writes, workers, status)

        self.put(Publisher, "publish", watched)

    def undo(self) -> None:
        for target, name, value in reversed(self._undo):
            setattr(target, name, value)


@contextlib.contextmanager
def installed() -> Iterator[Hooks]:
    """Everything is as before afterwards."""
    hooks = Hooks()
    try:
        yield hooks
    finally:
        hooks.undo()


class _Time:
    """Stands for the module `time`."""

    def __init__(self, world: World) -> None:
        self.monotonic = world.loop.time


class _Os:
    """Stands for the module `os` where a process ends itself."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _exit(self, status: int) -> None:
        self._world.exit()
        raise ProcessDied
