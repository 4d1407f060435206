"""The operator's process: every replica watches, one is in office.

Informers and kopf run in every replica from its start, so that a standby knows everything when it takes over and
lists nothing; all writing begins with the term. The informers start before `kopf.operator()`, which on its exit
cancels whatever started after it; so it ends last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import kopf

from fingerv7.adapters.kube.client import KubeClient
from fingerv7.adapters.kube.credentials import Credentials, load_credentials
from fingerv7.adapters.kube.election import Election
from fingerv7.adapters.kube.errors import CredentialsError
from fingerv7.adapters.kube.events import EventRecorder
from fingerv7.runtime import handlers, logs, memory
from fingerv7.runtime.clocks import Clocks
from fingerv7.runtime.feed import PoolFeed
from fingerv7.runtime.fleets import Fleets
from fingerv7.runtime.health import serve_health
from fingerv7.runtime.metrics import Metrics
from fingerv7.runtime.office import Office
from fingerv7.runtime.pools import Pools
from fingerv7.runtime.settings import Settings, SettingsError
from fingerv7.runtime.term import Term
from fingerv7.runtime.vitals import ELECTION_STUCK_S, WATCH_STUCK_S, Vitals

log = logging.getLogger(__name__)

EXIT_SUPERSEDED = 3

_KOPF_IDENTITY: Any = "fingerv7-operator"
"""For peering, which is off. Without one kopf asks for the user's name, and a numeric user without $USER has none."""


def main() -> None:
    """Console script `fingerv7-operator`."""
    try:
        settings = Settings.read(os.environ)
        logs.configure(settings.log_level, settings.log_format)
        credentials = load_credentials(kubeconfig=settings.kubeconfig, context=settings.context)
    except (SettingsError, CredentialsError) as error:
        sys.exit(f"fingerv7-operator: {error}")
    memory.look_at_each_object_once()
    sys.exit(asyncio.run(serve(settings, credentials)))


async def serve(settings: Settings, credentials: Credentials) -> int:
    """Until a signal or the loss of office; the exit status."""
    stop = asyncio.Event()
    _on_signals(stop)
    clocks, metrics, vitals, feed = Clocks(), Metrics(), Vitals(), PoolFeed()
    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(KubeClient(credentials, request_timeout_s=5.0, concurrency=48))
        # Renewals never queue behind the fleet's writes.
        election_api = await stack.enter_async_context(KubeClient(credentials, concurrency=2))
        fleets = Fleets(api, namespaces=settings.watch_namespaces, clock=clocks.monotonic)
        election = Election(
            election_api,
            namespace=settings.namespace,
            name=settings.election_name,
            lease_s=settings.lease_s,
            renew_deadline_s=settings.renew_deadline_s,
            retry_s=settings.retry_s,
        )
        watching = {asyncio.create_task(informer.run()) for informer in fleets.informers}
        stopping = asyncio.create_task(stop.wait())
        for informer in fleets.informers:
            vitals.watch(f"watch of {informer.name}", informer.idle_s, at_most_s=WATCH_STUCK_S)
        try:
            await serve_health(settings.listen, fleets, election, metrics, vitals, stack)
            async with _kopf(settings, credentials, feed, stop) as serving:
                outside = {stopping, serving, *watching}
                acquiring = asyncio.create_task(_take_office(election, fleets, vitals))
                await asyncio.wait({acquiring, *outside}, return_when=asyncio.FIRST_COMPLETED)
                if acquiring.done():
                    term = Term(acquiring.result(), may_write=lambda: election.may_write)
                    office = Office(
                        api, fleets, term, EventRecorder(api), clocks, metrics, vitals, settings.sidecar_image,
                        settings.sidecar_pull_policy,
                    )  # fmt: skip
                    ended = await _in_office(office, election, feed, outside)
                else:
                    acquiring.cancel()
                    await asyncio.gather(acquiring, return_exceptions=True)
                    ended = {task for task in outside if task.done()}
                status = _status_of(ended, asked_to=stop.is_set())
            await election.release()  # also where it has just been won
            return status
        finally:
            for task in (*watching, stopping):
                task.cancel()
            await asyncio.gather(*watching, stopping, return_exceptions=True)


