"""The CEL rules that look at more than one field, with the sentences that people read when one refuses.

The time rules repeat `contract.Timing.derive` and `Timing.violations` in integers of milliseconds; a test holds
both against each other. The epoch rules stand at the root of the schema, because a rule below `status` is not even
asked when a patch removes the whole status.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fingerv7.api.fields import SAFE_DURATION, Rule
from fingerv7.contract import Timing

# --- StreamPool.spec.liveness -----------------------------------------------------------------------------

_DERIVED = {
    "k": ("stopTime", "(t * 3 / 10 < 6000 ? t * 3 / 10 : 6000)"),
    "d": ("fenceAfter", "(t * 9 / 10 > k ? t * 9 / 10 - k : 0)"),
    "r": ("renewInterval", "(d * 5 / 12 < 10000 ? d * 5 / 12 : 10000)"),
    "q": ("requestTimeout", "(d / 6 < 5000 ? d / 6 : 5000)"),
    "w": ("warningAfter", "t / 2"),
}


@dataclass(frozen=True)
class TimeRule:
    """One inequality, for the API server and for Python."""

    condition: str
    """CEL over t (takeoverAfter) and `variables`, in milliseconds, derived where they are left out."""
    variables: str
    """Which of `_DERIVED` the condition needs, each after those that it is derived from itself."""
    message: str
    holds: Callable[[Timing, int], bool]
    """The same over the derived times and warningAfter in milliseconds."""

    def rule(self) -> Rule:
        # CEL has no variables here; a list of one element, asked whether all of it fulfils something, is one.
        # The first line leaves a wrongly spelled duration to the rule of its own field.
        bound = [(variable, *_DERIVED[variable]) for variable in self.variables]
        given = ", ".join(["self.takeoverAfter", *(f"self.?{name}.orValue('1s')" for _, name, _ in bound)])
        lines = [
            f"[{given}]",
            f".exists(x, !x.matches('{SAFE_DURATION}')) ||",
            "[duration(self.takeoverAfter).getMilliseconds()].all(t,",
        ]
        for variable, name, derived in bound:
            lines.append(f"[has(self.{name}) ? duration(self.{name}).getMilliseconds() :")
            lines.append(f"{derived}].all({variable},")
        lines.append(f"{self.condition}{')' * (1 + len(bound))}")
        return Rule("\n".join(lines), self.message)


TIMES = (
    TimeRule(
        "k > 0 && d > 0 && r > 0 && q > 0",
        "kdrq",
        "every time must be greater than zero; shorten stopTime, or lengthen takeoverAfter, so that something is "
        "left for fenceAfter and what is derived from it",
        lambda timing, _: (
            min(timing.stop_time_ms, timing.fence_after_ms) > 0
            and min(timing.renew_interval_ms, timing.request_timeout_ms) > 0
        ),
    ),
    TimeRule(
        "(d + k) * 105 <= t * 95",
        "kd",
        "(fenceAfter + stopTime) * 1.05 must be at most takeoverAfter * 0.95, or a worker could still run when its "
        "streams are given away; leave fenceAfter and stopTime out to have them derived from takeoverAfter",
        lambda timing, _: (timing.fence_after_ms + timing.stop_time_ms) * 105 <= timing.takeover_after_ms * 95,
    ),
    TimeRule(
        "r + 2 * q <= d",
        "kdrq",
        "renewInterval + 2 * requestTimeout must be at most fenceAfter, or one lost request fences a healthy "
        "worker; leave them out to have them derived from fenceAfter",
        lambda timing, _: timing.renew_interval_ms + 2 * timing.request_timeout_ms <= timing.fence_after_ms,
    ),
    TimeRule(
        "w < t",
        "w",
        "warningAfter must be less than takeoverAfter; leave it out to have half of takeoverAfter",
        lambda timing, warning_after_ms: warning_after_ms < timing.takeover_after_ms,
    ),
)

# --- StreamPool.spec -------------------------------------------------------------------------------------

POD_STOP_TIME_MS = 6_000
"""Until a kubelet has noticed, stopped and cleaned up a worker (design section 5)."""
POD_STOP_TIME = Rule(
    "!has(self.workers) ||\n"
    "[self.liveness.takeoverAfter, self.liveness.?stopTime.orValue('1s')]\n"
    f".exists(x, !x.matches('{SAFE_DURATION}')) ||\n"
    "(has(self.liveness.stopTime) ? duration(self.liveness.stopTime).getMilliseconds() :\n"
    f"duration(self.liveness.takeoverAfter).getMilliseconds() * 3 / 10) >= {POD_STOP_TIME_MS}",
    "spec.workers needs a liveness.stopTime of at least 6s, because a kubelet takes that long to stop a worker; "
    "leave it out where takeoverAfter is at least 20s",
)

# --- StreamPool -------------------------------------------------------------------------------------------

POOL = (
    Rule(
        "self.metadata.name.size() <= 63",
        "a StreamPool's name must have at most 63 characters, because workers carry it as a label",
    ),
    Rule(
        "!has(self.spec.workers) || self.metadata.name.size() <= 58",
        "the name of a StreamPool with spec.workers must have at most 58 characters, because a dash and a number are "
        "added for each worker",
    ),
    Rule(
        # That a name ends with a dash and a number is said there. Cheap, because what is compared with the pool's
        # name, whose length CEL does not know, is at most as long as an override's.
        "!has(self.spec.workers) || !has(self.spec.workers.overrides) || self.spec.workers.overrides.all(o, "
        "o.name.contains('-') && o.name.substring(0, o.name.lastIndexOf('-')) == self.metadata.name)",
        "spec.workers.overrides has a name that no worker of this pool can have: write the StreamPool's own name, a "
        "dash and the worker's number, such as 003",
    ),
    Rule(
        "!has(oldSelf.status) || !has(oldSelf.status.leaderEpoch) || "
        "(has(self.status) && has(self.status.leaderEpoch) && self.status.leaderEpoch >= oldSelf.status.leaderEpoch)",
        "status.leaderEpoch never decreases and cannot be removed: a newer operator process has taken over",
    ),
)

EXCLUSION = Rule(
    "has(self.stream) || has(self.worker)",
    "name a stream (nobody may have it), a worker (it is given nothing new), or both (they may not come together)",
)

# --- FingerWorker -----------------------------------------------------------------------------------------

_ASSIGNED_BEFORE = "has(oldSelf.status) && has(oldSelf.status.assignment)"
_ASSIGNED_NOW = "has(self.status) && has(self.status.assignment)"

WORKER = (
    Rule(
        f"!({_ASSIGNED_BEFORE}) || ({_ASSIGNED_NOW})",
        "status.assignment cannot be removed: it is the record of what the worker may still be processing; "
        "delete the FingerWorker to drain it",
    ),
    Rule(
        f"!({_ASSIGNED_BEFORE}) || !({_ASSIGNED_NOW}) || "
        "self.status.assignment.epoch >= oldSelf.status.assignment.epoch",
        "status.assignment.epoch never decreases; read the FingerWorker again and write from what it says",
    ),
    Rule(
        f"!({_ASSIGNED_BEFORE}) || !({_ASSIGNED_NOW}) || "
        "self.status.assignment.leaderEpoch >= oldSelf.status.assignment.leaderEpoch",
        "status.assignment.leaderEpoch never decreases: a newer operator process has taken over",
    ),
)

WORKER_SPEC = (
    Rule(
        "self.poolRef.name == oldSelf.poolRef.name",
        "poolRef cannot be changed; delete the FingerWorker, which drains it, and create it for the other pool",
    ),
)
