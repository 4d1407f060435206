"""Worlds to plan for, drawn by Hypothesis or written down in one line, and what must hold of every plan of them."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st

from fingerv7.core.model import Stream
from fingerv7.core.planner import Candidate, Plan, Policy, UnplacedReason, plan

# A long run: PLANNER_EXAMPLES=10000.
law = settings(max_examples=int(os.environ.get("PLANNER_EXAMPLES", "100")), deadline=None, database=None)

AUDIO = "audio_fingerprinting"


@dataclass(frozen=True)
class World:
    streams: Mapping[str, Stream]
    candidates: Mapping[str, Candidate]
    current: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    def plan(self) -> Plan:
        return plan(self.streams, self.candidates, self.current, self.policy)

    def after(self, done: Plan) -> World:
        """The plan was carried out; what has no place is run by nobody."""
        return replace(self, current=dict(done.target))


def stream(id: str, **traits: object) -> Stream:  # noqa: A002 - the field's name
    return Stream(id=id, url=f"http://radio.example/{id}", **traits)  # type: ignore[arg-type]


def streams(count: int, **traits: object) -> dict[str, Stream]:
    return {f"s{i:04d}": stream(f"s{i:04d}", **traits) for i in range(count)}


def worker(name: str, max_streams: int, *also: str, **traits: object) -> Candidate:
    return Candidate(name, max_streams, frozenset({AUDIO, *also}), **traits)  # type: ignore[arg-type]


def fleet(*capacities: int) -> dict[str, Candidate]:
    return {f"w{i}": worker(f"w{i}", capacity) for i, capacity in enumerate(capacities)}


def named(*workers: Candidate) -> dict[str, Candidate]:
    return {w.name: w for w in workers}


def held(*counts: int) -> dict[str, str]:
    """The first so many streams on w0, the next on w1, and so on."""
    owners = [f"w{i}" for i, count in enumerate(counts) for _ in range(count)]
    return {f"s{i:04d}": owner for i, owner in enumerate(owners)}


def counts(done: Plan) -> dict[str, int]:
    return dict(Counter(done.target.values()))


capability_sets = st.frozensets(st.sampled_from(["vpn", "hls", "aac"]), max_size=2)
locations = st.sampled_from(["", "berlin", "paris"])
policies = st.builds(
    Policy,
    imbalance_threshold_percent=st.sampled_from([0, 5, 15]),
    max_stream_difference=st.sampled_from([0, 1, 3]),
    max_moves_per_round_percent=st.sampled_from([5, 30, 100]),
    may_balance=st.booleans(),
)


@st.composite
def any_stream(draw: st.DrawFn, stream_id: str, *, plain: bool = False, unit: bool = False) -> Stream:
    if plain:
        return stream(stream_id)
    return stream(
        stream_id,
        weight=1 if unit else draw(st.sampled_from([1, 1, 1, 2, 3, 7])),
        size=0 if unit else draw(st.sampled_from([0, 100, 150, 400])),
        location=draw(locations),
        capabilities=draw(capability_sets),
    )


@st.composite
def any_worker(draw: st.DrawFn, name: str, *, plain: bool = False, unit: bool = False) -> Candidate:
    if plain:
        return worker(name, draw(st.integers(1, 12)))
    return worker(
        name,
        draw(st.integers(0, 12)),
        *draw(capability_sets),
        location=draw(locations),
        eligible=draw(st.sampled_from([True, True, True, False])),
        keeps=draw(st.sampled_from([True, True, True, False])),
        max_bytes=1_000_000 if unit else draw(st.sampled_from([1_000_000, 1000, 500])),
        reserved_weight=draw(st.sampled_from([0, 0, 0, 2])),
        reserved_bytes=0 if unit else draw(st.sampled_from([0, 0, 100])),
    )


@st.composite
def worlds(draw: st.DrawFn, *, plain: bool = False, unit: bool = False) -> World:
    """`unit`: weights of one and bytes that never bind. `plain`: every worker can also take every stream."""
    candidates = {f"w{i}": draw(any_worker(f"w{i}", plain=plain, unit=unit)) for i in range(draw(st.integers(0, 6)))}
    catalog = {
        f"s{i:04d}": draw(any_stream(f"s{i:04d}", plain=plain, unit=unit)) for i in range(draw(st.integers(0, 30)))
    }
    owner = st.sampled_from([*candidates, *candidates, None, "gone"])
    current = {stream_id: name for stream_id in [*catalog, "deleted"] if (name := draw(owner))}
    return World(catalog, candidates, current, draw(policies))


def check(world: World, done: Plan) -> None:
    """What must hold of every plan."""
    lost = {u.stream for u in done.unplaced}
    assert done.target.keys() | lost == world.streams.keys()
    assert not done.target.keys() & lost
    moved = {m.stream: m.target for m in done.moves}
    assert len(moved) == len(done.moves)
    assert [m.stream for m in done.moves] == sorted(moved)
    assert all(m.source == world.current.get(m.stream) != m.target for m in done.moves)
    stayed = {s: w for s, w in world.current.items() if s in done.target and s not in moved}
    assert done.target == stayed | moved

    for name, candidate in world.candidates.items():
        mine = [world.streams[s] for s, w in done.target.items() if w == name]
        assert sum(s.weight for s in mine) <= max(0, candidate.max_streams - candidate.reserved_weight)
        assert sum(s.size for s in mine) <= max(0, candidate.max_bytes - candidate.reserved_bytes)
        assert all(s.capabilities <= candidate.capabilities for s in mine)
        if not candidate.keeps:
            assert not mine
        if not candidate.eligible:
            assert all(world.current.get(s.id) == name for s in mine)
    for u in done.unplaced:
        capable = [c for c in world.candidates.values() if world.streams[u.stream].capabilities <= c.capabilities]
        eligible = [c for c in capable if c.eligible and c.keeps]
        assert not any(has_room(world, done, world.streams[u.stream], c) for c in eligible)
        if eligible:
            assert u.reason == UnplacedReason.NoCapacity
        elif capable or not world.candidates:
            assert u.reason == UnplacedReason.NoEligibleWorker
        else:
            assert u.reason == UnplacedReason.NoCapableWorker


def has_room(world: World, done: Plan, wanted: Stream, candidate: Candidate) -> bool:
    mine = [world.streams[s] for s, w in done.target.items() if w == candidate.name]
    weight = sum(s.weight for s in mine) + wanted.weight + candidate.reserved_weight
    size = sum(s.size for s in mine) + wanted.size + candidate.reserved_bytes
    return weight <= candidate.max_streams and size <= candidate.max_bytes


def most_placeable(world: World) -> int:
    """The largest number of streams of weight one that can have a place at once: bipartite matching, stream by
    stream (D. Kőnig, H. Kuhn)."""
    room = {name: max(0, c.max_streams - c.reserved_weight) for name, c in world.candidates.items()}
    homes = {
        s.id: [
            c.name
            for c in world.candidates.values()
            if c.keeps and s.capabilities <= c.capabilities and (c.eligible or world.current.get(s.id) == c.name)
        ]
        for s in world.streams.values()
    }
    holds: dict[str, list[str]] = {name: [] for name in world.candidates}
    return sum(_augment(stream_id, homes, room, holds) for stream_id in homes)


def _augment(
    start: str, homes: Mapping[str, list[str]], room: Mapping[str, int], holds: dict[str, list[str]]
) -> bool:
    reached: dict[str, str] = {}
    queue = deque([start])
    while queue:
        stream_id = queue.popleft()
        for name in homes[stream_id]:
            if name in reached:
                continue
            reached[name] = stream_id
            if len(holds[name]) < room[name]:
                _shift(name, start, reached, holds)
                return True
            queue.extend(holds[name])
    return False


def _shift(name: str, start: str, reached: Mapping[str, str], holds: dict[str, list[str]]) -> None:
    while True:
        stream_id = reached[name]
        before = next((w for w, ids in holds.items() if stream_id in ids), None)
        holds[name].append(stream_id)
        if before is None:
            assert stream_id == start
            return
        holds[before].remove(stream_id)
        name = before
