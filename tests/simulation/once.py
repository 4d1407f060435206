"""Many look at the same objects, which nobody changes in place: what is made of one is made once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .store import Json

_T = TypeVar("_T")
_MOST = 200


def once(make: Callable[[Json], _T]) -> Callable[[Json], _T]:
    """The same function, which remembers its last answers."""
    known: dict[int, tuple[Json, _T]] = {}

    def made(raw: Json) -> _T:
        found = known.get(id(raw))
        if found is None or found[0] is not raw:
            if len(known) > _MOST:
                known.clear()
            found = known[id(raw)] = raw, make(raw)
        return found[1]

    return made
