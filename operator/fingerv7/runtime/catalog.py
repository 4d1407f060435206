"""What of the source is in force in one pool: the newest reading, judged by the brake."""

from __future__ import annotations

from collections.abc import Mapping

from fingerv7.adapters.postgres.source import SourceState
from fingerv7.api.streampool import StreamPool
from fingerv7.contract import CONFIRM_SOURCE
from fingerv7.core import brake
from fingerv7.core.catalog import Snapshot
from fingerv7.core.model import Stream


class PoolCatalog:
    """Fed by the source; judged again whenever something that the brake looks at has changed."""

    def __init__(self, pool: StreamPool) -> None:
        self.state: SourceState | None = None
        self.snapshot: Snapshot | None = None
        self.verdict: brake.Verdict | None = None
        # A confirmation that was used up must not confirm the next accident, also after a restart.
        self._brake = brake.BrakeState(spent=pool.status.confirmed_source_change or "")

    @property
    def in_force(self) -> Mapping[str, Stream] | None:
        """None while nothing was ever read."""
        return self.verdict.catalog if self.verdict else None

    @property
    def spent_confirmation(self) -> str:
        return self._brake.spent

    def judge(self, pool: StreamPool, held: Mapping[str, Stream], *, counts: bool) -> None:
        """`held`: what the workers hold now. `counts`: whether this is a poll that can confirm a change."""
        if self.snapshot is None or pool.spec.paused:
            return
        source = pool.spec.source.postgres
        self.verdict = brake.judge(
            self.snapshot,
            held=held,
            held_identity=pool.status.source_identity or "",
            max_shrink_percent=source.max_shrink_percent,
            confirmations=source.shrink_confirmations,
            confirmed=pool.metadata.annotations.get(CONFIRM_SOURCE, ""),
            state=self._brake,
            previous=self.verdict.catalog if self.verdict else {},
            counts=counts,
        )
        self._brake = self.verdict.state
