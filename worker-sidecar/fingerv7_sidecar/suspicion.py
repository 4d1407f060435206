"""A worker that does not follow is as dangerous as a dead sidecar: it must be stopped, and its streams given away.

Nothing proves that it stopped, so it is never released. Its sidecar falls silent instead, for T the first time and
longer each time that it does not help, up to ten minutes.
"""

from __future__ import annotations

from fingerv7_sidecar.config_file import ConfigFile
from fingerv7_sidecar.vitals import Vitals

_LONGEST_SILENCE_S = 600.0


def complaint(now: float, vitals: Vitals, config: ConfigFile, *, grace_s: float, apply_timeout_s: float) -> str:
    """Why the worker counts as unresponsive; empty when it does not. One that is provably gone is no suspect."""
    silent, since = vitals.silent_at(grace_s), config.unconfirmed_since
    if silent and silent[0] <= now and vitals.gone_at(0) is None:
        return f"the worker is unresponsive: {silent[1]}"
    if since is not None and now - since >= apply_timeout_s:
        empty = config.wanted is None or config.wanted.emptied
        what = "the emptied config" if empty or not config.wanted else f"epoch {config.wanted.epoch}"
        return f"the worker did not confirm {what} within {apply_timeout_s:g} s"
    return ""


class Suspicion:
    def __init__(self) -> None:
        self.reason = ""
        self.must_prove = False
        """After a silence the worker has to confirm the emptied config before it is given anything."""
        self._since = 0.0
        self._silence_s: float | None = None

    def begin(self, now: float, reason: str, takeover_s: float) -> None:
        self.reason, self._since = reason, now
        self._silence_s = self._silence_s or takeover_s

    def is_over(self, now: float, *, follows: bool) -> bool:
        """A worker that follows again starts over.

        So does one that was silent for T: its streams are gone by then, and in a pod only a fresh fence file lets
        a restarted worker boot.
        """
        silence_s = self._silence_s or 0.0
        if not follows and now - self._since < silence_s:
            return False
        if not follows:
            self._silence_s = min(_LONGEST_SILENCE_S, 2 * silence_s)
        self.must_prove = not follows
        return True

    def is_disproved(self, config: ConfigFile) -> bool:
        """Whether the worker may be given something."""
        if config.is_confirmed:
            self.must_prove = False
        return not self.must_prove

    def forget(self) -> None:
        """It has confirmed an epoch."""
        self._silence_s = None
