"""What goes wrong, one generator a kind: it breaks something, yields for how long, and mends it.

A generator that is driven to its end without waiting mends at once, so a seed ends with everything whole whatever was
under way; only what may not be cut short takes its time. One that finds nothing to break returns before its first
yield, and another kind is drawn in its place. Times are parts of T, so that each kind lasts sometimes shorter and
sometimes longer than the deadlines.
"""

from __future__ import annotations

from . import coincidences, database, network, objects, processes
from .kinds import Kinds, Script

KINDS = Kinds(processes.KINDS | network.KINDS | coincidences.KINDS | database.KINDS | objects.KINDS)
"""In an order that decides what a seed draws."""

NEVER_CUT_SHORT = frozenset({"backup restored"})
"""What lasts as long as it says, also where the faults end before: the API that a backup is restored to has to stay away
until every worker has fenced."""

__all__ = ["KINDS", "NEVER_CUT_SHORT", "Script"]
