"""Fleets and catalogs to plan for, and what happens to them: made up, and the same on every machine.

Variants:

- `count`: equal workers, streams that differ in nothing;
- `classes`: worker w has class w mod 5 and takes streams of class 0 to its own; of every 20 streams 10, 4, 3, 2 and 1
  have class 0 to 4;
- `full`: weights, four capacities, eight sets of capabilities and twelve locations, under the strategy Location. It
  has scores and sizes in bytes too, but that strategy looks at no scores, and bytes are nowhere what is short.

The workers are about two thirds full. In the event OVERLOAD nothing is assigned, and the streams weigh 1.2 times what
all workers together can take.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, TypeVar

from fingerv7.core.model import Stream
from fingerv7.core.planner.model import Candidate, Policy, Strategy
from fingerv7.core.size import stream_size

VARIANTS: Final = ("count", "classes", "full")
EVENTS: Final = ("FULL", "STABLE", "LEAVE_ONE", "LEAVE_MANY", "JOIN_ONE", "JOIN_MANY", "STREAMS_ADDED", "OVERLOAD")
SIZES: Final = ("100000x5000", "100000x100", "2131x8", "847x8")
COLUMNS: Final = ("id", "url", "name", "active", "metadata", "location", "weight", "capabilities")
MANY: Final = 0.1
"""Part of the workers that leave or join in the events that say MANY."""
ADDED: Final = 0.01
DEMAND: Final = 1.2
"""Of the capacity, in the event OVERLOAD."""

_SEED: Final = 20261122
_CLASSES: Final = (0,) * 10 + (1,) * 4 + (2,) * 3 + (3,) * 2 + (4,)
_BASE: Final = "audio_fingerprinting"
_OPTIONAL: Final = ("hls", "lossless", "tls_client_certificate")
_SETS: Final = tuple(
    frozenset(chosen) for count in range(len(_OPTIONAL) + 1) for chosen in combinations(_OPTIONAL, count)
)
_LOCATIONS: Final = tuple(f"site-{number:02}" for number in range(12))
_LOAD: Final = 0.7

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class World:
    """What a plan is asked for; `before` is the world from whose plan `current` comes."""

    streams: Mapping[str, Stream]
    candidates: Mapping[str, Candidate]
    current: Mapping[str, str]
    policy: Policy
    before: World | None = None


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """One variant in one size: everybody who is there, and after them everybody who may come."""

    variant: str
    stream_count: int
    worker_count: int
    streams: Sequence[Stream]
    stream_classes: Sequence[int]
    """By stream: the class that a worker needs at least. All 0 in the variant `count`; meaningless in `full`."""
    candidates: Sequence[Candidate]
    worker_classes: Sequence[int]
    leavers: Sequence[str]
    """In the order in which they leave; every stream can be taken by somebody else."""

    def full(self) -> World:
        """Nothing is assigned yet."""
        return World(
            streams={stream.id: stream for stream in self.streams[: self.stream_count]},
            candidates={worker.name: worker for worker in self.candidates[: self.worker_count]},
            current={},
            policy=Policy(strategy=Strategy.Location) if self.variant == "full" else Policy(),
        )

    def after(self, event: str, before: World, current: Mapping[str, str]) -> World:
        """The event has happened to `before`, which was planned as `current`."""
        if event == "OVERLOAD":
            return _overloaded(before)
        gone = frozenset(self.leavers[: self._many(event)] if event.startswith("LEAVE") else ())
        workers = self.worker_count + (self._many(event) if event.startswith("JOIN") else 0)
        streams = self.stream_count
        if event == "STREAMS_ADDED":
            streams = len(self.streams)
        return World(
            streams={stream.id: stream for stream in self.streams[:streams]},
            candidates={each.name: each for each in self.candidates[:workers] if each.name not in gone},
            current=dict(current),
            policy=_exactly_even(before.policy) if event.startswith("JOIN") else before.policy,
            before=before,
        )

    def _many(self, event: str) -> int:
        return _part(self.worker_count, MANY) if event.endswith("MANY") else 1


def read_size(text: str) -> tuple[int, int]:
    """`100000x5000` → streams, workers. Raises ValueError."""
    streams, by, workers = text.partition("x")
    if not by or not streams.isdigit() or not workers.isdigit() or not int(workers):
        raise ValueError(f"{text!r} is no size; write streams x workers, such as {SIZES[0]}")
    return int(streams), int(workers)


def landscape(variant: str, streams: int, workers: int) -> Landscape:
    all_streams, all_workers = streams + _part(streams, ADDED), workers + _part(workers, MANY)
    dice = random.Random(f"{_SEED}/{variant}/{streams}/{workers}")
    stream_classes, worker_classes = [0] * all_streams, [0] * all_workers
    if variant == "full":
        catalog = [_varied_stream(number, dice) for number in range(all_streams)]
        mean = sum(stream.weight for stream in catalog) / _LOAD / all_streams * streams / workers
        fleet = _varied_fleet(all_workers, mean, dice)
    else:
        if variant == "classes":
            stream_classes = [_CLASSES[number % len(_CLASSES)] for number in range(all_streams)]
            worker_classes = [number % 5 for number in range(all_workers)]
        catalog = [_plain_stream(number, each) for number, each in enumerate(stream_classes)]
        capacity = -(-streams * 3 // (workers * 2))
        fleet = [_plain_worker(number, capacity, each) for number, each in enumerate(worker_classes)]
    return Landscape(
        variant=variant,
        stream_count=streams,
        worker_count=workers,
        streams=catalog,
        stream_classes=stream_classes,
        candidates=fleet,
        worker_classes=worker_classes,
        leavers=_leavers(catalog, fleet[:workers], _part(workers, MANY), dice),
    )


def database_rows(streams: Sequence[Stream]) -> list[tuple[Any, ...]]:
    """The streams as asyncpg gives rows of `COLUMNS`: text as the stored bytes, arrays joined, jsonb as its text."""
    return [
        (
            stream.id.encode(),
            stream.url.encode(),
            stream.name.encode(),
            True,
            json.dumps(dict(stream.metadata)).encode(),
            stream.location.encode() or None,
            stream.weight,
            ",".join(sorted(stream.capabilities)).encode(),
        )
        for stream in streams
    ]


def _exactly_even(policy: Policy) -> Policy:
    """The balancing rules for the events of joining: what Kafka does always."""
    return dataclasses.replace(
        policy, imbalance_threshold_percent=0, max_stream_difference=0, max_moves_per_round_percent=100
    )


def _overloaded(world: World) -> World:
    """The same with workers too small for it."""
    weight = sum(stream.weight for stream in world.streams.values())
    part = weight / DEMAND / sum(worker.max_streams for worker in world.candidates.values())
    candidates = {
        name: dataclasses.replace(worker, max_streams=max(1, round(worker.max_streams * part)))
        for name, worker in world.candidates.items()
    }
    return dataclasses.replace(world, candidates=candidates)


def _part(count: int, part: float) -> int:
    return max(1, round(count * part))


# --- streams ----------------------------------------------------------------------------------------------


def _plain_stream(number: int, its_class: int) -> Stream:
    return _stream(number, capabilities=frozenset({_class_name(its_class)} if its_class else ()))


def _varied_stream(number: int, dice: random.Random) -> Stream:
    """Most need nothing special, one in 64 all three capabilities; locations are unevenly popular."""
    return _stream(
        number,
        weight=dice.choices((1, 2, 3, 4, 5), (85, 10, 3, 1, 1))[0],
        location=dice.choices(("", *_LOCATIONS), (1.3, *(0.3 + 1.4 * rank / 11 for rank in range(12))))[0],
        capabilities=frozenset(word for word in _OPTIONAL if dice.random() < 0.25),
        query="&token=" + "x" * dice.randrange(120) if dice.random() < 0.3 else "",
    )


def _stream(
    number: int,
    *,
    weight: int = 1,
    location: str = "",
    capabilities: frozenset[str] = frozenset(),
    query: str = "",
) -> Stream:
    stream_id = f"stream-{number:06}"
    url = f"https://radio-{number % 997}.example.org/live/{number}.mp3?bitrate=128{query}"
    name = f"Radio {number}"
    metadata = {"country": ("DE", "FR", "US", "BR", "JP")[number % 5], "codec": ("MP3", "AAC")[number % 2]}
    size = stream_size(
        stream_id, url, name, weight=weight, location=location, capabilities=capabilities, metadata=metadata
    )
    return Stream(stream_id, url, name, weight, location, capabilities, metadata, size)


# --- workers ----------------------------------------------------------------------------------------------


def _class_name(number: int) -> str:
    return f"class-{number}"


def _plain_worker(number: int, capacity: int, its_class: int) -> Candidate:
    capabilities = frozenset({_BASE, *(_class_name(each) for each in range(1, its_class + 1))})
    return Candidate(_name(number), capacity, capabilities)


def _varied_fleet(count: int, mean_capacity: float, dice: random.Random) -> list[Candidate]:
    """Capacities like 25, 50, 75 and 100; a third of the workers has every capability."""
    capacities = _dealt(count, dict.fromkeys((25, 50, 75, 100), 1.0), dice)
    capabilities = _dealt(count, {each: 0.7 ** len(each) * 0.3 ** (3 - len(each)) for each in reversed(_SETS)}, dice)
    locations = _dealt(count, dict.fromkeys(_LOCATIONS, 1.0), dice)
    return [
        Candidate(
            _name(number),
            round(mean_capacity * capacity / 62.5),
            chosen | {_BASE},
            location=location,
            score_percent=dice.randint(60, 140),
        )
        for number, (capacity, chosen, location) in enumerate(zip(capacities, capabilities, locations, strict=True))
    ]


def _dealt(count: int, parts: Mapping[T, float], dice: random.Random) -> list[T]:
    """Each value as often as its part says, also in a small fleet, in random order."""
    total, below = sum(parts.values()), 0.0
    dealt: list[T] = []
    for value, part in parts.items():
        below += part / total
        dealt += [value] * (round(below * count) - len(dealt))
    dice.shuffle(dealt)
    return dealt


def _name(number: int) -> str:
    return f"fingerv7-{number:05}"


def _leavers(
    streams: Sequence[Stream], fleet: Sequence[Candidate], count: int, dice: random.Random
) -> tuple[str, ...]:
    """Chosen by chance, but nobody who is the last that can take some stream."""
    capable = {
        needed: sum(needed <= worker.capabilities for worker in fleet)
        for needed in {stream.capabilities for stream in streams}
    }
    chosen: list[str] = []
    for worker in dice.sample(fleet, len(fleet)):
        concerned = [needed for needed in capable if needed <= worker.capabilities]
        if len(chosen) < count and all(capable[needed] > 1 for needed in concerned):
            chosen.append(worker.name)
            for needed in concerned:
                capable[needed] -= 1
    return tuple(chosen)
