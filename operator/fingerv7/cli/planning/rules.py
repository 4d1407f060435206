"""The balancing rules: the StreamPool's, the command line's, or the defaults."""

from __future__ import annotations

import re
from argparse import Namespace
from dataclasses import dataclass, replace
from typing import Any

from fingerv7.api.balancing import Balancing
from fingerv7.cli.errors import CliError
from fingerv7.contract import DURATION_PATTERN, parse_duration
from fingerv7.core.planner.model import Policy, Strategy
from fingerv7.runtime.rules import policy_of


@dataclass(frozen=True, slots=True)
class Rules:
    policy: Policy
    cooldown_ms: int


def from_balancing(balancing: Balancing) -> Rules:
    """`spec.balancing` as the operator hands it to the planner."""
    return Rules(policy_of(balancing), balancing.cooldown_ms)


def with_options(rules: Rules, given: Namespace) -> Rules:
    """What was said on the command line counts. Raises CliError."""
    changed: dict[str, Any] = {}
    if given.perfect:
        changed = {"imbalance_threshold_percent": 0, "max_stream_difference": 0, "max_moves_per_round_percent": 100}
    if given.strategy:
        changed["strategy"] = Strategy(given.strategy)
    names = (
        "imbalance_threshold_percent",
        "max_stream_difference",
        "max_moves_per_round_percent",
        "target_load_percent",
    )
    changed.update({name: getattr(given, name) for name in names if getattr(given, name) is not None})
    cooldown_ms = rules.cooldown_ms
    if given.cooldown is not None:
        if not re.fullmatch(DURATION_PATTERN, given.cooldown):
            raise CliError(
                f"--cooldown {given.cooldown} is no duration; write whole numbers with units, such as 300s"
            )
        cooldown_ms = parse_duration(given.cooldown)
    return Rules(replace(rules.policy, **changed), cooldown_ms)
