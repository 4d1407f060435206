"""The operator's process: every replica watches, one is in office.

Our own tasks start before `kopf.operator()`, which on its exit cancels whatever started after it. The informers run
from the start, so that a standby knows everything when it takes over; kopf and all writing begin with the term.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import Any

import kopf

from fingerv7.adapters.kube.client import KubeClient
from fingerv7.adapters.kube.credentials import Credentials, load_credentials
from fingerv7.adapters.kube.election import Election
from fingerv7.adapters.kube.errors import CredentialsError, KubeError
from fingerv7.adapters.kube.events import EventRecorder
from fingerv7.runtime import handlers, logs
from fingerv7.runtime.clocks import Clocks
from fingerv7.runtime.fleet import Fleet
from fingerv7.runtime.health import serve_health
from fingerv7.runtime.metrics import Metrics
from fingerv7.runtime.office import Office
from fingerv7.runtime.pools import Pools
from fingerv7.runtime.settings import Settings, SettingsError
from fingerv7.runtime.term import Term

log = logging.getLogger(__name__)

EXIT_SUPERSEDED = 3


def main() -> None:
    """Console script `fingerv7-operator`."""
    try:
        settings = Settings.read(os.environ)
        logs.configure(settings.log_level, settings.log_format)
        credentials = load_credentials(kubeconfig=settings.kubeconfig, context=settings.context)
    except (SettingsError, CredentialsError) as error:
        sys.exit(f"fingerv7-operator: {error}")
    sys.exit(asyncio.run(serve(settings, credentials)))


async def serve(settings: Settings, credentials: Credentials) -> int:
    """Until a signal or the loss of office; the exit status."""
    stop = asyncio.Event()
    _on_signals(stop)
    clocks, metrics = Clocks(), Metrics()
    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(KubeClient(credentials, request_timeout_s=5.0))
        # Renewals never queue behind the fleet's writes.
        election_api = await stack.enter_async_context(KubeClient(credentials, concurrency=2))
        fleets = _fleet(api, settings, clocks)
        election = Election(
            election_api,
            namespace=settings.namespace,
            name=settings.election_name,
            lease_s=settings.lease_s,
            renew_deadline_s=settings.renew_deadline_s,
            retry_s=settings.retry_s,
        )
        watching = [asyncio.create_task(fleets.workers.run()), asyncio.create_task(fleets.leases.run())]
        stopping = asyncio.create_task(stop.wait())
        try:
            await serve_health(settings.listen, fleets, election, metrics, stack)
            acquiring = asyncio.create_task(_take_office(election, fleets))
            await asyncio.wait({stopping, acquiring, *watching}, return_when=asyncio.FIRST_COMPLETED)
            if not acquiring.done():
                acquiring.cancel()
                await asyncio.gather(acquiring, return_exceptions=True)
                await election.release()  # it may just have won
                return _status_of({stopping, *watching})
            term = Term(acquiring.result(), may_write=lambda: election.may_write)
            outside = {stopping, *watching}
            return await _in_office(
                settings, credentials, api, fleets, election, term, clocks, metrics, stop, outside
            )
        finally:
            for task in (*watching, stopping):
                task.cancel()
            await asyncio.gather(*watching, stopping, return_exceptions=True)


def _on_signals(stop: asyncio.Event) -> None:
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stop.set)


async def _reclaim_signals(ready: asyncio.Event, stop: asyncio.Event) -> None:
    """Kopf takes the signals for itself as it starts, and would end first, with our writes still under way."""
    await ready.wait()
    _on_signals(stop)


def _fleet(api: KubeClient, settings: Settings, clocks: Clocks) -> Fleet:
    """Several namespaces are watched as all of them: an informer each would multiply the standby's cost."""
    namespace = settings.watch_namespaces[0] if len(settings.watch_namespaces) == 1 else None
    return Fleet(api, namespace=namespace, clock=clocks.monotonic)


async def _take_office(election: Election, fleet: Fleet) -> int:
    """Wait to be elected; the term's leader epoch."""
    await fleet.synced()
    log.info("standing for election", extra={"identity": election.identity})
    return await election.acquire()


async def _in_office(
    settings: Settings,
    credentials: Credentials,
    api: KubeClient,
    fleet: Fleet,
    election: Election,
    term: Term,
    clocks: Clocks,
    metrics: Metrics,
    stop: asyncio.Event,
    outside: set[asyncio.Task[Any]],
) -> int:
    """One term: from the election to the release of the Lease. Ends when one of the tasks `outside` does."""
    holding = asyncio.create_task(election.hold())
    recorder = EventRecorder(api)
    try:
        await _catch_up(fleet)
        term.begin(fleet.highest_leader_epoch())
        log.info("in office", extra={"identity": election.identity, "leader_epoch": term.leader_epoch})
        pools = Pools(Office(api, fleet, term, recorder, clocks, metrics))
        strays = asyncio.create_task(pools.run_strays())
        superseded = asyncio.create_task(pools.superseded.wait())
        ready, stop_kopf = asyncio.Event(), asyncio.Event()
        signals = asyncio.create_task(_reclaim_signals(ready, stop))
        serving = asyncio.create_task(
            kopf.operator(
                registry=handlers.registry(pools, credentials),
                settings=handlers.settings(),
                standalone=True,
                clusterwide=not settings.watch_namespaces,
                namespaces=settings.watch_namespaces,
                ready_flag=ready,
                stop_flag=stop_kopf,
            )
        )
        try:
            tasks = {*outside, superseded, serving, strays}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if superseded.done():
                os._exit(EXIT_SUPERSEDED)  # before anything else is written
            await pools.stop()
            # By the flag alone it would wait for tasks of ours; the flag tells it that this end is intended.
            stop_kopf.set()
            serving.cancel()
            await asyncio.wait({serving}, timeout=5.0)
            return _status_of({*outside, strays})
        finally:
            for task in (strays, superseded, serving, signals):
                task.cancel()
            await pools.stop()
    finally:
        holding.cancel()
        await recorder.close()
        await election.release()


def _status_of(tasks: set[asyncio.Task[Any]]) -> int:
    """0 after a signal; 1 when a task ended that never should, which Kubernetes answers with a new process."""
    ended = [task for task in tasks if task.done() and not task.cancelled()]
    broken = [error for task in ended if (error := task.exception())]
    for error in broken:
        log.critical("a task that never ends has failed", exc_info=error)
    return 0 if ended and not broken else 1


async def _catch_up(fleet: Fleet) -> None:
    """Every FingerWorker as of now: the term's decisions begin with a consistent read."""
    while True:
        try:
            await fleet.workers.catch_up()
        except KubeError as error:
            log.warning("cannot list FingerWorkers: %s", error)
            await asyncio.sleep(1.0)
        else:
            return


if __name__ == "__main__":
    main()
