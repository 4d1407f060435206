"""Who should run what: a pure function from streams, workers and today's owners to a plan (section 7 of the design).

The goals, in order: place as much as can be placed; keep what is placed; stay within tolerance; prefer a stream's own
location; move as little as possible. `plan` does no I/O, reads no clock and gives the same answer whatever order its
inputs arrive in. The rooms behind it:

- `model`: the values that go in and come out;
- `fleet`: which workers can take which streams, and how full each of them is;
- `shares`: how much of the work is each worker's fair part, when capabilities tie some of it to some workers;
- `placement`: streams without a worker find one, at need by moving others aside;
- `balance`: streams move because the loads are uneven;
- `round`: the order in which all of this happens.
"""

from __future__ import annotations

from fingerv7.core.planner.model import Candidate, Move, Plan, Policy, Trigger, Unplaced, UnplacedReason
from fingerv7.core.planner.round import plan

__all__ = ["Candidate", "Move", "Plan", "Policy", "Trigger", "Unplaced", "UnplacedReason", "plan"]
