"""Who should run what: a pure function from streams, workers and today's owners to a plan (section 7 of the design).

The goals, in order: place as much as can be placed; keep what is placed; stay within tolerance; prefer a stream's own
location; move as little as possible. `plan` does no I/O, reads no clock and gives the same answer whatever order its
inputs arrive in. The rooms behind it:

- `model`: the values that go in and come out; `views`: a plan without its items;
- `round`: the order in which everything happens;
- `table`, `workers`, `owners`: the catalog, the fleet and who has what as arrays, kept from round to round;
- `problem`, `suitability`: streams and workers sorted into blocks and kinds;
- `fleet`: how full each worker is, and with what;
- `overflow`: what leaves over-full workers;
- `placing`, with `flow` and `water`: streams without a worker find one;
- `room`, with `passing`: others move aside for those that found none;
- `fairness`: what an even share is, and when loads are even enough;
- `balancing`, with `giving`, `subsets`, `evening`, `shortening`, `merging` and `regrouping`: streams move because the
  loads are uneven;
- `rotating`: streams move because their time on a worker is over;
- `bound`, with `exchanging` and `patterns`: how few moves could have done.
"""

from __future__ import annotations

from fingerv7.core.planner.model import (
    BALANCING,
    MAX_SCORE,
    MIN_SCORE,
    Alternative,
    Candidate,
    Explanation,
    Move,
    Plan,
    Policy,
    Strategy,
    Trigger,
    Unplaced,
    UnplacedReason,
)
from fingerv7.core.planner.owners import Holdings, Owners
from fingerv7.core.planner.problem import Problem, pose
from fingerv7.core.planner.round import plan, solve
from fingerv7.core.planner.table import StreamTable
from fingerv7.core.planner.workers import WorkerTable

__all__ = [
    "BALANCING",
    "MAX_SCORE",
    "MIN_SCORE",
    "Alternative",
    "Candidate",
    "Explanation",
    "Holdings",
    "Move",
    "Owners",
    "Plan",
    "Policy",
    "Problem",
    "Strategy",
    "StreamTable",
    "Trigger",
    "Unplaced",
    "UnplacedReason",
    "WorkerTable",
    "plan",
    "pose",
    "solve",
]
