"""How fast the whole system is, on real processes: operator, sidecars and reference workers, API server, PostgreSQL.

    python -m benchmarks.system [--quick] [start notify poll kill move crash succeed]

Every figure is one JSON line that says what was measured, how often, and which goal it is held against; a table of
them follows on standard error, as docs/benchmarks.md shows it. Times on nobody are the journal's: from the last
moment that a worker provably processed a stream to the moment that another one's start row was committed.

With FINGERV7_STATIONS_CSV, or a table of stations beside the repository, the rows are real ones.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from devenv.cluster import Cluster, start_cluster
from devenv.fleet import FAST, Fleet, OperatorProcess, assignment
from devenv.fleet_api import leases
from devenv.postgres import Postgres, start_postgres
from devenv.streams import Row, StreamsTable, invent, read_csv
from reference_worker import checker

ROOT = Path(__file__).parents[1]
STATIONS = Path(os.environ.get("FINGERV7_STATIONS_CSV") or ROOT.parent / "shared" / "data" / "radio-stations.csv")
ROWS = 2131
CAPACITIES = (200, 250, 300, 350, 400, 450, 500, 550)
DEFAULTS: Mapping[str, str] = {"takeoverAfter": "20s"}
SOON_S = 120.0
UNSUSPICIOUS_S = 17.0
"""Three deaths within moments of getting a stream make that stream suspect, and it would be kept from everybody."""
SETTLE_S = 3.0


class Bench:
    """One run: where to measure, how much, and what came out."""

    def __init__(self, cluster: Cluster, postgres: Postgres, *, quick: bool) -> None:
        self.cluster = cluster
        self.postgres = postgres
        self.quick = quick
        self.figures: list[dict[str, Any]] = []

    def times(self, full: int, short: int) -> int:
        """How often something is repeated."""
        return short if self.quick else full

    def report(self, figure: str, what: str, seconds: Sequence[float], *, goal: str = "", **more: Any) -> None:
        """Print one line: percentiles of the seconds, and whatever else belongs to them."""
        ordered = sorted(seconds)
        figures = (
            {
                "count": len(ordered),
                "p50_s": round(statistics.median(ordered), 3),
                "p99_s": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 3),
                "max_s": round(ordered[-1], 3),
            }
            if ordered
            else {}
        )
        line = {
            "benchmark": "system",
            "figure": figure,
            "what": what,
            **({"goal": goal} if goal else {}),
            **figures,
            **more,
            "quick": self.quick,
            "machine": _machine(),
        }
        self.figures.append(line)
        print(json.dumps(line), flush=True)

    @contextlib.contextmanager
    def fleet(
        self, rows: Sequence[Row] | int, capacities: Sequence[int], *, operator: bool = True, **settings: Any
    ) -> Iterator[Fleet]:
        """Workers that are alive, and an operator that has placed everything."""
        with Fleet(self.cluster, self.postgres, rows=rows, **settings) as fleet:
            for number, capacity in enumerate(capacities, start=1):
                fleet.start_worker(f"fingerv7-{number:03}", capacity)
            fleet.wait_for(lambda: _alive(fleet), SOON_S, "every worker's Lease is held and its sidecar ready")
            if operator:
                fleet.start_operator()
                _await_complete(fleet)
            yield fleet
            verdict = fleet.check(allowed_gap_s=600)
            if verdict.overlaps:
                raise AssertionError(f"{len(verdict.overlaps)} overlaps: {verdict.overlaps[:3]}")


# --- the measurements -------------------------------------------------------------------------------------


def start(bench: Bench) -> None:
    """From the start of the operator's process, election Lease free, to the first complete assignment."""
    assigned, processed, resident = [], [], []
    rows = _rows()
    for _ in range(bench.times(5, 1)):
        with bench.fleet(rows, CAPACITIES, operator=False) as fleet:
            began, began_at = time.time(), fleet.now()
            operator = fleet.start_operator()
            count = _await_complete(fleet)
            grants = [line for line in operator.lines() if line["message"] == "grant"]
            assigned.append(max(_epoch_s(line) for line in grants) - began)
            # The journal's clock is the database's, which runs on this machine.
            (row,) = StreamsTable(fleet.journal_dsn).query("SELECT max(started_at) AS last FROM journal.spans")
            last = row["last"]
            processed.append((last - began_at).total_seconds())
            resident.append(_resident_mib(operator))
    what = f"process start, free election Lease, {count} streams on {len(CAPACITIES)} workers that are alive"
    bench.report("start-to-assigned", f"{what}: the last grant was accepted", assigned, goal="5 s")
    bench.report("start-to-processed", f"{what}: the last stream's start row was committed", processed)
    bench.report(
        "operator-memory", f"resident memory of the operator with {count} streams", [], mib=round(max(resident), 1)
    )


