"""One structured line for every change of state, on standard error.

The standard logging package would do, but asyncio's use of it is the only one here, and a line is three statements.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from fingerv7_sidecar.clock import rfc3339_micro

LEVELS = ("debug", "info", "warning", "error")


class Log:
    """Writes lines at or above `level`, as JSON or as key=value text."""

    def __init__(self, *, level: str = "info", text: bool = False, fixed: Mapping[str, object] | None = None) -> None:
        self._threshold = LEVELS.index(level)
        self._text = text
        self._fixed = dict(fixed or {})

    def write(self, wall: float, level: str, event: str, fields: Mapping[str, object]) -> None:
        if LEVELS.index(level) < self._threshold:
            return
        line = {"time": rfc3339_micro(wall), "level": level, "event": event, **self._fixed, **fields}
        if self._text:
            text = " ".join(f"{key}={_quoted(value)}" for key, value in line.items())
        else:
            text = json.dumps(line, ensure_ascii=False, default=str)
        try:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # nobody reads any more; the worker matters more than its log


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or " " in text or '"' in text or "\n" in text else text
