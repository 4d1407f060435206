"""From one config to the next: what stops, what starts, in which order, and when it may be confirmed.

Stops come before starts, stop rows before the confirmation, start rows before anything is processed. Starting needs
a fence that holds; stopping never does. Whenever the run in the journal is over, nothing is processed, whatever the
config says, until a new run was opened.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from reference_worker.config import ConfigFolder, Stream
from reference_worker.fence import Fence
from reference_worker.session import RunOverError, Session

_log = logging.getLogger(__name__)

_NOTHING: Mapping[str, Stream] = {}


@dataclass(frozen=True, slots=True)
class Change:
    stops: frozenset[str]
    starts: Mapping[str, str]
    """By id: the token."""


def compare(running: Mapping[str, str], wanted: Mapping[str, Stream], refused: Mapping[str, str]) -> Change:
    """What must happen so that exactly `wanted` runs (`running` and `refused` are id → token).

    The same stream with another token is another grant: it stops and starts. A token that the sink refused once
    will be refused for ever, so it is not tried again.
    """
    stops = frozenset(id_ for id_, token in running.items() if id_ not in wanted or wanted[id_].token != token)
    starts = {
        id_: stream.token
        for id_, stream in wanted.items()
        if (id_ in stops or id_ not in running) and refused.get(id_) != stream.token
    }
    return Change(stops, starts)


class Processor:
    """Brings what is processed to what the config says, a step at a time."""

    def __init__(
        self,
        folder: ConfigFolder,
        fence: Fence,
        session: Session,
        confirm: Callable[[str], None],
        *,
        start_delay_s: float = 0.0,
        stop_delay_s: float = 0.0,
    ) -> None:
        self._folder = folder
        self._fence = fence
        self._session = session
        self._confirm = confirm
        self._start_delay_s = start_delay_s
        self._stop_delay_s = stop_delay_s
        self._running: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._adopted: str | None = None
        self._reached: bool | None = None
        """Whether the fence held when everything was done that the present config asks for; None before that."""
        self.error_count = 0
        self.last_db_write: datetime | None = None

    @property
    def running(self) -> Mapping[str, str]:
        """What is processed at this moment: id → token."""
        return self._running if self._session.alive else {}

    @property
    def adopted(self) -> str | None:
        """The hash of the config that runs; None while something else runs than the config says."""
        return self._adopted

    @property
    def healthy(self) -> bool:
        """Whether what is processed counts."""
        return self._session.alive

    async def step(self) -> None:
        """Look at config, fence and run once, and do what they ask for. Raises RunOverError."""
        if not self._session.alive:
            self._reached = None
            await self._resume()
        if self._folder.look():
            self._adopted = self._reached = None
        holds = self._fence.holds()
        if holds is self._reached:
            return  # Forty times a second nothing is new.
        self._reached = None
        if not holds and self._running:
            _log.warning("the fence does not hold any more: stopping all %d streams", len(self._running))
        config = self._folder.current
        wanted = config.streams if config is not None and holds else _NOTHING
        change = compare(self._running, wanted, self._refused)
        if change.stops:
            await self._stop(change.stops)
        if change.starts and not await self._start(change.starts):
            return
        if config is None or (config.streams and not holds):
            self._adopted = None  # It runs something else than the config says.
        elif self._adopted != config.hash:
            self._refused = {id_: token for id_, token in self._refused.items() if id_ in config.streams}
            self._confirm(config.hash)
            self._adopted = config.hash
            _log.info("runs epoch %d: %d streams", config.epoch, len(self._running))
        self._reached = holds

    async def stop_all(self) -> None:
        """Stop, with stop rows, and end the run."""
        if self._running:
            await self._stop(frozenset(self._running))
        await self._session.close()

    async def _resume(self) -> None:
        if self._running:
            _log.warning("the journal had no beat for too long: %d streams are not processed", len(self._running))
            self._running.clear()
        # Not confirmed again: the sidecar was told already that this config is what runs.
        await self._session.open()
        _log.info("opened a run in the journal")

    async def _stop(self, streams: frozenset[str]) -> None:
        # Played: the time in which decoders shut down. They are processed until it is over.
        await asyncio.sleep(self._stop_delay_s)
        for stream in streams:
            del self._running[stream]
        await self._session.stop(streams)
        self.last_db_write = datetime.now(UTC)

    async def _start(self, tokens: Mapping[str, str]) -> bool:
        """Whether the fence allowed it."""
        await asyncio.sleep(self._start_delay_s)
        if not self._fence.holds():
            return False
        refused = await self._session.start(tokens)
        self.last_db_write = datetime.now(UTC)
        for stream in sorted(refused):
            _log.error("the sink refused token %s of stream %s: a newer one was seen", tokens[stream], stream)
            self._refused[stream] = tokens[stream]
        self.error_count += len(refused)
        self._running.update({stream: token for stream, token in tokens.items() if stream not in refused})
        return True


__all__ = ["Change", "Processor", "RunOverError", "compare"]
