"""Delays between attempts: exponential, capped, and jittered, so that replicas do not come back in step."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """`next()` answers half to all of a delay that doubles from `first_s` to `cap_s`."""

    first_s: float = 0.2
    cap_s: float = 5.0
    rng: Callable[[], float] = random.random
    _failures: int = field(default=0, init=False)

    def next(self) -> float:
        delay = min(self.cap_s, self.first_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return delay * (0.5 + self.rng() / 2)

    def reset(self) -> None:
        self._failures = 0
