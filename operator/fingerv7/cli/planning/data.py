"""Plans and replays as JSON or YAML, for programs: everything, nothing shortened, and no URL."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from fingerv7.cli.planning.outcome import Given, Outcome
from fingerv7.cli.planning.rules import Rules
from fingerv7.contract import format_duration
from fingerv7.core.planner.model import Explanation, Move, Unplaced
from fingerv7.core.simulation import Step

Json = dict[str, Any]

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def dump(document: Json, output: str) -> str:
    """`output` is json or yaml."""
    if output == "json":
        return json.dumps(document, indent=2, ensure_ascii=False)
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=118)
    return text.rstrip("\n")


def plan_data(outcome: Outcome, given: Given, rules: Rules, explanations: Sequence[Explanation]) -> Json:
    plan, following = outcome.plan, outcome.following()
    return {
        "streams": _streams(given),
        "changes": list(outcome.changes),
        "balancing": _balancing(rules),
        "notes": list(given.notes),
        "totals": {
            "moves": len(plan.moves),
            "triggers": _sorted(outcome.triggers),
            "ownedMoves": outcome.owned_moves,
            "lowerBound": plan.lower_bound,
            "stopped": outcome.stopped,
            "unplaced": len(plan.unplaced),
            "unplacedReasons": _sorted(outcome.reasons),
            "imbalanceBeforePercent": round(plan.imbalance_before_percent, 2),
            "imbalanceAfterPercent": round(plan.imbalance_after_percent, 2),
            "balanced": plan.balanced,
        },
        "following": None
        if following is None
        else {
            "rounds": following.rounds,
            "moves": following.moves,
            "imbalancePercent": round(following.imbalance_percent, 2),
            "complete": following.complete,
        },
        "workers": [
            {
                "name": row.name,
                "location": row.location or None,
                "state": row.state or None,
                "capacityBefore": row.capacity_before,
                "capacity": row.capacity if row.state != "lost" else None,
                "streamsBefore": row.streams_before,
                "streams": row.streams,
                "loadBeforePercent": round(row.load_before, 2),
                "loadPercent": round(row.load, 2),
                "gained": row.gained,
                "lost": row.lost,
            }
            for row in outcome.rows()
        ],
        "moves": [{**_move(move), "reason": outcome.why(move)} for move in plan.moves],
        "unplaced": [_unplaced(each) for each in plan.unplaced],
        "explanations": [_explanation(each) for each in explanations],
    }


def replay_data(steps: Sequence[Step], given: Given, rules: Rules, changes: Sequence[str]) -> Json:
    return {
        "streams": _streams(given),
        "changes": list(changes),
        "balancing": _balancing(rules),
        "notes": list(given.notes),
        "steps": [
            {
                "at": format_duration(step.at_ms),
                "atMilliseconds": step.at_ms,
                "events": list(step.events),
                "streams": step.streams,
                "totals": {
                    "moves": len(step.moves),
                    "triggers": _sorted(step.triggers),
                    "ownedMoves": step.owned_moves,
                    "lowerBound": step.lower_bound,
                    "unplaced": len(step.unplaced),
                    "unplacedReasons": _sorted(step.reasons),
                    "imbalanceBeforePercent": round(step.imbalance_before_percent, 2),
                    "imbalanceAfterPercent": round(step.imbalance_after_percent, 2),
                    "balanced": step.balanced,
                },
                "loadPercent": {name: round(load, 2) for name, load in step.loads.items()},
                "moves": [_move(move) for move in step.moves],
                "unplaced": [_unplaced(each) for each in step.unplaced],
            }
            for step in steps
        ],
    }


def _streams(given: Given) -> Json:
    snapshot = given.snapshot
    return {
        "from": given.streams,
        "served": len(snapshot.streams),
        "inactive": snapshot.inactive,
        "duplicateUrls": snapshot.duplicate_urls,
        "quarantined": _sorted(Counter(row.reason for row in snapshot.quarantined)),
        "quarantinedRows": [
            {"id": row.id, "reason": row.reason, "message": row.message} for row in snapshot.quarantined
        ],
    }


def _balancing(rules: Rules) -> Json:
    policy = rules.policy
    return {
        "strategy": str(policy.strategy),
        "imbalanceThresholdPercent": policy.imbalance_threshold_percent,
        "maxStreamDifference": policy.max_stream_difference,
        "maxMovesPerRoundPercent": policy.max_moves_per_round_percent,
        "targetLoadPercent": policy.target_load_percent,
        "cooldown": format_duration(rules.cooldown_ms),
    }


def _move(move: Move) -> Json:
    return {"stream": move.stream, "from": move.source, "to": move.target, "trigger": str(move.trigger)}


def _unplaced(unplaced: Unplaced) -> Json:
    return {"stream": unplaced.stream, "reason": str(unplaced.reason)}


def _explanation(explanation: Explanation) -> Json:
    return {
        "stream": explanation.stream,
        "worker": explanation.worker,
        "why": explanation.why,
        "alternatives": [{"worker": each.worker, "whyNot": each.why_not} for each in explanation.alternatives],
    }


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))
