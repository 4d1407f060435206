"""Who should run what: a pure function from streams, workers and today's owners to a plan (section 7 of the design).

The goals, in order: place as much as can be placed; keep what is placed; stay within tolerance; prefer a stream's own
location; move as little as possible. `plan` does no I/O, reads no clock and gives the same answer whatever order its
inputs arrive in. The rooms behind it:

- `model`: the values that go in and come out;
- `round`: the order in which everything happens;
- `classes`, `fleet`: which workers can take which streams, and how full each of them is;
- `shares`: how much of the work is each worker's fair part, when capabilities tie some of it to some workers;
- `overflow`: what leaves over-full workers;
- `placement`, with `stock`, `chains`, `squeeze` and `gathering`: streams without a worker find one, at need by moving
  others aside;
- `balance`, with `leaving` and `evening`: streams move because the loads are uneven;
- `bound`: how few moves could have done.
"""

from __future__ import annotations

from fingerv7.core.planner.model import Candidate, Move, Plan, Policy, Trigger, Unplaced, UnplacedReason
from fingerv7.core.planner.round import plan

__all__ = ["Candidate", "Move", "Plan", "Policy", "Trigger", "Unplaced", "UnplacedReason", "plan"]