@contextlib.asynccontextmanager
async def _kopf(
    settings: Settings, credentials: Credentials, feed: PoolFeed, stop: asyncio.Event
) -> AsyncIterator[asyncio.Task[None]]:
    """Kopf as a task, which watches StreamPools for `feed`."""
    ready, stop_kopf = asyncio.Event(), asyncio.Event()
    signals = asyncio.create_task(_reclaim_signals(ready, stop))
    serving = asyncio.create_task(
        kopf.operator(
            registry=handlers.registry(feed, credentials),
            settings=handlers.settings(),
            standalone=True,
            identity=_KOPF_IDENTITY,
            clusterwide=not settings.watch_namespaces,
            namespaces=settings.watch_namespaces,
            ready_flag=ready,
            stop_flag=stop_kopf,
        )
    )
    try:
        yield serving
    finally:
        # By the flag alone it would wait for tasks of ours; the flag tells it that this end is intended.
        stop_kopf.set()
        for task in (signals, serving):
            task.cancel()
        await asyncio.wait({signals, serving}, timeout=5.0)


def _on_signals(stop: asyncio.Event) -> None:
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stop.set)


async def _reclaim_signals(ready: asyncio.Event, stop: asyncio.Event) -> None:
    """Kopf takes the signals for itself as it starts, and would end first, with our writes still under way."""
    await ready.wait()
    _on_signals(stop)


async def _take_office(election: Election, fleets: Fleets, vitals: Vitals) -> int:
    """Wait to be elected; the term's leader epoch."""
    await fleets.synced()
    log.info("standing for election", extra={"identity": election.identity})
    vitals.watch("election", election.idle_s, at_most_s=ELECTION_STUCK_S)
    return await election.acquire()


async def _in_office(
    office: Office, election: Election, feed: PoolFeed, outside: set[asyncio.Task[Any]]
) -> set[asyncio.Task[Any]]:
    """One term, until one of the tasks `outside` ends, or one of its own that never should; those that ended."""
    fleets, term = office.fleets, office.term
    holding = asyncio.create_task(election.hold())
    known = asyncio.Event()
    catching_up = asyncio.create_task(fleets.catch_up(known))
    knowing = asyncio.create_task(known.wait())
    try:
        await asyncio.wait({*outside, catching_up, knowing}, return_when=asyncio.FIRST_COMPLETED)
        if not known.is_set():
            return {task for task in (*outside, catching_up) if task.done()}
        term.begin(fleets.highest_leader_epoch())
        log.info("in office", extra={"identity": election.identity, "leader_epoch": term.leader_epoch})
        pools = Pools(office)
        looking_after = asyncio.create_task(_look_after(pools, feed, office))
        superseded = asyncio.create_task(pools.superseded.wait())
        try:
            ended, _ = await asyncio.wait({*outside, superseded, looking_after}, return_when=asyncio.FIRST_COMPLETED)
            if superseded.done():
                os._exit(EXIT_SUPERSEDED)  # before anything else is written
            return ended
        finally:
            feed.close()
            looking_after.cancel()
            superseded.cancel()
            await asyncio.gather(looking_after, superseded, return_exceptions=True)
            await pools.stop()
    finally:
        holding.cancel()
        catching_up.cancel()
        knowing.cancel()
        await office.recorder.close()


async def _look_after(pools: Pools, feed: PoolFeed, office: Office) -> None:
    await feed.open(pools, office.api)
    await pools.run_strays()


def _status_of(ended: set[asyncio.Task[Any]], *, asked_to: bool) -> int:
    """0 after a signal; 1 when a task ended that never should, which Kubernetes answers with a new process."""
    broken = [error for task in ended if not task.cancelled() and (error := task.exception())]
    for error in broken:
        log.critical("a task that never ends has failed", exc_info=error)
    return 0 if asked_to and not broken else 1


if __name__ == "__main__":
    main()
