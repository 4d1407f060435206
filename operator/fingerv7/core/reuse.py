"""What was worked out is kept for as long as nothing that it was worked out from has changed.

A pool is looked at several times a second, and most of the time nothing of what a plan depends on is another than
the last time; at a hundred thousand streams that is the difference between a millisecond and a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

_T = TypeVar("_T")


@dataclass(slots=True)
class Reuse:
    """Results about one state of affairs; those about the one before are forgotten."""

    _catalog: object = None
    _fingerprint: object = None
    _made: dict[str, tuple[object, Any]] = field(default_factory=dict)

    def about(self, catalog: object, fingerprint: object) -> bool:
        """Whether it is the same state as before: the very same catalog, and an equal fingerprint."""
        if self._catalog is catalog and self._fingerprint == fingerprint:
            return True
        self._catalog, self._fingerprint = catalog, fingerprint
        self._made = {}
        return False

    def get(self, what: str, key: object, make: Callable[[], _T]) -> _T:
        """What `make` answers, or what it answered about this state when it was last asked with an equal key."""
        known = self._made.get(what)
        if known is None or known[0] != key:
            known = self._made[what] = (key, make())
        found: _T = known[1]
        return found
