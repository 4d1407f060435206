"""Streams, workers and who has what, at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fingerv7.core.model import Stream
from fingerv7.core.planner.model import Candidate, Move


@dataclass(frozen=True, slots=True)
class World:
    """What a plan is made of, without the policy."""

    streams: Mapping[str, Stream]
    workers: Mapping[str, Candidate]
    owners: Mapping[str, str]
    """Stream → worker; may name streams and workers that are not there any more."""


class Holding(NamedTuple):
    """What a worker has."""

    streams: int
    weight: int


_NOTHING = Holding(0, 0)


def holdings(streams: Mapping[str, Stream], owners: Mapping[str, str]) -> dict[str, Holding]:
    """By worker that has anything; owners of unknown streams do not count."""
    counts: dict[str, int] = {}
    weights: dict[str, int] = {}
    for stream_id, worker in owners.items():
        stream = streams.get(stream_id)
        if stream is not None:
            counts[worker] = counts.get(worker, 0) + 1
            weights[worker] = weights.get(worker, 0) + max(1, stream.weight)
    return {worker: Holding(count, weights[worker]) for worker, count in counts.items()}


def load_percent(worker: Candidate, holding: Holding | None) -> float:
    """Weight as a share of the capacity that is not reserved."""
    capacity = worker.max_streams - worker.reserved_weight
    weight = (holding or _NOTHING).weight
    if capacity <= 0:
        return 100.0 if weight else 0.0
    return 100 * weight / capacity


def owned_moves(moves: Iterable[Move], workers: Mapping[str, Candidate]) -> int:
    """Moves of streams that had a worker which could have kept them: what a plan's lower bound speaks of."""
    return sum(
        move.source is not None and (owner := workers.get(move.source)) is not None and owner.keeps for move in moves
    )
