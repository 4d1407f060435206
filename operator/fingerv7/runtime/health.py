"""/healthz and /metrics of every replica, leader or not.

/healthz is a liveness probe: 503 when a task is stuck (see `vitals`).
"""

from __future__ import annotations

import contextlib
import logging

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from fingerv7.adapters.kube.election import Election
from fingerv7.runtime.fleets import Fleets
from fingerv7.runtime.metrics import Metrics
from fingerv7.runtime.vitals import Vitals

log = logging.getLogger(__name__)


async def serve_health(
    listen: tuple[str | None, int] | None,
    fleets: Fleets,
    election: Election,
    metrics: Metrics,
    vitals: Vitals,
    stack: contextlib.AsyncExitStack,
) -> None:
    """Serve until `stack` is closed; nothing when `listen` is None."""
    if listen is None:
        return

    async def healthz(_: web.Request) -> web.Response:
        # Answering proves that the event loop turns; an API server that is down is no reason to be restarted.
        stuck = vitals.stuck()
        said = {
            "leader": election.may_write,
            "synced": all(fleet.synced for fleet in fleets),
            "stuck": {name: f"idle for {seconds:.0f} s" for name, seconds in stuck.items()},
        }
        if stuck:
            log.critical("not alive: %s", said["stuck"])
        return web.json_response(said, status=503 if stuck else 200)

    async def scrape(_: web.Request) -> web.Response:
        metrics.leader.set(election.may_write)
        metrics.known_workers.set(sum(len(fleet.workers.store) for fleet in fleets))
        metrics.watch_gaps.set(sum(fleet.leases.gap for fleet in fleets))
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", scrape)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, *listen).start()
