"""What people may overrule: a brake, a back-off, a suspicion. Each is a guess, and somebody may know better.

Asked for by annotation of the StreamPool, each value once: what is left standing must not release the next accident.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from fingerv7 import contract

EXAMPLES = 3


class Override(StrEnum):
    """The annotations."""

    RELEASE_TAKEOVERS = contract.RELEASE_TAKEOVERS
    """The silent workers are really dead: take over from all of them now."""
    END_BACK_OFF = contract.END_BACK_OFF
    """Workers that died are mended: give them streams again."""
    RELEASE_STREAMS = contract.RELEASE_STREAMS
    """Suspected streams are harmless: let workers have them again."""


def counted(names: Iterable[str], word: str) -> str:
    """`3 workers (a, b, c)`, with a few of the names."""
    every = sorted(names)
    shown = ", ".join(every[:EXAMPLES]) + (", …" if len(every) > EXAMPLES else "")
    return f"{len(every)} {word}{'' if len(every) == 1 else 's'} ({shown})"
