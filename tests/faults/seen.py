"""What the tests look at, and the verdict that each ends with. The system tests read with the same eyes."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from devenv.fleet import Fleet, OperatorProcess, assignment
from devenv.fleet_api import Object, core, leases
from devenv.proof import BrokenPromiseError, tracebacks
from devenv.streams import invent
from reference_worker import checker
from reference_worker.verdict import Gap, Verdict, Window

TAKEOVER_S = 10.0
PROMISED_GAP_S = TAKEOVER_S + 1.0
SOON_S = 45.0
"""No verdict hangs on it: for a busy machine."""
ELECTION_LEASE = "fingerv7-operator"
LEASE_S = 4.0
ELECTION = {
    "FINGERV7_LEASE_SECONDS": "4",
    "FINGERV7_RENEW_DEADLINE_SECONDS": "3",
    "FINGERV7_RETRY_SECONDS": "0.5",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the table that the suite ends with."""

    fault: str
    longest_gap_s: float
    allowed_gap_s: float
    overlaps: int
    refusals: int


FINDINGS: list[Finding] = []


def judge(
    fleet: Fleet,
    fault: str,
    *,
    allowed_gap_s: float,
    since: datetime | None = None,
    windows: Sequence[Window] = (),
    expected: Iterable[str] | None = None,
    settle_s: float = SOON_S,
    workers_were_frozen: bool = False,
) -> Verdict:
    """Wait until exactly the expected streams are processed, then judge everything since then.

    A worker that was frozen may thaw between its check and its effect, so what the sink refuses it then is counted and
    is no fault. Raises DeadlineError, or BrokenPromiseError for an overlap, a gap longer than allowed, any other
    refusal or a traceback in a log.
    """
    wanted = fleet.table.active_ids() if expected is None else set(expected)
    fleet.wait_for(lambda: fleet.running().keys() == wanted, settle_s, f"exactly {len(wanted)} streams are processed")
    verdict = fleet.check(
        allowed_gap_s=allowed_gap_s,
        since=since,
        windows=windows,
        expected=wanted,
        refusals_allowed=workers_were_frozen,
    )
    allowed = max([allowed_gap_s, *(window.allowed_gap_s for window in windows)])
    FINDINGS.append(Finding(fault, verdict.longest_gap_s, allowed, len(verdict.overlaps), len(verdict.refusals)))
    if not verdict.ok:
        raise BrokenPromiseError(f"{json.dumps(verdict.as_dict(), indent=2)}\n{fleet.describe()}")
    if found := tracebacks(fleet):
        raise BrokenPromiseError("\n".join(found))
    return verdict


def judge_worker(fault: str, gaps: Iterable[Gap], lost: Iterable[str], allowed_gap_s: float) -> None:
    """Each stream that a worker had was on nobody for no longer than that, however often."""
    streams = set(lost)
    longest_s = max((gap.seconds for gap in gaps if gap.stream in streams), default=0.0)
    FINDINGS.append(Finding(fault, longest_s, allowed_gap_s, 0, 0))
    assert streams, "it had none"
    assert longest_s <= allowed_gap_s


def gaps(fleet: Fleet, since: datetime) -> list[Gap]:
    """Every time that a stream was on nobody and that ended since then."""
    return checker.check(fleet.journal_dsn, allowed_gap_s=0.0, since=since).gaps


def started(fleet: Fleet, count: int, *, max_streams: int = 60, timeout_s: float = 90.0) -> Fleet:
    """With workers `fingerv7-001` and so on, an operator, and everything processed."""
    for number in range(1, count + 1):
        fleet.start_worker(worker_name(number), max_streams)
    if not fleet.operators:
        fleet.start_operator("operator-a")
    fleet.wait_all_running(timeout_s)
    return fleet


def worker_name(number: int) -> str:
    return f"fingerv7-{number:03}"


# --- operators --------------------------------------------------------------------------------------------


def identity(operator: OperatorProcess) -> str:
    """Of the last process that stood for election under this name."""
    stands = [line["identity"] for line in operator.lines() if line["message"] == "standing for election"]
    return str(stands[-1]) if stands else ""


def leads(fleet: Fleet, operator: OperatorProcess) -> bool:
    """Whether this very process holds the election Lease and has begun its term."""
    lease = fleet.api.find(leases(fleet.namespace, ELECTION_LEASE)) or {}
    holder = lease.get("spec", {}).get("holderIdentity")
    return operator.alive and bool(holder) and holder == identity(operator) and bool(operator.said("in office"))


def start_standby(fleet: Fleet, operator: OperatorProcess) -> None:
    """Start it (again) beside a leader; returns when it stands by."""
    before = identity(operator)
    if not operator.alive:
        operator.start()
        fleet.wait_for(lambda: identity(operator) != before, SOON_S, f"{operator.name} stands for election")
    fleet.wait_for(lambda: operator.said("standing by"), SOON_S, f"{operator.name} stands by")


def metric(port: int, name: str, *labels: str) -> float:
    """Of the operator that listens there: the sum of the samples that have all these labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    samples = [line for line in text.splitlines() if line.startswith(name) and all(label in line for label in labels)]
    return sum(float(line.rpartition(" ")[2]) for line in samples)


# --- the pool and its workers -----------------------------------------------------------------------------


def condition(item: Object, kind: str) -> Object:
    """Of a pool or a worker; empty when there is none."""
    found: list[Object] = item.get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == kind), {})


def await_condition(fleet: Fleet, kind: str, status: bool, *words: str, worker: str = "") -> str:
    """Of the pool, or a worker's; its message as soon as it says that."""

    def told() -> str | None:
        found = condition(fleet.finger_worker(worker) if worker else fleet.stream_pool(), kind)
        text = f"{found.get('reason')}: {found.get('message')}"
        return text if found.get("status") == str(status) and all(word in text for word in words) else None

    return fleet.wait_for(told, SOON_S, f"{kind} of {worker or 'the pool'} is {status} {words}") or ""


def await_event(fleet: Fleet, kind: str, reason: str) -> str:
    """The message of such an Event."""

    def told() -> str | None:
        events = fleet.api.items(core(fleet.namespace, "events"))
        return next(
            (e["message"] for e in events if (e["involvedObject"]["kind"], e["reason"]) == (kind, reason)), None
        )

    return fleet.wait_for(told, SOON_S, f"an Event {reason} of a {kind}") or ""


def holds(fleet: Fleet, name: str) -> int:
    """How many streams a worker has or is still stopping."""
    held = assignment(fleet.finger_worker(name))
    return len(held.get("streams", [])) + len(held.get("revoking", []))


def revoking(fleet: Fleet) -> bool:
    return any(assignment(worker).get("revoking") for worker in fleet.finger_workers())


def is_ready(fleet: Fleet, name: str) -> bool:
    """Alive, and runs exactly what is assigned."""
    worker = fleet.finger_worker(name)
    applied = worker["status"].get("appliedEpoch")
    return condition(worker, "Ready").get("status") == "True" and applied == assignment(worker).get("epoch", 0)


def await_ready(fleet: Fleet, *names: str) -> None:
    for name in names:
        fleet.wait_for(lambda n=name: is_ready(fleet, n), SOON_S, f"{name} is ready")


def serves_new_row(fleet: Fleet, number: int) -> None:
    """The whole way works, from the table to a worker."""
    (row,) = invent(1, first=number)
    fleet.table.insert([row])
    fleet.wait_for(lambda: row.id in fleet.running(), SOON_S, f"the new row {row.id} is processed")
