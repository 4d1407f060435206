"""What the judge can find, by kind: a proof that a rule is tested accepts its own kinds and no other."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.StrEnum):
    OVERLAP = "overlap"
    """Two workers run one stream."""
    TOKEN = "token"
    """A sink sees a token go back, or cannot tell by it who is the rightful worker."""
    BRAKE = "brake"
    """Streams are taken from workers for a moment's lack of their rows."""
    EPOCH = "epoch"
    """An epoch or a leader epoch that does not grow as it has to."""
    CAPACITY = "capacity"
    """A worker is given more than it has room for."""
    UNREVOKED = "unrevoked"
    """A stream leaves a FingerWorker without having been revoked."""
    GAP = "gap"
    """A stream is on nobody for longer than promised."""
    UNPLACED = "unplaced"
    """Nothing is wrong any more, and not everything is where it should be."""
    FAILURE = "failure"
    """A process raises what none should, or a task ends that never should. It may come of anything."""


@dataclass(frozen=True, slots=True)
class Defect:
    """Something that must never happen."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"
