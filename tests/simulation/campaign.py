"""`make simulate`: many seeds over all cores, or one with everything that happened.

The last line is a JSON object for whoever collects figures; the exit status is 1 when a seed failed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator

from .scenario import Result, run

PORTION = 20
FIGURES = (
    "takeover",
    "leader change inside a hand-over",
    "FingerWorker recreated",
    "answer lost",
)


def main() -> int:
    """Reads `SEED`, or `SEEDS` and `FIRST`, from the environment."""
    if seed := os.environ.get("SEED"):
        return _one(int(seed))
    return _many(int(os.environ.get("FIRST") or 0), int(os.environ.get("SEEDS") or 100_000))


def _one(seed: int) -> int:
    result = run(seed, tell=print)
    print(f"seed {seed}: trace {result.trace}, {result.steps} steps, {result.simulated_s:.0f} s simulated")
    for defect in result.defects:
        print(f"  {defect}")
    return 1 if result.defects else 0


def _portion(seeds: range) -> list[Result]:
    return [run(seed) for seed in seeds]


def _many(first: int, count: int) -> int:
    began = time.monotonic()
    done = steps = overlaps = excused = unplaced = failed = 0
    longest = longest_move = simulated = 0.0
    faults: Counter[str] = Counter()
    with_figure: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for result in _results(first, count):
        done += 1
        steps += result.steps
        simulated += result.simulated_s
        overlaps += result.overlaps
        excused += result.excused
        unplaced += result.excused_unplaced
        longest = max(longest, result.longest_gap_s)
        longest_move = max(longest_move, result.longest_move_gap_s)
        faults += result.faults
        counts += result.counts
        with_figure.update(name for name in FIGURES if result.counts[name])
        if result.defects:
            failed += 1
            print(f"seed {result.seed} failed; replay it with `make simulate SEED={result.seed}`:")
            for defect in result.defects[:3]:
                print(f"  {defect}")
        if done % 1000 == 0:
            rate = 60 * done / (time.monotonic() - began)
            print(f"{done} seeds, {failed} failed, {rate:.0f} seeds a minute", flush=True)
    seconds = time.monotonic() - began
    print(
        json.dumps(
            {
                "seeds": done,
                "failed": failed,
                "steps": steps,
                "simulated_hours": round(simulated / 3600, 1),
                "seconds": round(seconds, 1),
                "seeds_per_minute": round(60 * done / seconds) if seconds else 0,
                "faults": dict(sorted(faults.items())),
                "overlaps": overlaps,
                "overlaps_judged_by_token": excused,
                "longest_gap_s": round(longest, 3),
                "streams_left_out_as_poison": unplaced,
                "lone_deaths": counts["lone deaths"],
                "planned_moves": counts["planned moves"],
                "longest_move_gap_s": round(longest_move, 3),
                "seeds_with_leader_change_inside_a_hand_over": with_figure["leader change inside a hand-over"],
                "seeds_with_takeover": with_figure["takeover"],
                "seeds_with_recreated_fingerworker": with_figure["FingerWorker recreated"],
                "seeds_with_lost_reply": with_figure["answer lost"],
            }
        )
    )
    return 1 if failed else 0


def _results(first: int, count: int) -> Iterator[Result]:
    portions = [range(at, min(at + PORTION, first + count)) for at in range(first, first + count, PORTION)]
    workers = int(os.environ.get("JOBS") or os.cpu_count() or 1)
    if workers == 1:
        for portion in portions:
            yield from _portion(portion)
        return
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=50) as pool:
        for results in pool.imap_unordered(_portion, portions):
            yield from results
