"""Which streams may rightly be suspected of killing workers: the judge's own account, not the operator's.

The product keeps a stream from everybody when three workers died shortly after they had got it (design section 5). Here
is counted who really died or fell silent: by what ran, and by which renewals the API server stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .store import Json

ENOUGH = 3
"""So many workers have to die of a stream."""
SHORTLY_T = 5.0
"""Grants are remembered for 4 T on the operator's clock, which may be slow, and it may see them and the death late."""


class Deaths:
    """Times are true seconds; `takeover_s` is T on the fastest clock."""

    def __init__(self, takeover_s: float) -> None:
        self._takeover_s = takeover_s
        self._grants: dict[tuple[str, str], dict[str, list[float]]] = {}
        """Stream and URL → worker → when it was granted."""
        self._died: dict[str, list[float]] = {}
        self._renewed: dict[str, tuple[float, str]] = {}
        """Worker → when its Lease was last renewed, and to what."""

    def granted(self, worker: str, streams: Mapping[str, str], now: float) -> None:
        """`streams`: URL by id."""
        for stream in streams.items():
            self._grants.setdefault(stream, {}).setdefault(worker, []).append(now)

    def died(self, worker: str, now: float) -> None:
        self._died.setdefault(worker, []).append(now)

    def renewed(self, worker: str, lease: Json, now: float) -> None:
        stamp = (lease.get("spec") or {}).get("renewTime") or ""
        at, before = self._renewed.get(worker, (now, stamp))
        if stamp != before and now - at >= self._takeover_s:
            self.died(worker, at + self._takeover_s)
        if stamp != before or worker not in self._renewed:
            self._renewed[worker] = now, stamp

    def suspects(self, urls: Mapping[str, str], now: float) -> set[str]:
        """Those of these streams (URL by id) that enough workers died of."""
        silent = {
            name: at + self._takeover_s for name, (at, _) in self._renewed.items() if now - at >= self._takeover_s
        }
        return {
            stream[0]
            for stream in urls.items()
            if sum(self._died_of(name, at, silent) for name, at in self._grants.get(stream, {}).items()) >= ENOUGH
        }

    def _died_of(self, worker: str, granted: list[float], silent: Mapping[str, float]) -> bool:
        deaths = [*self._died.get(worker, ()), *([silent[worker]] if worker in silent else ())]
        return any(0.0 <= death - at <= SHORTLY_T * self._takeover_s for death in deaths for at in granted)
