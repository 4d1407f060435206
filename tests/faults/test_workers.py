"""Workers that freeze, are cut off or are replaced by another pod while they live: all in one fleet, at one moment.

Killed workers and sidecars, and frozen sidecars, are in tests/integration/system/test_takeover.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from devenv.cluster import Cluster
from devenv.fleet import Fleet, WorkerProcess
from devenv.postgres import Postgres
from reference_worker.verdict import Gap

from .api_proxy import ApiProxy, Fault, Request
from .seen import (
    PROMISED_GAP_S,
    SOON_S,
    TAKEOVER_S,
    await_ready,
    gaps,
    judge,
    judge_worker,
    worker_name,
)
from .wire import State, Wire

FROZEN_WORKER, FROZEN_POD, CUT_OFF, DEAF, REBORN, UNANSWERED = (worker_name(number) for number in range(1, 7))
REFUSED = {429: worker_name(7), 500: worker_name(8), 409: worker_name(9)}
HANGING_FOLDER = worker_name(10)
WORKERS = 15
REPORT_TIMEOUT_S = 2.0
GRACE_S = 1.0
"""WORKER_GRACE, which is R where it is not set."""
HUNG_GAP_S = PROMISED_GAP_S + REPORT_TIMEOUT_S + GRACE_S
"""Nothing proves that a worker has stopped which hangs, so T begins when its sidecar gives it up."""
A_WHILE_S = 3.0
"""Less than D: API servers that do not answer as they should cost nothing for so long."""


@dataclass(frozen=True)
class Aftermath:
    """What the journal says about ten of fifteen workers, each of which failed in its own way."""

    fleet: Fleet
    before: dict[str, str]
    """By stream: who had it when it happened."""
    began: datetime
    gaps: list[Gap] = field(repr=False)
    """Until 2 T were over."""
    holder_of_reborn: str
    """Of its Lease, while the old pod was still cut off."""
    reborn_pod: str
    """The new pod's UID."""
    requests: dict[str, list[Request]] = field(repr=False)
    """By worker, of those that came through a proxy: until then."""

    def judge(self, fault: str, name: str, allowed_gap_s: float) -> None:
        judge_worker(fault, self.gaps, self._streams_of(name), allowed_gap_s)

    def judge_taken_over(self, fault: str, name: str, allowed_gap_s: float = PROMISED_GAP_S) -> None:
        """And the fault has acted: no stream that it had went on."""
        self.judge(fault, name, allowed_gap_s)
        stopped = {gap.stream for gap in self.gaps if gap.first_worker == name}
        assert self._streams_of(name) <= stopped, "something was never taken over"

    def _streams_of(self, name: str) -> set[str]:
        return {stream for stream, worker in self.before.items() if worker == name}


