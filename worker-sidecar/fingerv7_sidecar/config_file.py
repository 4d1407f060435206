"""The worker's config: what should be in the file, what is, and what the worker has confirmed of it.

Three things that agree only when all is quiet. A write takes time and may fail, a confirmation may belong to an
older config, and a config that stops the worker must get there even on a full disk.
"""

from __future__ import annotations

from dataclasses import replace

from fingerv7_sidecar.assignment import Config, belongs_to, emptied_config
from fingerv7_sidecar.clock import Clock
from fingerv7_sidecar.events import AwaitConfirmation, ConfigWritten, WriteConfig
from fingerv7_sidecar.identity import Found, Identity
from fingerv7_sidecar.outbox import Outbox

_WRITE_RETRY_S = 1.0
_REMEMBERED = 8


class ConfigFile:
    def __init__(self, identity: Identity, found: Found, out: Outbox, *, confirm_on_write: bool) -> None:
        self.wanted: Config | None = found.config
        self.on_disk: Config | None = found.config
        self.confirmed = found.applied
        """The hash that the worker confirmed last."""
        self.clean = (
            not found.used
            if found.config is None
            else (found.config.streams == 0 and found.config.hash == found.applied)
        )
        """Whether the worker provably runs nothing of ours."""
        self.error = ""
        """Why the last write failed."""
        self.latency_s: float | None = None
        """From the last write to its confirmation."""
        self.unconfirmed_since: float | None = None
        """Since when the worker has owed a confirmation."""
        self._identity = identity
        self._out = out
        self._confirm_on_write = confirm_on_write
        self._writing: tuple[int, Config] | None = None
        self._retry_at = 0.0
        self._written_at = 0.0
        self._issued: list[str] = []
        self._awaited = ""
        self._empties = 0

    # --- what should be in the file

    def want(self, config: Config) -> None:
        if self.wanted is None or self.wanted.hash != config.hash:
            self._retry_at = 0.0
        self.wanted = config

    def want_emptied(self, *, to_confirm: bool = False) -> None:
        """Stop the worker. Each emptied config has a hash, and so a confirmation, of its own.

        `to_confirm`: also where no config exists, because the worker has to say that it runs nothing.
        """
        if self.wanted is not None and self.wanted.emptied and (not self._writing or self._writing[1].emptied):
            return
        if self.wanted is None and self.on_disk is None and not self._writing and not to_confirm:
            return  # nothing to empty
        self._empties += 1
        identity = self._identity
        self.want(emptied_config(identity.pool, identity.name, identity.incarnation, self._empties))

    def claim(self, worker_uid: str) -> int | None:
        """If an earlier process left this FingerWorker's config, it is known as such from now on; its epoch then."""
        found = self.wanted
        if not found or found.worker_uid or found.emptied or not belongs_to(found, worker_uid):
            return None
        self.wanted = self.on_disk = replace(found, worker_uid=worker_uid)
        return found.epoch

    # --- what is in it

    @property
    def due(self) -> Config | None:
        """The config that is not on disk but should be."""
        if self.wanted is None or (self.on_disk and self.on_disk.hash == self.wanted.hash):
            return None
        return self.wanted

    @property
    def current(self) -> Config | None:
        """The config on disk, if it is the wanted one and no write is under way."""
        return None if self.due or self._writing or self.wanted is None else self.on_disk

    @property
    def must_stop(self) -> bool:
        return self.wanted is not None and self.wanted.emptied

    @property
    def emptied(self) -> bool:
        """Whether the config on disk stops the worker: emptied, or gone."""
        if self._writing or (self.wanted and not self.wanted.emptied):
            return False
        return self.on_disk is None or (not self.due and self.wanted is not None)

    @property
    def nothing_wanted(self) -> bool:
        return not (self.wanted and self.wanted.streams)

    @property
    def nothing_runs(self) -> bool:
        return self.clean and self.nothing_wanted

    @property
    def is_confirmed(self) -> bool:
        return self.on_disk is not None and self.confirmed == self.on_disk.hash

    def write(self, now: Clock) -> Config | None:
        """Begin the write that is due; the config that it is of."""
        config = self.due
        if config is None or self._writing or now.boot < self._retry_at:
            return None
        if config.streams:
            self.clean = False
        self._writing = (self._out.next_serial(), config)
        self._issued = [*self._issued[1 - _REMEMBERED :], config.hash]
        self._out.add(WriteConfig(self._writing[0], config, unlink_on_failure=config.emptied))
        return config

    def written(self, now: Clock, event: ConfigWritten) -> bool:
        """False when the worker cannot be told to stop."""
        if not self._writing or event.serial != self._writing[0]:
            return True
        config, self._writing = self._writing[1], None
        if event.outcome == "written":
            self.on_disk, self._written_at = config, now.boot
            if self.error:
                self._out.note("config-writable-again")
            self.error = ""
            self._out.note("config-written", epoch=config.epoch, hash=config.hash, streams=config.streams)
            if self._confirm_on_write:
                self.confirm(now, config.hash)
            return True
        if event.reason != self.error:
            unlinked = event.outcome == "unlinked"
            self._out.note("config-write-failed", "error", reason=event.reason, unlinked=unlinked)
        self.error = event.reason
        self._retry_at = now.boot + _WRITE_RETRY_S
        if event.outcome == "unlinked":
            self.on_disk = None
            return True
        return not config.emptied

    # --- what the worker confirmed

    def confirm(self, now: Clock, digest: str) -> None:
        if digest == self.confirmed:
            return
        self.confirmed = digest
        if digest in self._issued:
            self.unconfirmed_since = None  # it follows, even if a newer config came meanwhile
        if self.is_confirmed:
            self.latency_s = now.boot - self._written_at

    def watch_confirmation(self, now: Clock, *, owed: bool, prove: bool) -> None:
        """`owed`: the worker has to follow at all; `prove`: even where nothing can be running."""
        if self.current and self.is_confirmed and not self.current.streams:
            self.clean = True
        unconfirmed = self.wanted is not None and self.wanted.hash != self.confirmed and not self.nothing_runs
        if not owed or not (unconfirmed or prove):
            self.unconfirmed_since = None
        elif self.unconfirmed_since is None:
            self.unconfirmed_since = now.boot

    def await_confirmation(self) -> None:
        awaited = None if self.is_confirmed else self.on_disk
        if self._confirm_on_write or (awaited.hash if awaited else "") == self._awaited:
            return
        self._awaited = awaited.hash if awaited else ""
        self._out.add(AwaitConfirmation(awaited))

    def wake_at(self) -> float | None:
        """When a write has to be tried again."""
        return self._retry_at if self.due and not self._writing else None
