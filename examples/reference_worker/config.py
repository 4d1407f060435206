"""What the sidecar wants the worker to run, and the worker's confirmation that it does.

The config is replaced by rename, so a reader sees an old or a new one and never half of one. A look at inode, size
and time of change tells whether there is a new one, which costs microseconds and needs no inotify.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stream:
    id: str
    url: str = field(repr=False)  # may carry credentials
    name: str
    token: str


@dataclass(frozen=True, slots=True)
class Config:
    """One version of assignment.json."""

    hash: str
    epoch: int
    streams: Mapping[str, Stream] = field(repr=False)


class ConfigFolder:
    """The folder that worker and sidecar share."""

    def __init__(self, folder: Path) -> None:
        self._assignment = folder / "assignment.json"
        self._applied = folder / "applied"
        self._seen: tuple[int, int, int] | None = None
        self.current: Config | None = None
        """The last readable config; None while there is no file."""

    def look(self) -> bool:
        """Read the config if there is a new one; whether there was."""
        try:
            stat = self._assignment.stat()
            signature = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if signature == self._seen:
                return False
            text = self._assignment.read_bytes()
        except FileNotFoundError:
            gone = self._seen is not None
            self._seen, self.current = None, None
            return gone
        self._seen = signature
        try:
            self.current = parse(text)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # Keeps what runs: it was right until now, and without a confirmation the sidecar will act.
            _log.error(
                "assignment.json is not a config (%s: %s); keeping the one before", type(error).__name__, error
            )
            return False
        return True

    def confirm(self, config_hash: str) -> None:
        """State that exactly the config with this hash runs."""
        temporary = self._applied.with_suffix(".tmp")
        temporary.write_text(config_hash, encoding="ascii")
        temporary.replace(self._applied)


def parse(text: bytes) -> Config:
    """Raises ValueError, KeyError, TypeError or AttributeError for what is not a config of version 1."""
    document = json.loads(text)
    if document["version"] != 1:
        raise ValueError(f"version {document['version']!r} is not supported, only 1")
    streams = [Stream(s["id"], s["url"], s.get("name", ""), s["token"]) for s in document["streams"]]
    by_id = {stream.id: stream for stream in streams}
    if len(by_id) != len(streams):
        raise ValueError("an id occurs twice")
    return Config(str(document["hash"]), int(document["epoch"]), by_id)
