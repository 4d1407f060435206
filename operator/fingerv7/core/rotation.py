"""Whose turn it is to change the worker: every stream once in a period, spread evenly over it.

A stream's turn comes at the same point of every period, given by a hash of its id: nothing is stored for a stream,
and who comes later shifts nobody. What a pool keeps is one time, up to which all turns were had; it is policy, so it
may come from the operator's own timestamps, and a clock that jumps costs some turns or repeats some, always within
the budget of moves that the planner keeps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

PORTIONS = 48
"""Turns are taken together, in so many portions a period at most: each is one round of moves and one status write."""
PATIENCE = 4
"""Who could not be moved stays due for this part of the period; then its turn is lost until the next one."""
_JITTER_S = 5.0
"""A time that lies further ahead than timestamps are coarse is one of a clock that was put back."""


def latest_turn_s(stream_id: str, *, every_s: float, until_s: float) -> float:
    """When the stream's last turn before `until_s` came, in seconds since the epoch."""
    digest = blake2b(stream_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    offset_s = int.from_bytes(digest) / 2**64 * every_s
    return offset_s + (until_s - offset_s) // every_s * every_s


@dataclass(slots=True)
class Rota:
    """The turns of one pool. `now` is monotonic, `wall_s` are seconds since the epoch."""

    through_s: float | None = None
    """Turns before this time were had, or are lost. The one thing that a restart must not forget."""
    _portion: dict[str, float] = field(default_factory=dict)
    """Stream → its turn, of the portion that waits to be moved; most urgent first."""
    _is_open: bool = False
    _taken: float | None = None
    """When the last portion was taken."""
    _until_s: float = 0.0
    """Up to when it reaches."""
    _had: dict[str, float] = field(default_factory=dict)
    """Stream → the turn that it had, where that is later than `through_s`."""

    def due(
        self, streams: Iterable[str], *, every_s: float, cooldown_s: float, wall_s: float, now: float
    ) -> tuple[str, ...]:
        """The streams to be moved now, most urgent first: the same ones until `moved` is told, or for too long."""
        if self.through_s is None or self.through_s > wall_s + _JITTER_S:
            self.through_s = wall_s
            self._had.clear()
            self._is_open = False
            self._taken = now
        age_s = float("inf") if self._taken is None else now - self._taken
        if age_s < (every_s / PATIENCE if self._is_open else max(cooldown_s, every_s / PORTIONS)):
            return tuple(self._portion) if self._is_open else ()
        since_s = max(self.through_s, wall_s - every_s / PATIENCE)
        turns = ((latest_turn_s(i, every_s=every_s, until_s=wall_s), i) for i in streams)
        due = sorted((turn, i) for turn, i in turns if turn >= since_s and self._had.get(i) != turn)
        self._portion = {i: turn for turn, i in due}
        self._taken, self._until_s, self._is_open = now, wall_s, True
        return tuple(self._portion)

    def moved(self, streams: Collection[str], *, every_s: float) -> None:
        """The portion was planned and these streams change their worker, for whatever reason."""
        if not self._is_open:
            return
        left = [turn for i, turn in self._portion.items() if i not in streams]
        self.through_s = max(min(left, default=self._until_s), self._until_s - every_s / PATIENCE)
        self._had |= {i: turn for i, turn in self._portion.items() if i in streams}
        self._had = {i: turn for i, turn in self._had.items() if turn >= self.through_s}
        self._portion, self._is_open = {}, False