@pytest.fixture(scope="module")
def aftermath(cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    folder = tmp_path_factory.mktemp("workers")
    with contextlib.ExitStack() as stack:
        wires = {name: stack.enter_context(Wire.to(cluster.server)) for name in (CUT_OFF, DEAF, REBORN)}
        proxies = {
            name: stack.enter_context(ApiProxy(cluster.server, cluster.ca_file))
            for name in (UNANSWERED, *REFUSED.values())
        }
        fleet = stack.enter_context(Fleet(cluster, postgres, rows=14 * WORKERS, folder=folder))
        for name, wire in wires.items():
            fleet.start_worker(name, 60, sidecar_environment={"KUBERNETES_API_URL": wire.url})
        for name, proxy in proxies.items():
            fleet.start_worker(name, 60, sidecar_environment=proxy.sidecar_environment(folder / f"{name}.crt"))
        fleet.start_worker(FROZEN_WORKER, 60, sidecar_environment={"REPORT_TIMEOUT": f"{REPORT_TIMEOUT_S:.0f}s"})
        fleet.start_worker(FROZEN_POD, 60)
        for number in range(10, WORKERS + 1):  # HANGING_FOLDER and the sound
            fleet.start_worker(worker_name(number), 60)
        fleet.start_operator("operator-a")
        fleet.wait_all_running(120)
        await_ready(fleet, *fleet.workers)

        before, began, now_s = fleet.assigned(), fleet.now(), time.monotonic()
        over_at, for_a_while = now_s + 2 * TAKEOVER_S, _For(until_s=now_s + A_WHILE_S)
        proxies[UNANSWERED].judge = lambda r: Fault(lose_reply=True) if r.is_write and for_a_while() else None
        for status, name in REFUSED.items():
            proxies[name].judge = lambda r, s=status: _refusal(s, r) if for_a_while() else None
        # No probe for the frozen: nobody but their own fence may keep them from harm when they thaw.
        fleet.workers[FROZEN_WORKER].probe.enabled = False
        fleet.workers[FROZEN_WORKER].worker.process.send(signal.SIGSTOP)
        fleet.workers[FROZEN_POD].pause()
        wires[CUT_OFF].state = wires[REBORN].state = State.SILENT
        wires[DEAF].state = State.DEAF
        thaw = _hang_fence_writes(fleet.workers[HANGING_FOLDER])
        # The new pod can reach the API server; the old one and its worker live on behind the cut.
        reborn = fleet.make_worker(fleet.workers[REBORN].spec, folder="reborn")
        reborn.start()
        try:
            fleet.wait_for(lambda: fleet.now() and time.monotonic() > over_at, 3 * TAKEOVER_S, "2 T are over")
            fleet.wait_all_running(SOON_S)
            until_then = gaps(fleet, began)
            lease = fleet.lease(REBORN)
        finally:
            fleet.workers[FROZEN_WORKER].worker.process.send(signal.SIGCONT)
            fleet.workers[FROZEN_WORKER].probe.enabled = True
            fleet.workers[FROZEN_POD].resume()
            thaw()
            for wire in wires.values():
                wire.state = State.OPEN
        assert fleet.workers[REBORN].alive, "the old pod lives on"
        assert lease
        await_ready(fleet, FROZEN_WORKER, FROZEN_POD, CUT_OFF, DEAF, HANGING_FOLDER)
        requests = {name: [r for r in proxy.requests if r.at_s >= now_s] for name, proxy in proxies.items()}
        holder, pod = lease["spec"]["holderIdentity"], reborn.sidecar.process.environment["POD_UID"]
        yield Aftermath(fleet, before, began, until_then, holder, pod, requests)


def _hang_fence_writes(worker: WorkerProcess) -> Callable[[], None]:
    """A pipe that nobody reads stands where the sidecar is about to write. Call what is returned to end that."""
    pipe = worker.config_dir / ".fence.tmp"
    os.mkfifo(pipe)

    def thaw() -> None:
        aside = pipe.rename(pipe.with_suffix(".aside"))  # what is written into it must not become the fence
        with aside.open("rb"):
            pass

    return thaw


@dataclass(frozen=True)
class _For:
    until_s: float

    def __call__(self) -> bool:
        return time.monotonic() < self.until_s


def _refusal(status: int, request: Request) -> Fault | None:
    """Only writes can be conflicts."""
    if status == 409 and not request.is_write:
        return None
    return Fault(answer=status, retry_after_s=1 if status == 429 else 0)


def test_a_frozen_worker_loses_its_streams_and_does_no_harm_when_it_thaws(aftermath: Aftermath) -> None:
    aftermath.judge_taken_over("SIGSTOP of a worker for 2 T", FROZEN_WORKER, HUNG_GAP_S)


def test_a_frozen_pod_loses_its_streams_and_does_no_harm_when_it_thaws(aftermath: Aftermath) -> None:
    aftermath.judge_taken_over("SIGSTOP of worker and sidecar for 2 T", FROZEN_POD)


def test_a_worker_behind_a_blackhole_stops_before_its_streams_are_elsewhere(aftermath: Aftermath) -> None:
    aftermath.judge_taken_over("blackhole between a sidecar and the API for 2 T", CUT_OFF)


def test_a_sidecar_that_hears_no_answers_stops_before_its_streams_are_elsewhere(aftermath: Aftermath) -> None:
    aftermath.judge_taken_over("a sidecar's requests arrive, answers do not, for 2 T", DEAF)


def test_a_folder_whose_writes_hang_stops_its_worker_and_the_streams_move(aftermath: Aftermath) -> None:
    aftermath.judge_taken_over("a sidecar's write of its fence file hangs for 2 T", HANGING_FOLDER)


def test_a_new_pod_of_that_name_waits_for_the_old_one_behind_a_blackhole(aftermath: Aftermath) -> None:
    aftermath.judge_taken_over("reborn under another incarnation while the old one runs", REBORN)
    assert aftermath.holder_of_reborn.startswith(f"{aftermath.reborn_pod}/"), "the new pod never got the Lease"


def test_renewals_whose_replies_are_lost_stop_nothing(aftermath: Aftermath) -> None:
    aftermath.judge(f"replies to a sidecar's writes lost for {A_WHILE_S:.0f} s", UNANSWERED, 0.0)
    first_s = aftermath.requests[UNANSWERED][0].at_s
    lost = [r for r in aftermath.requests[UNANSWERED] if r.is_write and r.at_s < first_s + A_WHILE_S]
    assert any(request.status == 200 for request in lost), "one was stored, and its sidecar did not hear of it"


@pytest.mark.parametrize("status", REFUSED)
def test_renewals_that_are_refused_for_a_while_stop_nothing(aftermath: Aftermath, status: int) -> None:
    name = REFUSED[status]
    aftermath.judge(f"API answers {status} to a sidecar for {A_WHILE_S:.0f} s", name, 0.0)
    refused = [request for request in aftermath.requests[name] if not request.status and request.is_write]
    assert 0 < len(refused) < 60, "it asks again, and does not hammer"


def test_of_all_that_nothing_was_ever_in_two_places(aftermath: Aftermath) -> None:
    judge(
        aftermath.fleet,
        "all of these and the thaw",
        since=aftermath.began,
        allowed_gap_s=HUNG_GAP_S,
        workers_were_frozen=True,
    )
