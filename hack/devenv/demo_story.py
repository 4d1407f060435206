"""The main job in five chapters, each told while it happens and measured by the journal's clock.

Share the table, lose a worker, drain another, add streams, and let the checker judge all of it.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from devenv.demo_screen import Screen
from devenv.fleet import Fleet, WorkerProcess
from devenv.fleet_api import leases
from devenv.fleet_setup import poll_until
from devenv.streams import Row
from reference_worker.blocking import run_blocking
from reference_worker.journal import connected
from reference_worker.verdict import GapFigures, Verdict

TAKEOVER_S = 10.0
PROMISED_GAP_S = TAKEOVER_S + 1.0
"""Design section 1: on nobody for at most T + 1 s."""

_SIZES = (25, 50, 100, 25, 50, 100, 50, 100)
_SPARE = 1.3
_LARGEST = 1000
_NEW_STREAMS = 20

Figures = dict[str, Any]


def capacities(rows: int) -> list[int]:
    """Mixed sizes, eight of them where that is enough, with 30 % to spare while one of the largest is dead."""
    for rounds in range(1, 1000):
        sizes = _SIZES * rounds
        scale = rows * _SPARE / (sum(sizes) - max(sizes))
        scaled = [max(5, 5 * math.ceil(size * scale / 5)) for size in sizes]
        if max(scaled) <= _LARGEST:
            return scaled
    raise ValueError(f"{rows} rows are too many for a demo on one machine")


class Story:
    """The chapters, in the order of their methods; each returns its figures."""

    def __init__(self, fleet: Fleet, screen: Screen) -> None:
        self._fleet = fleet
        self._screen = screen

    def share(self) -> Figures:
        fleet, screen = self._fleet, self._screen
        streams = len(fleet.table.active_ids())
        sizes = capacities(streams)
        screen.headline(f"1. {len(sizes)} workers share {streams} streams")
        screen.say("Each worker is a sidecar and a process that plays FingerV7.")
        screen.say(f"Their capacities: {', '.join(map(str, sizes))}.")
        for number, size in enumerate(sizes, start=1):
            fleet.start_worker(f"fingerv7-{number:03}", size)
        fleet.wait_for(
            lambda: len(fleet.api.items(leases(fleet.namespace))) >= len(sizes), 60, "every sidecar has its Lease"
        )
        screen.say("All sidecars hold their Leases. The operator starts: it reads the table and assigns the streams.")
        begin = fleet.now()
        fleet.start_operator()
        fleet.wait_all_running(120)
        seconds = (self._latest_start(begin) - begin).total_seconds()
        screen.say(f"All {streams} streams are processed, {seconds:.1f} s after the operator was started.")
        self._settle()
        screen.show()
        return {"streams": streams, "workers": len(sizes), "capacity": sum(sizes), "seconds": round(seconds, 2)}

    def kill(self) -> Figures:
        fleet, screen = self._fleet, self._screen
        victim = self._worker_of_median_size()
        before = fleet.running()
        lost = {stream for stream, worker in before.items() if worker == victim.name}
        screen.headline(
            f"2. {victim.name} dies with {len(lost)} streams (SIGKILL for worker and sidecar, no goodbye)"
        )
        screen.say(
            "Nobody can know yet whether it is dead or only cut off. "
            f"After {TAKEOVER_S:.0f} s of silence it must have stopped by itself, and its streams may go to others."
        )
        begin = fleet.now()
        victim.kill()
        fleet.wait_for(lambda: self._elsewhere(lost, victim.name), 60, f"the streams of {victim.name} run elsewhere")
        figures = fleet.gap_figures(since=begin)
        screen.say(f"All of them run on other workers: {_gains(before, fleet.running(), lost)}.")
        screen.say(f"On nobody for {_seconds(figures)}. Promised: at most {PROMISED_GAP_S:.0f} s.")
        self._settle()
        screen.show()
        return {"worker": victim.name, **_gap_json(figures)}

    def drain(self) -> Figures:
        fleet, screen = self._fleet, self._screen
        worker = self._worker_of_median_size()
        before = fleet.running()
        moving = {stream for stream, name in before.items() if name == worker.name}
        screen.headline(f"3. {worker.name} is drained: its {len(moving)} streams move while everybody is well")
        screen.say(f'kubectl patch fingerworker {worker.name} --type merge -p \'{{"spec":{{"drain":true}}}}\'')
        begin = fleet.now()
        fleet.patch_worker(worker.name, {"drain": True})
        fleet.wait_for(lambda: self._elsewhere(moving, worker.name), 60, f"{worker.name} is drained")
        figures = fleet.gap_figures(since=begin)
        seconds = (self._latest_start(begin) - begin).total_seconds()
        screen.say(f"Done in {seconds:.1f} s: {_gains(before, fleet.running(), moving)}.")
        screen.say(
            f"Each stream was on nobody for {_seconds(figures)}: stopped and confirmed there, then started here."
        )
        self._settle()
        screen.show()
        return {"worker": worker.name, "seconds": round(seconds, 2), **_gap_json(figures)}

    def add(self) -> Figures:
        fleet, screen = self._fleet, self._screen
        screen.headline(f"4. {_NEW_STREAMS} rows are inserted into the table, one after the other")
        screen.say("A trigger notifies the operator, so nothing waits for the next poll.")
        rows = [
            Row(f"demo-new-{number:02}", f"New station {number}", f"https://new-{number}.radio.example.org/live.mp3")
            for number in range(1, _NEW_STREAMS + 1)
        ]
        latencies = []
        for row in rows:
            before = fleet.now()
            fleet.table.insert([row])
            fleet.wait_for(lambda row=row: row.id in fleet.running(), 60, f"{row.id} is processed")  # type: ignore[misc]
            # Both databases are on one server, so it is one clock.
            [inserted] = fleet.table.query("SELECT updated_at FROM streams WHERE id = $1", row.id)
            latencies.append((self._latest_start(before) - inserted["updated_at"]).total_seconds())
        latencies.sort()
        p50, slowest = latencies[len(latencies) // 2], latencies[-1]
        screen.say(f"From INSERT to a worker that processes it: {p50:.2f} s in the middle, {slowest:.2f} s at most.")
        self._settle()
        screen.show()
        return {"streams": len(rows), "p50Seconds": round(p50, 3), "maxSeconds": round(slowest, 3)}

    def judge(self) -> Verdict:
        fleet, screen = self._fleet, self._screen
        screen.headline("5. The checker reads the journal of all workers")
        verdict = fleet.check(allowed_gap_s=PROMISED_GAP_S)
        screen.say(f"{verdict.intervals} intervals, timed by the database's clock. Found:")
        for text, found in (
            ("streams on two workers at once", verdict.overlaps),
            (f"streams on nobody for longer than {PROMISED_GAP_S:.0f} s", verdict.gaps),
            ("streams of the table that nobody processes now", verdict.missing),
            ("streams that are processed and should not be", verdict.extra),
            ("writes with an outdated token that the sink had to refuse", verdict.refusals),
        ):
            screen.say(f"{len(found):5} {text}")
        screen.say("Verdict: good." if verdict.ok else "Verdict: BAD.")
        load, cpus = os.getloadavg()[0], os.cpu_count() or 1
        if verdict.gaps and load > 2 * cpus:
            screen.say(
                f"(This machine has {load:.0f} processes for {cpus} CPUs; promised times need one that keeps up.)"
            )
        return verdict

    # --- asking -------------------------------------------------------------------------------------------

    def _worker_of_median_size(self) -> WorkerProcess:
        """Of those that have streams; neither the smallest nor the largest makes a good example."""
        counts = Counter(self._fleet.running().values())
        by_size = sorted(counts, key=lambda name: (counts[name], name))
        return self._fleet.workers[by_size[len(by_size) // 2]]

    def _elsewhere(self, streams: set[str], worker: str) -> bool:
        running = self._fleet.running()
        return all(running.get(stream, worker) != worker for stream in streams)

    def _latest_start(self, since: datetime) -> datetime:
        async def query() -> datetime:
            async with connected(self._fleet.journal_dsn) as connection:
                found: datetime = await connection.fetchval(
                    "SELECT max(started_at) FROM journal.intervals WHERE started_at > $1", since
                )
                return found

        return run_blocking(query())

    def _settle(self) -> None:
        """Let the status columns catch up with what is true already, for the eye only."""
        fleet = self._fleet

        def settled() -> bool:
            workers = fleet.finger_workers()
            done = [_condition(each, "Applied") == "True" or _condition(each, "Ready") == "False" for each in workers]
            return all(done) and fleet.stream_pool().get("status", {}).get("assigned") == len(fleet.running())

        poll_until(settled, deadline_s=10, every_s=0.2)


def _condition(worker: Mapping[str, Any], kind: str) -> str:
    conditions = (worker.get("status") or {}).get("conditions") or []
    return next((str(each["status"]) for each in conditions if each["type"] == kind), "")


def _gains(before: Mapping[str, str], after: Mapping[str, str], streams: set[str]) -> str:
    counts = Counter(after[stream] for stream in streams if stream in after and after[stream] != before[stream])
    return ", ".join(f"{worker} +{count}" for worker, count in sorted(counts.items()))


def _seconds(figures: GapFigures) -> str:
    if figures.p50_s is None or figures.max_s is None:
        return "no measurable time"
    return f"{figures.p50_s:.2f} s in the middle, {figures.max_s:.2f} s at most"


def _gap_json(figures: GapFigures) -> Figures:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 3)

    return {
        "streams": figures.count,
        "gapP50Seconds": rounded(figures.p50_s),
        "gapP99Seconds": rounded(figures.p99_s),
        "gapMaxSeconds": rounded(figures.max_s),
    }
