"""Keeps Python's garbage collector from stopping everything for a quarter of a second.

A full collection looks at every object, and a fleet of 5,000 workers has more than a million of them, nearly all
alive for hours and free of cycles. So what has survived one full collection is set aside, where no later one looks at
it: each object is looked at once. Objects without cycles are freed all the same. What little was part of a cycle is
found once a day, when everything is looked at again.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from typing import Any, Final

LOOK_AT_ALL_S: Final = 86_400.0


def look_at_each_object_once() -> None:
    """From now on, in this process."""
    looked_at_all = time.monotonic()

    def collected(phase: str, info: Mapping[str, Any]) -> None:
        nonlocal looked_at_all
        if info["generation"] != 2:
            return
        if phase == "start" and time.monotonic() - looked_at_all >= LOOK_AT_ALL_S:
            looked_at_all = time.monotonic()
            gc.unfreeze()
        elif phase == "stop":
            gc.freeze()

    gc.callbacks.append(collected)
