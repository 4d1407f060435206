"""The worker's statistics, as it posts them: checked before they travel in the Lease."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from fingerv7.contract import REPORT_LIMIT

_COUNTS = ("currentStreams", "processedCount", "errorCount")
_FIGURES = ("cpuPercent", "memoryPercent")
_TEXTS = ("lastActivity", "lastDbWrite", "version")
_ACCEPTED = (
    f"a JSON object of at most {REPORT_LIMIT} bytes with any of {', '.join(_COUNTS)} (whole numbers from 0), "
    f"{', '.join(_FIGURES)} (numbers from 0), {', '.join(_TEXTS)} (texts), vpn (an object with status and ip)"
)


class ReportError(ValueError):
    """Says what was wrong and what is accepted."""


def checked_report(body: bytes, *, version: str = "") -> str:
    """The report as it is stored: known keys only, compact, with the sidecar's VERSION where it names none.

    Raises ReportError.
    """
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise ReportError(f"not JSON; send {_ACCEPTED}") from None
    if not isinstance(given, dict):
        raise ReportError(f"not an object; send {_ACCEPTED}")
    kept = {
        key: _checked(key, given[key]) for key in (*_COUNTS, *_FIGURES, *_TEXTS, "vpn") if given.get(key) is not None
    }
    if version and "version" not in kept:
        kept["version"] = version
    text = json.dumps(kept, separators=(",", ":"), ensure_ascii=True)
    if len(text) > REPORT_LIMIT:
        raise ReportError(f"{len(text)} bytes are too many; send {_ACCEPTED}")
    return text


def with_vpn(report: str, vpn: Mapping[str, str]) -> str:
    """The report with what the VPN's control server says, unless the worker itself says it or there is no room."""
    if not vpn:
        return report
    kept = json.loads(report or "{}")
    if "vpn" in kept:
        return report
    text = json.dumps({**kept, "vpn": vpn}, separators=(",", ":"), ensure_ascii=True)
    return text if len(text) <= REPORT_LIMIT else report


def _checked(key: str, value: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if key in _COUNTS:
        good = number and value >= 0 and value == int(value) and value < 2**63
        value = int(value) if good else value
    elif key in _FIGURES:
        good = number and value >= 0
    elif key == "vpn":
        good = isinstance(value, dict) and all(isinstance(value.get(part, ""), str) for part in ("status", "ip"))
        value = {part: value[part] for part in ("status", "ip") if part in value} if good else value
    else:
        good = isinstance(value, str)
    if not good:
        raise ReportError(f"{key} is not valid; send {_ACCEPTED}")
    return value
