"""What the operator watches: all namespaces at once, or each that it serves by itself.

By itself, so that rights in these namespaces are all that it needs. One of them that cannot be read, because its Role
was taken away or it was deleted, keeps only its own pools waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator
from typing import Any

from fingerv7.adapters.kube.api import KubeApi
from fingerv7.adapters.kube.errors import KubeError
from fingerv7.adapters.kube.informer import Informer
from fingerv7.runtime.fleet import Fleet

log = logging.getLogger(__name__)

RETRY_S = 1.0


class Fleets:
    """A `Fleet` for each of `namespaces`; where none is named, one of them all."""

    def __init__(self, api: KubeApi, *, namespaces: Collection[str] = (), clock: Callable[[], float]) -> None:
        self._fleets = {name: Fleet(api, namespace=name, clock=clock) for name in namespaces or (None,)}

    def __iter__(self) -> Iterator[Fleet]:
        return iter(self._fleets.values())

    @property
    def informers(self) -> list[Informer[Any]]:
        """Of all of them; somebody has to run each."""
        return [informer for fleet in self for informer in fleet.informers]

    def of(self, namespace: str) -> Fleet:
        """The one that shows what is in the namespace, which is one of those that are served."""
        return self._fleets.get(None) or self._fleets[namespace]

    async def synced(self) -> None:
        """Until something is known, and nothing more is to be expected at once."""
        await asyncio.gather(*(fleet.tried() for fleet in self))
        waiting = {asyncio.create_task(_synced(fleet)) for fleet in self}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def catch_up(self, known: asyncio.Event) -> None:
        """A term begins: its decisions begin with what is true now.

        `known` is set once each has answered and one can be read; the others' pools wait until they can be, too.
        """
        behind = list(self)
        while behind:
            answered = await asyncio.gather(*(_catches_up(fleet) for fleet in behind))
            behind = [fleet for fleet, was in zip(behind, answered, strict=True) if not was]
            if len(behind) < len(self._fleets):
                known.set()
            if behind:
                await asyncio.sleep(RETRY_S)

    def highest_leader_epoch(self) -> int:
        """Of all that is known. A higher one that is seen later ends the term."""
        return max(fleet.highest_leader_epoch() for fleet in self)


async def _synced(fleet: Fleet) -> None:
    for informer in fleet.informers:
        await informer.synced.wait()


async def _catches_up(fleet: Fleet) -> bool:
    try:
        await fleet.catch_up()
    except KubeError as error:
        log.warning("cannot read the present version of %s: %s", fleet.workers.name, error)
        return False
    except Exception:
        log.exception("cannot understand the present version of %s", fleet.workers.name)
        return False
    return True
