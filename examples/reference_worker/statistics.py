"""What the worker tells its sidecar about itself, about once a second."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reference_worker.processing import Processor

_log = logging.getLogger(__name__)

REPORT_EVERY_S = 1.0
_TIMEOUT_S = 1.0


class Statistics:
    """Counts what is processed; one instance lives as long as the process."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self._processed_count = 0
        self._last_activity: datetime | None = None
        self._cpu_s, self._wall_s = _cpu_seconds(), time.monotonic()

    def tick(self) -> None:
        """One unit of work for each stream that is processed now."""
        if running := len(self._processor.running):
            self._processed_count += running
            self._last_activity = datetime.now(UTC)

    def report(self) -> dict[str, Any]:
        """The body of POST /report. CPU is counted since the report before."""
        cpu_s, wall_s = _cpu_seconds(), time.monotonic()
        percent = 100 * (cpu_s - self._cpu_s) / max(wall_s - self._wall_s, 1e-3)
        self._cpu_s, self._wall_s = cpu_s, wall_s
        return {
            "currentStreams": len(self._processor.running),
            "processedCount": self._processed_count,
            "errorCount": self._processor.error_count,
            "cpuPercent": round(percent, 1),
            "memoryPercent": _memory_percent(),
            "lastActivity": _timestamp(self._last_activity),
            "lastDbWrite": _timestamp(self._processor.last_db_write),
        }


async def report_forever(statistics: Statistics, url: Callable[[], str | None]) -> None:
    """Post a report each second; a sidecar that is away for a while is normal."""
    reachable = True
    while True:
        statistics.tick()
        base = url()
        try:
            if base is not None:
                async with asyncio.timeout(_TIMEOUT_S):
                    await _post(f"{base}/report", statistics.report())
                reachable = True
        except OSError as error:
            if reachable:
                _log.warning("the sidecar takes no report: %s", error or type(error).__name__)
            reachable = False
        await asyncio.sleep(REPORT_EVERY_S)


def sidecar_url(configured: str | None, folder: Path) -> Callable[[], str | None]:
    """Where the sidecar listens: as configured, or as it writes into the shared folder at each of its starts."""

    def url() -> str | None:
        if configured:
            return configured
        try:
            return f"http://127.0.0.1:{int((folder / 'sidecar.port').read_text(encoding='ascii'))}"
        except (OSError, ValueError):
            return None

    return url


async def _post(url: str, body: dict[str, Any]) -> None:
    """Raises OSError, also for an answer that is not 2xx."""
    parts = urlsplit(url)
    payload = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n".encode()
            + payload
        )
        await writer.drain()
        status = (await reader.readline()).split()
    finally:
        writer.close()
    if len(status) < 2 or not status[1].startswith(b"2"):
        raise OSError(f"answered {b' '.join(status).decode(errors='replace')!r}")


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _memory_percent() -> float:
    resident_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(100 * resident_pages / os.sysconf("SC_PHYS_PAGES"), 2)


def _timestamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
