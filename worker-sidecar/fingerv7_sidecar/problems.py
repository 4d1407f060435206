"""Why a worker is not ready, in sentences for whoever looks at /readyz."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fingerv7_sidecar.mode import Mode

if TYPE_CHECKING:
    from fingerv7_sidecar.protocol import Sidecar


def problems(sidecar: Sidecar) -> Iterator[str]:
    """Nothing when it is ready."""
    mirror = sidecar.mirror
    if sidecar.holding.reason:
        yield sidecar.holding.reason
    if sidecar.mode is Mode.SUSPECT:
        yield f"not renewing: {sidecar.suspicion.reason}"
    elif sidecar.awaits_stop:
        yield "fenced: the worker has not confirmed the emptied config yet, and gets the time to stop"
    elif sidecar.fenced:
        yield "fenced: no acknowledged renewal proves that this worker may run"
    if sidecar.config.error:
        yield f"the config cannot be written: {sidecar.config.error}"
    if sidecar.proof.file_error:
        yield f"the fence file cannot be written: {sidecar.proof.file_error}"
    if sidecar.mode is Mode.EMPTYING:
        yield "the worker process is gone"
    if sidecar.mode is Mode.RELEASED:
        missing = "has not started yet" if sidecar.vitals.not_started else "is gone"
        yield "drained" if sidecar.draining else f"released: the worker process {missing}"
    if mirror.read_error:
        yield mirror.read_error
    if mirror.refused:
        yield f"the assignment is refused: {mirror.refused}"
    if mirror.read_at is not None:
        yield "waiting until a worker that ran under this name before must have stopped"
    if sidecar.mode is Mode.MIRROR and not mirror.refused:
        yield from _of_fingerworker(sidecar)


def _of_fingerworker(sidecar: Sidecar) -> Iterator[str]:
    identity, view = sidecar.identity, sidecar.mirror.view
    if view is None:
        otherwise = "let the pool accept registrations" if sidecar.policy.register else "set MAX_STREAMS"
        yield f"FingerWorker {identity.namespace}/{identity.name} does not exist; create it or {otherwise}"
        return
    if sidecar.applied_epoch != view.epoch:
        yield f"epoch {view.epoch} is not confirmed by the worker yet"
    if identity.pool and view.pool != identity.pool:
        yield f"POOL is {identity.pool} but the FingerWorker belongs to {view.pool}"
    if view.timing_problem:
        yield view.timing_problem
