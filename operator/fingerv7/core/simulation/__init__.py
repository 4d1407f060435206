"""What would happen if: a fleet and its streams as a value, changes to it, and the operator's answer to each.

Pure, and with the operator's own planner; the operator itself never uses it. The rooms:

- `world`: streams, workers and who has what;
- `changes`: what may happen to a world;
- `phrases`: the same in words, as people write them on a command line or in a file;
- `replay`: one event after the other, balanced as the operator balances.
"""

from __future__ import annotations

from fingerv7.core.simulation.changes import Change, ChangeError, apply
from fingerv7.core.simulation.phrases import parse
from fingerv7.core.simulation.replay import Event, Step, replay, timeline
from fingerv7.core.simulation.world import Holding, World, holdings, load_percent, owned_moves

__all__ = [
    "Change",
    "ChangeError",
    "Event",
    "Holding",
    "Step",
    "World",
    "apply",
    "holdings",
    "load_percent",
    "owned_moves",
    "parse",
    "replay",
    "timeline",
]
