"""The process: settings, lock, the loop that steps, reports, and an orderly end on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys

from reference_worker import lock
from reference_worker.config import ConfigFolder
from reference_worker.endpoint import Endpoint
from reference_worker.fence import Fence
from reference_worker.processing import Processor, RunOverError
from reference_worker.session import Session
from reference_worker.settings import Settings, SettingsError, from_environment
from reference_worker.statistics import Statistics, report_forever, sidecar_url

_log = logging.getLogger(__name__)

_STEP_EVERY_S = 0.025
_RETRY_S = (0.1, 0.2, 0.5, 1.0)


def main() -> int:
    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        print(f"reference worker: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    lock.hold(settings.config_dir / "worker.lock")
    asyncio.run(run(settings))
    return 0


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    folder = ConfigFolder(settings.config_dir)
    session = Session(settings.journal_dsn, settings.worker_name)

    def confirm(config_hash: str) -> None:
        if settings.confirm == "file":
            folder.confirm(config_hash)

    processor = Processor(
        folder,
        Fence(settings.config_dir / "fence"),
        session,
        confirm,
        start_delay_s=settings.start_delay_s,
        stop_delay_s=settings.stop_delay_s,
    )
    reports = asyncio.create_task(
        report_forever(Statistics(processor), sidecar_url(settings.sidecar_url, settings.config_dir))
    )
    _log.info("worker %s starts", settings.worker_name)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(reports.cancel)
        if settings.http_listen is not None:
            endpoint = Endpoint(
                adopted=lambda: processor.adopted if settings.confirm == "http" else None,
                healthy=lambda: processor.healthy,
            )
            server = await endpoint.serve(*settings.http_listen)
            stack.callback(server.close)
        await _step_until(stopping, processor)
    try:
        await processor.stop_all()
    except RunOverError as error:
        _log.warning("ends without stop rows: %s", error)
    _log.info("worker %s ends", settings.worker_name)


async def _step_until(stopping: asyncio.Event, processor: Processor) -> None:
    failures = 0
    while not stopping.is_set():
        pause_s = _STEP_EVERY_S
        try:
            await processor.step()
        except RunOverError as error:
            if failures == 0:
                _log.warning("nothing is processed until the journal answers: %s", error)
            pause_s = _RETRY_S[min(failures, len(_RETRY_S) - 1)]
            failures += 1
        else:
            failures = 0
        # Not woken by `stopping`, which can wait for so long.
        await asyncio.sleep(pause_s)
