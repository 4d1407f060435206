"""Times this project's planner on one variant in one size, in this process: `python -m benchmarks.planner.measure`.

Started by `python -m benchmarks.planner`, once a case, so that no case lives with another one's memory.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from benchmarks.planner import ours
from benchmarks.planner.judge import judge, most_placeable
from benchmarks.planner.lines import Case, Times, print_line
from benchmarks.planner.worlds import Landscape, database_rows, landscape, read_size

_WARM_UP = 3
_MIB = 1 << 20

T = TypeVar("T")
U = TypeVar("U")


def measure(case: Case, land: Landscape, events: Sequence[str], runs: int) -> None:
    full = land.full()
    first = ours.inspect(ours.run(ours.prepare(full))).target if set(events) - {"FULL", "OVERLOAD"} else {}
    for event in events:
        world = full if event == "FULL" else land.after(event, full, first)
        prepare = partial(ours.prepare, world)
        times, plan = _time(prepare, ours.run, runs)
        applied, _ = _time(partial(ours.change, world), ours.apply, min(runs, 5), anew=True)
        peak_mib = _peak_mib(prepare, ours.run)
        outcome = ours.inspect(plan)
        verdict = judge(world, outcome.target, by_weight=land.variant == "full")
        lp_ratio = verdict.placed / most_placeable(world) if event == "OVERLOAD" else None
        bound = verdict.forced + outcome.lower_bound
        print_line(case, event, times, peak_mib, verdict, bound, applied=applied, lp_ratio=lp_ratio)


def measure_rows(case: Case, land: Landscape, runs: int) -> None:
    rows = partial(database_rows, land.streams[: land.stream_count])
    times, _ = _time(rows, ours.read, runs, anew=True)
    print_line(case, "ROWS", times, _peak_mib(rows, ours.read))


def _time(prepare: Callable[[], T], run: Callable[[T], U], runs: int, *, anew: bool = False) -> tuple[Times, U]:
    """The times of each run after the warm-up, all on one problem, which planning leaves as it is: Kafka is measured
    warm as well. The collector runs as it likes, but starts from a clean slate. `anew`: prepare for each run, because
    texts remember their hashes.
    """
    ms, cpu_ms = [], []
    prepared = prepare()
    gc.collect()
    for _ in range(_WARM_UP + runs):
        if anew:
            prepared = prepare()
            gc.collect()
        cpu_began, began = time.thread_time(), time.perf_counter()
        answer = run(prepared)
        ended, cpu_ended = time.perf_counter(), time.thread_time()
        ms.append((ended - began) * 1000)
        cpu_ms.append((cpu_ended - cpu_began) * 1000)
    return Times(ms[_WARM_UP:], cpu_ms[_WARM_UP:]), answer


def _peak_mib(prepare: Callable[[], T], run: Callable[[T], object]) -> float:
    """What a run takes at most beyond what was there before it; not timed, because tracing is slow."""
    prepared = prepare()
    tracemalloc.start()
    try:
        run(prepared)
        return tracemalloc.get_traced_memory()[1] / _MIB
    finally:
        tracemalloc.stop()


def main() -> None:
    variant, size, events, runs = sys.argv[1:]
    streams, workers = read_size(size)
    land = landscape(variant, streams, workers)
    case = Case("ours", variant, streams, workers)
    asked = events.split(",")
    if plans := [event for event in asked if event != "ROWS"]:
        measure(case, land, plans, int(runs))
    if "ROWS" in asked:
        measure_rows(case, land, int(runs))


if __name__ == "__main__":
    main()
