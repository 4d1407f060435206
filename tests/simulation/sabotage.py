"""`make sabotage`: each rule of safety switched off in turn, and the first seed in which the judge sees it.

What no seed shows is a rule that the simulation does not test. The switches are here and not in production code.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sys
from collections.abc import Callable
from typing import Any

from fingerv7.adapters.kube.objects import lease_from_json
from fingerv7.adapters.kube.resources import LEASES
from fingerv7.core import brake, rounds
from fingerv7.core.liveness import observe, vacated
from fingerv7.core.model import Lease
from fingerv7.runtime import catalog, prober
from fingerv7.runtime.fleet import Fleet
from fingerv7.runtime.pool_loop import PoolLoop
from fingerv7.runtime.prober import Prober
from fingerv7.runtime.publisher import Publisher
from fingerv7_sidecar import holding
from fingerv7_sidecar.mode import Mode
from fingerv7_sidecar.protocol import Sidecar
from fingerv7_sidecar.times import Times

from .defect import Defect, Kind
from .install import Hooks
from .scenario import Sabotage, run
from .world import World

RULES: dict[str, Sabotage] = {}
WORLDS: dict[str, dict[str, float]] = {}
REDUNDANT = {
    "acknowledgement without incarnation": "the FingerWorker's UID, the epochs that a sidecar never goes below and the "
    "acquisition that clears the acknowledgement leave nothing for it to do; the model finds it harmless, too",
}
"""Rules that nobody misses beside the others, and why. Their absence need not be caught."""
TWICE = frozenset({Kind.OVERLAP, Kind.TOKEN})
"""Two run a stream, or a sink cannot keep them apart."""
SHOWS: dict[str, frozenset[Kind]] = {}
"""What has to be seen of each rule's absence. Anything else may come of a system that does not work at all."""


def _rule(name: str, *, shows: frozenset[Kind] = TWICE) -> Callable[[Sabotage], Sabotage]:
    def keep(switch: Sabotage) -> Sabotage:
        RULES[name], SHOWS[name] = switch, shows
        return switch

    return keep


@_rule("no wait for the acknowledgement")
def _no_wait(world: World, hooks: Hooks) -> None:
    honest = rounds._holders

    def all_free(*args: Any) -> Any:
        return {
            name: dataclasses.replace(each, free_through=each.worker.assignment.epoch)
            for name, each in honest(*args).items()
        }

    hooks.put(rounds, "_holders", all_free)


@_rule("acknowledgement without FingerWorker UID")
def _no_uid(world: World, hooks: Hooks) -> None:
    """As it would be if the annotation did not say for which one: it is taken for the present one's."""
    honest = PoolLoop._gather

    def gather(self: PoolLoop) -> Any:
        seen = honest(self)
        leases = {
            name: dataclasses.replace(lease, applied=dataclasses.replace(lease.applied, worker_uid=worker.uid))
            if lease.applied and (worker := seen.workers.get(name))
            else lease
            for name, lease in seen.leases.items()
        }
        return dataclasses.replace(seen, leases=leases)

    hooks.put(PoolLoop, "_gather", gather)


@_rule("acknowledgement without incarnation")
def _no_incarnation(world: World, hooks: Hooks) -> None:
    """Then nothing is gained by taking it back when the Lease is acquired, either."""

    def claimed(lease: Lease, worker_uid: str) -> int | None:
        applied = lease.applied
        return applied.epoch if applied and lease.holder and applied.worker_uid == worker_uid else None

    hooks.put(Lease, "claimed_epoch", claimed)
    honest = holding.renewed

    def keeping(lease: Any, *, statement: Any, **rest: Any) -> Any:
        applied = ((lease.get("metadata") or {}).get("annotations") or {}).get("fingerv7.io/applied", "")
        return honest(lease, statement=dataclasses.replace(statement, applied=statement.applied or applied), **rest)

    hooks.put(holding, "renewed", keeping)


@_rule("no fence")
def _no_fence(world: World, hooks: Hooks) -> None:
    hooks.put(Times, "fence_s", property(lambda times: 1e6))


@_rule("fence too late")
def _late_fence(world: World, hooks: Hooks) -> None:
    hooks.put(Times, "fence_s", property(lambda times: times.active.takeover_after_ms / 1000))


@_rule("Lease read before the revoke instead of after")
def _read_before(world: World, hooks: Hooks) -> None:
    answers: dict[str, tuple[Lease | None, float]] = {}
    read = Prober._read

    async def confirm(self: Prober, worker: Any) -> bool:
        began = self._clock()
        answer = await read(self, worker.name)
        if answer is None or not self._fleet.observation(self._namespace, worker.name).same_heartbeat(answer.lease):
            return False
        answers[worker.uid] = answer.lease, began
        self._confirmed[worker.name] = self._fleet.observation(self._namespace, worker.name)
        return True

    honest = Prober._probe

    async def probe(self: Prober, worker: Any, t_s: float, disbelieved: int) -> bool:
        if worker.uid in answers:
            lease, began = answers.pop(worker.uid)
            seen = self._fleet.observation(self._namespace, worker.name)
            if vacated(worker, lease, seen=seen, probed=observe(None, lease, began), t_s=t_s, now=began):
                self._proofs[worker.name] = prober._Proof(worker.uid, worker.assignment.epoch)
                return True
        return await honest(self, worker, t_s, disbelieved)

    hooks.put(Prober, "_confirm", confirm)
    hooks.put(Prober, "_probe", probe)