def notify(bench: Bench) -> None:
    """From before an INSERT is sent to the stream being in its worker's config file."""
    with bench.fleet(_rows(), CAPACITIES) as fleet:
        seconds = _inserts(fleet, bench.times(300, 20), pause_s=0.3)
    bench.report(
        "notify-to-config",
        f"one row inserted with NOTIFY into a table of {ROWS}, to the stream in its worker's config file",
        seconds,
        goal="p99 1 s",
    )


def poll(bench: Bench) -> None:
    """The same without a channel, by polling alone."""
    interval_s = 5
    with bench.fleet(_rows(), CAPACITIES, notify=False, poll_interval=f"{interval_s}s") as fleet:
        seconds = _inserts(fleet, bench.times(30, 3), pause_s=interval_s)
    bench.report(
        "poll-to-config",
        f"one row inserted, pollInterval {interval_s} s, to the stream in its worker's config file",
        seconds,
        goal=f"{interval_s + 1} s",
    )


def kill(bench: Bench) -> None:
    """SIGKILL of a worker and its sidecar: how long its streams are on nobody."""
    cases = (("T=20 s (defaults: R 5, q 2, D 12, K 6)", DEFAULTS, 20), ("T=10 s (R 1, q 1, D 5, K 3)", FAST, 10))
    for name, liveness, takeover_s in cases[1:] if bench.quick else cases:
        gaps: list[float] = []
        killed = 0
        with bench.fleet(400, (150,) * 8, liveness=liveness) as fleet:
            for number in range(1, 1 + bench.times(5, 1)):
                worker = fleet.workers[f"fingerv7-{number:03}"]
                killed += Counter(fleet.running().values())[worker.name]
                since = fleet.now()
                worker.kill()
                fleet.wait_for(lambda w=worker: w.name not in fleet.running().values(), SOON_S, "they stopped")
                _await_complete(fleet)
                gaps += _gaps(fleet, since)
                time.sleep(UNSUSPICIOUS_S)
        bench.report(
            f"takeover-{takeover_s}",
            f"SIGKILL of a worker and its sidecar, leader in office, {name}: on nobody; {killed} streams were",
            gaps,
            goal=f"{takeover_s + 1} s",
        )


def move(bench: Bench) -> None:
    """A planned move of a stream, 50 streams a worker: how long it is on nobody."""
    gaps: list[float] = []
    exactly_even = {
        "cooldown": "1s",
        "imbalanceThresholdPercent": 1,
        "maxStreamDifference": 0,
        "maxMovesPerRoundPercent": 100,
    }
    with bench.fleet(400, (100,) * 8, pool_spec={"balancing": exactly_even}) as fleet:
        _await_even(fleet, 50)
        for number in range(1, 1 + bench.times(8, 2)):
            name = f"fingerv7-{number:03}"
            since = fleet.now()
            fleet.patch_worker(name, {"drain": True})
            fleet.wait_for(lambda n=name: n not in fleet.running().values(), SOON_S, f"{name} is drained")
            _await_complete(fleet)
            gaps += _gaps(fleet, since)
            fleet.patch_worker(name, {"drain": False})
            _await_even(fleet, 50)
    bench.report("planned-move", "drain of a worker with 50 of 400 streams: on nobody", gaps, goal="p99 1 s")


