"""How long streams are on nobody when a worker dies unplanned: the distribution over many real kills.

    python -m benchmarks.takeover [--quick] [--kills 200] [--pools 10]

One operator looks after all pools; in each, one worker after the other is killed together with its sidecar, as when a
node loses power, at a moment that has nothing to do with anybody's renewals. T is 10 s (R 1, q 1, D 5, K 3). Between
two kills of a pool its streams are left alone for long enough that none is suspected of having caused them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from benchmarks.system import Bench
from devenv.cluster import start_cluster
from devenv.fleet import FAST, Fleet
from devenv.fleet_api import fingerv7
from devenv.fleet_setup import poll_until
from devenv.postgres import start_postgres
from fingerv7.contract import END_BACK_OFF
from reference_worker import checker

TAKEOVER_S = 10.0
GOAL_S = TAKEOVER_S + 1.0
WORKERS = 4
STREAMS = 32
SOON_S = 180.0
LOOK_EVERY_S = 1.0
QUIET_S = 12.0
"""A stream gained in the ten seconds before its worker died would be a suspect after the third time."""
SPREAD_S = 10.0
"""So that pools do not lose their workers at one moment: that would be another accident, and another figure."""
BALANCING = {
    "cooldown": "1s",
    "imbalanceThresholdPercent": 1,
    "maxStreamDifference": 0,
    "maxMovesPerRoundPercent": 100,
}


@dataclass
class Pool:
    """One pool, and what its kills cost."""

    fleet: Fleet
    dice: random.Random
    kills: list[float] = field(default_factory=list)
    """Of each kill, the longest time that one of its streams was on nobody."""
    streams: list[float] = field(default_factory=list)
    """Of each stream of each kill."""

    def run(self, count: int) -> None:
        names = sorted(self.fleet.workers)
        for number in range(count):
            even = False
            while not even:  # a machine that is too busy may have stopped a worker meanwhile
                self._await(self._is_even, "every worker has its share")
                time.sleep(QUIET_S + self.dice.uniform(0.0, SPREAD_S))
                even = self._is_even()
            self._kill(names[number % len(names)])

    def _kill(self, name: str) -> None:
        fleet, worker = self.fleet, self.fleet.workers[name]
        lost, since = {stream for stream, at in fleet.running().items() if at == name}, fleet.now()
        worker.kill()
        self._await(lambda: name not in fleet.running().values(), f"{name} processes nothing")
        self._await(lambda: len(fleet.running()) == STREAMS, f"the streams of {name} are elsewhere")
        gaps = [gap.seconds for gap in checker.check(fleet.journal_dsn, allowed_gap_s=0.0, since=since).gaps]
        if len(gaps) != len(lost):
            raise AssertionError(f"{len(lost)} streams were killed, {len(gaps)} were on nobody\n{fleet.describe()}")
        if max(gaps) > GOAL_S:
            self.fleet.keep_folder = True
            print(
                f"{max(gaps):.2f} s after the kill of {name} before {fleet.now()}, see {fleet.folder}",
                file=sys.stderr,
            )
        self.kills.append(max(gaps))
        self.streams += gaps
        worker.start()
        path = fingerv7(fleet.namespace, "streampools", fleet.pool)
        fleet.api.merge(path, {"metadata": {"annotations": {END_BACK_OFF: f"kill-{len(self.kills)}"}}})

    def _is_even(self) -> bool:
        running = list(self.fleet.running().values())
        return all(running.count(name) == STREAMS // WORKERS for name in self.fleet.workers)

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        # Seldom, because each look is a connection, and ten pools look.
        found, error = poll_until(condition, deadline_s=SOON_S, every_s=LOOK_EVERY_S)
        if not found:
            raise AssertionError(f"not within {SOON_S:.0f} s: {what} {error}\n{self.fleet.describe()}")


@contextlib.contextmanager
def started(bench: Bench, pools: int) -> Iterator[list[Pool]]:
    """Pools in namespaces of their own, and one operator for all."""
    with contextlib.ExitStack() as stack:
        fleets = [
            stack.enter_context(
                Fleet(bench.cluster, bench.postgres, rows=STREAMS, liveness=FAST, pool_spec={"balancing": BALANCING})
            )
            for _ in range(pools)
        ]
        for fleet in fleets:
            for number in range(1, WORKERS + 1):
                fleet.start_worker(f"fingerv7-{number:03}", STREAMS)
        fleets[0].start_operator(
            FINGERV7_KUBECONFIG=str(bench.cluster.kubeconfig),
            FINGERV7_NAMESPACES=",".join(fleet.namespace for fleet in fleets),
        )
        yield [Pool(fleet, random.Random(number)) for number, fleet in enumerate(fleets)]
        fleets[0].keep_folder |= any(fleet.keep_folder for fleet in fleets)  # with the operator's log
        for fleet in fleets:
            verdict = fleet.check(allowed_gap_s=10 * GOAL_S)
            if verdict.overlaps:
                raise AssertionError(f"{len(verdict.overlaps)} overlaps: {verdict.overlaps[:3]}")


def measure(bench: Bench, *, kills: int, pools: int) -> None:
    with started(bench, pools) as running, ThreadPoolExecutor(len(running)) as executor:
        began = time.monotonic()
        shares = [kills // pools + (number < kills % pools) for number in range(pools)]
        list(executor.map(lambda pool, share: pool.run(share), running, shares))
        took_s = time.monotonic() - began
    what = f"SIGKILL of a worker and its sidecar, T=10 s, {pools} pools at a time, 0 overlaps: on nobody"
    more = {"goal": f"{GOAL_S:.0f} s", "duration_s": round(took_s)}
    bench.report(
        "unplanned-takeover", f"{what}, each kill's last stream", [s for p in running for s in p.kills], **more
    )
    bench.report(
        "unplanned-takeover-streams", f"{what}, each stream", [s for p in running for s in p.streams], **more
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.takeover", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", default=os.environ.get("FINGERV7_BENCHMARKS") == "quick")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--pools", type=int, default=10)
    options = parser.parse_args()
    with start_cluster(name="bench") as cluster, start_postgres() as postgres:
        bench = Bench(cluster, postgres, quick=options.quick)
        measure(bench, kills=options.kills or bench.times(200, 20), pools=options.pools)
    return 0


if __name__ == "__main__":
    sys.exit(main())