@_rule("no consistent read")
def _stale_read(world: World, hooks: Hooks) -> None:
    async def read(self: Prober, name: str) -> Any:
        try:
            raw = await self._api.get(
                LEASES.path(self._namespace, name), params={"resourceVersion": "0"}, timeout_s=prober.TIMEOUT_S
            )
            return prober._Answer(lease_from_json(raw))
        except prober.NotFound:
            return prober._Answer(None)
        except prober.KubeError:
            return None

    hooks.put(Prober, "_read", read)


@_rule("release on mere unresponsiveness")
def _release_unresponsive(world: World, hooks: Hooks) -> None:
    def suspect(self: Sidecar, now: Any, reason: str) -> None:
        self.config.want_emptied()
        self.config.clean = True
        self.mode = Mode.RELEASED
        self._start_over()
        self.mode = Mode.RELEASED

    hooks.put(Sidecar, "_suspect", suspect)


@_rule("a new incarnation counted as a release")
def _new_incarnation(world: World, hooks: Hooks) -> None:
    honest = Lease.shows_release

    def shows(lease: Lease, worker_uid: str) -> bool:
        return honest(lease, worker_uid) or bool(lease.holder and lease.applied is None)

    hooks.put(Lease, "shows_release", shows)


@_rule("unknown write outcomes treated as failed")
def _unknown_failed(world: World, hooks: Hooks) -> None:
    hooks.put(Publisher, "unknown", lambda self, worker: None)


@_rule("planning from the watch's echo")
def _echo(world: World, hooks: Hooks) -> None:
    def parse_only(self: Fleet, raw: Any) -> Any:
        return self.workers._objects._parse(raw)

    hooks.put(Fleet, "put_worker", parse_only)


@_rule("no leader barrier")
def _no_barrier(world: World, hooks: Hooks) -> None:
    hooks.put(PoolLoop, "_barrier", lambda self, seen: True)


@_rule("no resourceVersion")
def _no_version(world: World, hooks: Hooks) -> None:
    world.server.store.checks_versions = False


@_rule("catalog brake without its baseline", shows=frozenset({Kind.BRAKE}))
def _no_baseline(world: World, hooks: Hooks) -> None:
    honest = brake.judge
    hooks.put(brake, "judge", lambda snapshot, *, held, **rest: honest(snapshot, held={}, **rest))
    assert catalog.brake is brake


@_rule("clock rates 0.9 to 1.1")
def _fast_clocks(world: World, hooks: Hooks) -> None:
    """The world itself is drawn so."""


# With a longer T, because what is missing is a part of T, and what a takeover takes beside T is not; and with nothing
# to spare in the times themselves.
WORLDS["clock rates 0.9 to 1.1"] = {"takeover_s": 20.0, "clock_spread": 0.1, "is_tight": True}


def caught(rule: str, seed: int) -> Defect | None:
    """What the judge sees in that seed without the rule, if it is what the rule is against.

    Nothing where the seed fails with the rule as well: that says nothing of the rule.
    """
    world = WORLDS.get(rule, {})
    result = run(seed, sabotage=RULES[rule], changes=world)
    seen = next((defect for defect in result.defects if defect.kind in SHOWS[rule]), None)
    honest = {name: value for name, value in world.items() if name != "clock_spread"}
    return None if seen is None or run(seed, changes=honest).defects else seen


def _portion(work: tuple[str, range]) -> tuple[int, Defect] | None:
    rule, seeds = work
    for seed in seeds:
        if seen := caught(rule, seed):
            return seed, seen
    return None


def main() -> int:
    """Reads `SEEDS` and `RULE` from the environment; 1 when a rule was missed by nobody that is not redundant."""
    seeds, wanted = int(os.environ.get("SEEDS") or 1000), os.environ.get("RULE", "")
    jobs = int(os.environ.get("JOBS") or os.cpu_count() or 1)
    missed = 0
    for rule in [rule for rule in RULES if wanted in rule]:
        found = None
        with multiprocessing.get_context("spawn").Pool(jobs) as pool:
            portions = [(rule, range(at, min(at + 10, seeds))) for at in range(0, seeds, 10)]
            for found in pool.imap(_portion, portions):
                if found:
                    break
            pool.terminate()
        if found:
            print(f"{rule}: seed {found[0]}, {found[1]}", flush=True)
        elif rule in REDUNDANT:
            print(f"{rule}: not caught by {seeds} seeds, and redundant: {REDUNDANT[rule]}", flush=True)
        else:
            missed += 1
            print(f"{rule}: NOT CAUGHT by {seeds} seeds", flush=True)
    return 1 if missed else 0


__all__ = ["RULES", "caught"]

if __name__ == "__main__":
    sys.exit(main())