def crash(bench: Bench) -> None:
    """SIGKILL of the operator in the middle of a hand-over, and its start again."""
    converged, waited, gaps = [], [], []
    with bench.fleet(400, (100,) * 8, worker_environment={"STOP_DELAY_MS": "500"}) as fleet:
        (operator,) = fleet.operators.values()
        for number in range(1, 1 + bench.times(5, 1)):
            name, since = f"fingerv7-{number:03}", fleet.now()
            fleet.patch_worker(name, {"drain": True})
            fleet.wait_for(lambda: _revoking(fleet), SOON_S, "streams are on their way")
            operator.kill()
            before = _holder(fleet)
            began, began_at = time.monotonic(), time.time()
            operator.start()
            fleet.wait_for(lambda b=before: _holder(fleet) not in ("", b), SOON_S, "the Lease has a new holder")
            fleet.wait_for(
                lambda n=name: n not in fleet.running().values() and not _revoking(fleet), SOON_S, "it converged"
            )
            _await_complete(fleet)
            converged.append(time.monotonic() - began)
            waited.append(
                [_epoch_s(line) for line in operator.lines() if line["message"] == "in office"][-1] - began_at
            )
            gaps += _gaps(fleet, since)
            fleet.patch_worker(name, {"drain": False})
    what = "SIGKILL of the only operator while a worker's streams are handed over, started again at once"
    bench.report("crash-to-converged", f"{what}: until every stream is processed again", converged)
    bench.report("crash-waits-for-lease", f"{what}: of that, until it is in office (Lease 15 s)", waited)
    bench.report("crash-gap", f"{what}: a stream on nobody", gaps)


def succeed(bench: Bench) -> None:
    """The leader ends beside a warm standby: until that one is in office, and until a new row is in a config."""
    with bench.fleet(_rows(), CAPACITIES) as fleet:
        (leader,) = fleet.operators.values()
        standby = fleet.start_operator()
        rows = iter(invent(100, first=60_001))
        for how in (signal.SIGTERM, signal.SIGKILL):
            in_office, served = [], []
            for _ in range(bench.times(10, 2)):
                fleet.wait_for(lambda o=standby: o.said("standing by"), SOON_S, "the other one stands by")
                time.sleep(SETTLE_S)
                row = next(rows)
                configs = {path: path.stat().st_mtime_ns for path in _configs(fleet)}
                began, began_at = time.monotonic(), time.time()
                leader.process.send(how)
                fleet.table.insert([row])
                _await_in_config(row.id, configs)
                served.append(time.monotonic() - began)
                in_office.append(_epoch_s(standby.said("in office")[0]) - began_at)
                leader.process.wait(SOON_S)
                leader, standby = standby, leader
                standby.start()
            what = (
                f"{how.name} to the leader beside a standby, {ROWS} streams on {len(CAPACITIES)} workers (Lease 15 s)"
            )
            figure = f"succession-{how.name.lower()}"
            bench.report(figure, f"{what}: until the other one is in office", in_office)
            bench.report(f"{figure}-to-config", f"{what}: until a new row is in a config", served)


MEASUREMENTS: Mapping[str, Callable[[Bench], None]] = {
    each.__name__: each for each in (start, notify, poll, kill, move, crash, succeed)
}


# --- what is looked at ------------------------------------------------------------------------------------


def _rows() -> list[Row]:
    return read_csv(STATIONS) if STATIONS.is_file() else invent(ROWS)


def _alive(fleet: Fleet) -> bool:
    """Whether every sidecar holds its Lease and knows its FingerWorker."""
    return all(
        (lease := fleet.lease(name)) is not None
        and lease["spec"].get("holderIdentity")
        and "fingerv7.io/applied" in lease["metadata"].get("annotations", {})
        for name in fleet.workers
    )


