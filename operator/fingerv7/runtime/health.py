"""/healthz and /metrics of every replica, leader or not."""

from __future__ import annotations

import contextlib

from aiohttp import web

from fingerv7.adapters.kube.election import Election
from fingerv7.runtime.fleet import Fleet


async def serve_health(
    listen: tuple[str, int] | None, fleet: Fleet, election: Election, stack: contextlib.AsyncExitStack
) -> None:
    """Serve until `stack` is closed; nothing when `listen` is None."""
    if listen is None:
        return

    async def healthz(_: web.Request) -> web.Response:
        # Answering proves that the event loop turns; an API server that is down is no reason to be restarted.
        return web.json_response({"leader": election.may_write, "synced": fleet.workers.synced.is_set()})

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=_metrics(fleet, election), content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, *listen).start()


def _metrics(fleet: Fleet, election: Election) -> str:
    workers = fleet.workers.store.values()
    figures = {
        "fingerv7_operator_leader": int(election.may_write),
        "fingerv7_operator_workers": len(workers),
        "fingerv7_operator_streams_assigned": sum(len(worker.assignment.grants) for worker in workers),
        "fingerv7_operator_streams_revoking": sum(len(worker.assignment.revoking) for worker in workers),
        "fingerv7_operator_watch_gaps_total": fleet.leases.gap,
    }
    kinds = {name: "counter" if name.endswith("_total") else "gauge" for name in figures}
    return "".join(f"# TYPE {name} {kinds[name]}\n{name} {value}\n" for name, value in figures.items())
