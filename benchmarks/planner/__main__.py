"""Prints one JSON line a case: this project's planner and Kafka's UniformAssignor on the same worlds, one core each.

    [SIZES=100000x5000,…] [VARIANTS=count,classes,full] [EVENTS=FULL,…,ROWS] [PLANNERS=ours,kafka] [RUNS=10]
        python -m benchmarks.planner

- `ms`, `ms_min`: median and minimum of RUNS after a warm-up, from the applied event to a plan whose moves can be
  iterated: all of `plan`, with the catalog, the workers and who has what in the columns that the operator keeps. Of
  Kafka only assign() is timed, from what its coordinator keeps, and it ends with the members' new partition sets:
  what moved would still have to be found out.
- `cpu_ms`, `cpu_ms_min`: the planning thread's own CPU time, which a busy machine disturbs less.
- `apply_ms`: not part of the others: the least CPU time in which the event reaches the columns of the workers and of
  who has what, from candidates and assignments of which most are the same objects as before.
- `peak_mib`: what planning takes beyond what was there before. Ours: the peak by tracemalloc in a run of its own.
  Kafka: what assign() takes from the heap, with its garbage, as a JVM does not give it back earlier.
- `moves`: streams that had an owner, living or gone, and get another one; `placed`: streams that had none.
- `lower_bound`: the fewest moves: the streams of owners that are gone, and what balancing needs at least. Ours: to
  the loads that the plan aimed at, by the plan. Kafka: to within one stream of each other.
- `spread`: most minus fewest streams of a worker; for `full` in percent points of capacity, by weight.
- `lp_ratio`: of the event OVERLOAD, the streams that have a place to those that a linear programme would give one,
  which may cut them into pieces.
- The event ROWS is no plan: it is reading the catalog from database rows.

OVERLOAD is asked of this project's planner only, for Kafka knows no capacity. All events but it and FULL start from
what the same planner gave for FULL. Those of joining ask for perfect balance, which is what Kafka does always; the
others plan by the default policy.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.planner import peer
from benchmarks.planner.judge import fewest_to_even, judge
from benchmarks.planner.lines import Case, print_line
from benchmarks.planner.worlds import EVENTS, SIZES, VARIANTS, landscape, read_size

PLANNERS = ("ours", "kafka")
ROWS = "ROWS"
OURS_ONLY = frozenset({ROWS, "OVERLOAD"})
_ROOT = Path(__file__).parents[2]
_MIB = 1 << 20


def main() -> int:
    quick = os.environ.get("FINGERV7_BENCHMARKS") == "quick"
    try:
        sizes = _chosen("SIZES", SIZES[-1:] if quick else SIZES)
        for size in sizes:
            read_size(size)
        variants = _chosen("VARIANTS", VARIANTS, VARIANTS)
        events = _chosen("EVENTS", (*EVENTS, ROWS), (*EVENTS, ROWS))
        planners = _chosen("PLANNERS", PLANNERS, PLANNERS)
        runs = int(os.environ.get("RUNS") or (3 if quick else 10))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"machine: {_machine()}", file=sys.stderr)
    folder = _peer_folder() if "kafka" in planners else None
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # and with this process all that it starts
    failed = False
    for size in sizes:
        for variant in variants:
            if folder and variant != "full":
                failed |= not _run_kafka(
                    folder, variant, size, [each for each in events if each not in OURS_ONLY], runs
                )
            if "ours" in planners:
                # Rows are the same whatever is planned: once a size, with everything in them.
                asked = [each for each in events if each != ROWS or variant == variants[-1]]
                failed |= not _run_ours(variant, size, asked, runs)
    return int(failed)


def _run_ours(variant: str, size: str, events: Sequence[str], runs: int) -> bool:
    if not events:
        return True
    command = [sys.executable, "-m", "benchmarks.planner.measure", variant, size, ",".join(events), str(runs)]
    return subprocess.run(command, cwd=_ROOT, check=False).returncode == 0


def _run_kafka(folder: Path, variant: str, size: str, events: Sequence[str], runs: int) -> bool:
    if not events:
        return True
    streams, workers = read_size(size)
    case = Case("kafka", variant, streams, workers)
    try:
        for event, answer in peer.run(folder, landscape(variant, streams, workers), events, runs):
            verdict = judge(answer.world, answer.target, by_weight=False)
            bound = verdict.forced + fewest_to_even(answer.world)
            print_line(case, event, answer.times, answer.allocated / _MIB, verdict, bound)
    except peer.MissingPeerError as error:
        print(f"kafka {variant} {size}: {error}", file=sys.stderr)
        return False
    return True


def _peer_folder() -> Path | None:
    try:
        return peer.build()
    except peer.MissingPeerError as error:
        print(f"kafka is skipped: {error}", file=sys.stderr)
        return None


def _chosen(variable: str, default: Sequence[str], known: Sequence[str] = ()) -> list[str]:
    """Words from the environment, in the order of `known`. Raises ValueError."""
    words = [word for word in os.environ.get(variable, "").replace(" ", ",").split(",") if word] or list(default)
    if known and (strange := [word for word in words if word not in known]):
        raise ValueError(f"{variable} knows no {', '.join(strange)}; it knows {', '.join(known)}")
    return [each for each in known if each in words] if known else words


def _machine() -> str:
    try:
        cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        cpu = ""
    model = next((line.partition(":")[2].strip() for line in cpu.splitlines() if line.startswith("model name")), "")
    return (
        f"{os.cpu_count()} cores, {model or platform.machine()}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