def _await_complete(fleet: Fleet) -> int:
    """Wait until every row that can be served is processed; how many these are."""

    def complete() -> int:
        status = fleet.stream_pool().get("status", {})
        streams = int(status.get("streams") or 0)
        rows = len(fleet.table.active_ids())
        all_known = streams + status.get("quarantined", 0) == rows
        return streams if streams and all_known and len(fleet.running()) == streams else 0

    return fleet.wait_for(complete, SOON_S, "every row that can be served is processed")


def _await_even(fleet: Fleet, share: int) -> None:
    def even() -> bool:
        counts = Counter(fleet.running().values())
        return all(abs(counts[name] - share) <= 1 for name in fleet.workers) and not _revoking(fleet)

    fleet.wait_for(even, SOON_S, f"every worker has about {share} streams")


def _revoking(fleet: Fleet) -> bool:
    return any(assignment(worker).get("revoking") for worker in fleet.finger_workers())


def _holder(fleet: Fleet) -> str:
    lease = fleet.api.find(leases(fleet.namespace, "fingerv7-operator"))
    return str(lease["spec"].get("holderIdentity") or "") if lease else ""


def _gaps(fleet: Fleet, since: datetime) -> list[float]:
    """Every time that a stream was on nobody and that ended since then, in seconds."""
    return [gap.seconds for gap in checker.check(fleet.journal_dsn, allowed_gap_s=0.0, since=since).gaps]


def _inserts(fleet: Fleet, count: int, *, pause_s: float) -> list[float]:
    """Insert rows one by one, at moments that have nothing to do with anybody's clock."""
    configs = _configs(fleet)
    dice = random.Random(7)
    seconds = []
    for row in invent(count, first=50_001):
        time.sleep(dice.random() * pause_s)
        versions = {path: path.stat().st_mtime_ns for path in configs}
        began = time.monotonic()
        fleet.table.insert([row])
        _await_in_config(row.id, versions)
        seconds.append(time.monotonic() - began)
    return seconds


def _configs(fleet: Fleet) -> list[Path]:
    return [worker.config_dir / "assignment.json" for worker in fleet.workers.values()]


def _await_in_config(stream: str, versions: dict[Path, int]) -> None:
    """Look at the files' times every two milliseconds, and into those that changed."""
    needle = f'"{stream}"'.encode()
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        for path, version in versions.items():
            now = path.stat().st_mtime_ns
            if now != version:
                versions[path] = now
                if needle in path.read_bytes():
                    return
        time.sleep(0.002)
    raise AssertionError(f"{stream} was in no config within {SOON_S:.0f} s")


def _epoch_s(line: Mapping[str, Any]) -> float:
    """When a line was written; logs are in local time."""
    return datetime.fromisoformat(line["time"]).timestamp()


def _resident_mib(operator: OperatorProcess) -> float:
    status = Path(f"/proc/{operator.process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


def _machine() -> str:
    model = next(
        (line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    return f"{os.cpu_count()} cores, {model}, {platform.system()} {platform.release()}, load {os.getloadavg()[0]:.1f}"


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _table(figures: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| what was measured | goal | n | p50 | p99 | max |", "|---|---|---|---|---|---|"]
    for each in figures:
        cells = [each["what"], each.get("goal", "")]
        if "count" in each:
            cells += [str(each["count"]), *(f"{each[key]:.2f} s" for key in ("p50_s", "p99_s", "max_s"))]
        else:
            cells += ["", "", "", f"{each.get('mib', '')} MiB"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.system", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*MEASUREMENTS, []], metavar="name", help=", ".join(MEASUREMENTS))
    parser.add_argument("--quick", action="store_true", default=os.environ.get("FINGERV7_BENCHMARKS") == "quick")
    options = parser.parse_args()
    with start_cluster(name="bench") as cluster, start_postgres() as postgres:
        bench = Bench(cluster, postgres, quick=options.quick)
        for name in options.names or MEASUREMENTS:
            MEASUREMENTS[name](bench)
    print(_table(bench.figures), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
