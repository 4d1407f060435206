"""Worlds to plan for, drawn by Hypothesis or written down in one line, and what must hold of every plan of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import combinations, product
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from fingerv7.core.model import Stream
from fingerv7.core.planner import Candidate, Plan, Policy, Strategy, UnplacedReason, plan

# A long run searches anew: PLANNER_EXAMPLES=10000 pytest --timeout=0. The everyday one tries the same examples always,
# so that it fails for a change and never for luck.
law = settings(
    derandomize="PLANNER_EXAMPLES" not in os.environ,
    max_examples=int(os.environ.get("PLANNER_EXAMPLES", "100")),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

AUDIO = "audio_fingerprinting"


@dataclass(frozen=True, repr=False)
class World:
    streams: Mapping[str, Stream]
    candidates: Mapping[str, Candidate]
    current: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    def plan(self) -> Plan:
        return plan(self.streams, self.candidates, self.current, self.policy)

    def __repr__(self) -> str:
        """Only what is not as it always is."""
        return "\n".join(map(_brief, [*self.streams.values(), *self.candidates.values(), self.policy])) + (
            f"\n{dict(self.current)}\n"
        )

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """What Hypothesis prints."""
        printer.text(repr(self))

    def after(self, done: Plan) -> World:
        """The plan was carried out; what has no place is run by nobody, and it is nobody's turn to change worker."""
        return replace(self, current=dict(done.target), policy=replace(self.policy, rotate=()))


def _brief(value: Stream | Candidate | Policy) -> str:
    """A dataclass's fields that differ from their defaults."""
    told = [
        f for f in fields(value) if f.name != "url" and getattr(value, f.name) not in (f.default, frozenset(), {})
    ]
    return f"{type(value).__name__}({', '.join(f'{f.name}={getattr(value, f.name)!r}' for f in told)})"


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


# Strategies are made once, and a stream is one draw: making them anew for every value took most of a law's time.
SOME_CAPABILITIES = tuple(
    frozenset(some) for count in range(3) for some in combinations(("vpn", "hls", "aac"), count)
)
LOCATIONS = ("", "berlin", "paris")
STREAMS = tuple(f"s{i:04d}" for i in range(30))
WORKERS = tuple(f"w{i}" for i in range(6))

one_in_two, three_in_four = st.booleans(), st.sampled_from((True, True, True, False))
some_capabilities, location = st.sampled_from(SOME_CAPABILITIES), st.sampled_from(LOCATIONS)
capacity, large_capacity = st.integers(0, 12), st.integers(1, 12)
max_bytes, reserved_bytes = st.sampled_from((1_000_000, 1000, 500)), st.sampled_from((0, 0, 100))
reserved_weight = st.sampled_from((0, 0, 0, 2))
score = st.sampled_from((100, 100, 10, 50, 150, 900))
threshold, difference = st.sampled_from((0, 5, 15)), st.sampled_from((0, 1, 3))
moves, target_load = st.sampled_from((5, 30, 100)), st.sampled_from((100, 100, 80, 50))
number_of_workers, number_of_streams = st.integers(0, len(WORKERS)), st.integers(0, len(STREAMS))

some_stream = st.sampled_from(STREAMS[:6])
some_worker = st.sampled_from(WORKERS[:4])
pins = st.dictionaries(some_stream, some_worker, max_size=2)
excluded_streams = st.frozensets(some_stream, max_size=1)
excluded_workers = st.frozensets(some_worker, max_size=1)
excluded_pairs = st.frozensets(st.tuples(some_stream, some_worker), max_size=3)
turns = st.one_of(st.just(()), st.lists(st.sampled_from(STREAMS), max_size=4, unique=True).map(tuple))

unit_traits = st.sampled_from(
    [{"capabilities": also, "location": at} for also, at in product(SOME_CAPABILITIES, LOCATIONS)]
)
traits = st.sampled_from(
    [
        {"weight": weight, "size": size, "capabilities": also, "location": at}
        for weight, size, also, at in product((1, 1, 1, 2, 3, 7), (0, 100, 150, 400), SOME_CAPABILITIES, LOCATIONS)
    ]
)
# Who holds a stream, by how many workers there are.
owners = [st.sampled_from((*WORKERS[:count], *WORKERS[:count], None, "gone")) for count in range(len(WORKERS) + 1)]


def draw_policy(draw: st.DrawFn, strategies: Sequence[Strategy] = tuple(Strategy)) -> Policy:
    return Policy(
        imbalance_threshold_percent=draw(threshold),
        max_stream_difference=draw(difference),
        max_moves_per_round_percent=draw(moves),
        may_balance=draw(one_in_two),
        strategy=draw(st.sampled_from(strategies)),
        target_load_percent=draw(target_load),
        rotate=draw(turns),
    )


def draw_stream(draw: st.DrawFn, stream_id: str, *, plain: bool = False, unit: bool = False) -> Stream:
    return stream(stream_id) if plain else stream(stream_id, **draw(unit_traits if unit else traits))


def draw_worker(draw: st.DrawFn, name: str, *, plain: bool = False, unit: bool = False) -> Candidate:
    if plain:
        return worker(name, draw(large_capacity))
    return worker(
        name,
        draw(capacity),
        *draw(some_capabilities),
        location=draw(location),
        eligible=draw(three_in_four),
        keeps=draw(three_in_four),
        max_bytes=1_000_000 if unit else draw(max_bytes),
        reserved_weight=draw(reserved_weight),
        reserved_bytes=0 if unit else draw(reserved_bytes),
        score_percent=draw(score),
        capacity_changed=draw(one_in_two),
    )


def draw_rules(draw: st.DrawFn, policy: Policy) -> Policy:
    """The policy with pins and exclusions of the streams and workers that worlds are made of."""
    return replace(
        policy,
        pins=draw(pins),
        excluded_streams=draw(excluded_streams),
        excluded_workers=draw(excluded_workers),
        excluded_pairs=draw(excluded_pairs),
    )


policies = st.composite(draw_policy)


@st.composite
def worlds(
    draw: st.DrawFn,
    *,
    plain: bool = False,
    unit: bool = False,
    rules: bool | None = None,
    strategies: Sequence[Strategy] = tuple(Strategy),
) -> World:
    """`unit`: weights of one and bytes that never bind. `plain`: every worker can also take every stream. `rules`:
    pins and exclusions, or none; by default, none where it is plain.
    """
    names = WORKERS[: draw(number_of_workers)]
    candidates = {name: draw_worker(draw, name, plain=plain, unit=unit) for name in names}
    ids = STREAMS[: draw(number_of_streams)]
    catalog = {stream_id: draw_stream(draw, stream_id, plain=plain, unit=unit) for stream_id in ids}
    owner = owners[len(names)]
    current = {stream_id: name for stream_id in (*ids, "deleted") if (name := draw(owner))}
    policy = draw_policy(draw, strategies)
    if (rules or rules is None) and not plain and draw(one_in_two):
        policy = draw_rules(draw, policy)
    return World(catalog, candidates, current, policy)


def may_take(world: World, wanted: Stream, candidate: Candidate) -> bool:
    """Whether a stream may live there at all, room and eligibility apart."""
    policy = world.policy
    return (
        wanted.capabilities <= candidate.capabilities
        and wanted.id not in policy.excluded_streams
        and (wanted.id, candidate.name) not in policy.excluded_pairs
        and policy.pins.get(wanted.id, candidate.name) == candidate.name
    )


def is_open(world: World, candidate: Candidate) -> bool:
    return candidate.eligible and candidate.keeps and candidate.name not in world.policy.excluded_workers


def room(candidate: Candidate) -> int:
    return max(0, candidate.max_streams - candidate.reserved_weight)


def homes(world: World, wanted: Stream) -> list[str]:
    """Workers that may be given a stream, or have it and may keep it."""
    return [
        c.name
        for c in world.candidates.values()
        if may_take(world, wanted, c) and (is_open(world, c) or (c.keeps and world.current.get(wanted.id) == c.name))
    ]


def why_not(world: World, lost: Stream) -> UnplacedReason:
    """The reason that a stream without a place should have."""
    candidates = world.candidates.values()
    capable = [c for c in candidates if lost.capabilities <= c.capabilities]
    if any(may_take(world, lost, c) and is_open(world, c) for c in candidates):
        return UnplacedReason.NoCapacity
    if lost.id in world.policy.excluded_streams or any(c.eligible and c.keeps for c in capable):
        return UnplacedReason.Excluded
    if capable or not candidates:
        return UnplacedReason.NoEligibleWorker
    return UnplacedReason.NoCapableWorker


def check(world: World, done: Plan) -> None:
    """What must hold of every plan."""
    lost = {u.stream for u in done.unplaced}
    assert [u.stream for u in done.unplaced] == sorted(lost)
    assert done.target.keys() | lost == world.streams.keys()
    assert not done.target.keys() & lost
    moved = {m.stream: m.target for m in done.moves}
    assert len(moved) == len(done.moves)
    assert [m.stream for m in done.moves] == sorted(moved)
    assert all(m.source == world.current.get(m.stream) != m.target for m in done.moves)
    stayed = {s: w for s, w in world.current.items() if s in done.target and s not in moved}
    assert done.target == stayed | moved
    assert done.lower_bound <= done.owned_moves == live_moves(world, done)

    held: dict[str, list[Stream]] = {name: [] for name in world.candidates}
    for stream_id, name in done.target.items():
        held[name].append(world.streams[stream_id])
    spare: dict[str, tuple[int, int]] = {}
    for name, candidate in world.candidates.items():
        mine = held[name]
        weight = room(candidate) - sum(max(1, s.weight) for s in mine)
        size = max(0, candidate.max_bytes - candidate.reserved_bytes) - sum(s.size for s in mine)
        assert weight >= 0
        assert size >= 0
        spare[name] = weight, size
        assert all(may_take(world, s, candidate) for s in mine)
        if not candidate.keeps:
            assert not mine
        if not is_open(world, candidate):
            assert all(world.current.get(s.id) == name for s in mine)
    for u in done.unplaced:
        lost_one = world.streams[u.stream]
        assert u.reason == why_not(world, lost_one)
        assert not any(
            max(1, lost_one.weight) <= spare[name][0] and lost_one.size <= spare[name][1]
            for name in homes(world, lost_one)
        )


def live_moves(world: World, done: Plan) -> int:
    """Moves of streams whose owner is there and may keep what it has."""
    return sum(m.source in world.candidates and world.candidates[m.source].keeps for m in done.moves)


def most_placeable(world: World) -> int:
    """The largest number of streams of weight one that can have a place at once: a maximum flow, by scipy."""
    if not world.streams or not world.candidates:
        return 0
    place = {name: 1 + n for n, name in enumerate(world.candidates)}
    first, sink = 1 + len(place), 1 + len(place) + len(world.streams)
    edges = [(place[name], sink, room(c)) for name, c in world.candidates.items()]
    for n, wanted in enumerate(world.streams.values()):
        edges.append((0, first + n, 1))
        edges += [(first + n, place[name], 1) for name in homes(world, wanted)]
    rows, columns, bounds = np.array(edges, np.int32).T
    graph = csr_array((bounds, (rows, columns)), shape=(sink + 1, sink + 1), dtype=np.int32)
    return int(maximum_flow(graph, 0, sink).flow_value)


def fewest_moves(
    world: World,
    placed: Sequence[str],
    *,
    loads: Mapping[str, int] | None = None,
    whole: bool = False,
    where: Callable[[World, Stream], list[str]] = homes,
) -> int:
    """The least number of moves of streams with a live, keeping owner that give all these streams a place: a linear
    programme. For weights of one its matrix is totally unimodular, otherwise `whole` asks for a mixed-integer one.
    `loads`: the weight that each worker has in the end. `where` a stream may be.
    """
    pairs = [(n, name) for n, s in enumerate(placed) for name in where(world, world.streams[s])]
    if not pairs:
        return 0
    place = {name: n for n, name in enumerate(world.candidates)}
    owners = [world.current.get(s, "") for s in placed]
    costs = [
        float(owners[n] != name and owners[n] in world.candidates and world.candidates[owners[n]].keeps)
        for n, name in pairs
    ]
    columns, workers = np.arange(len(pairs)), [place[name] for _, name in pairs]
    shape = len(place), len(pairs)
    mine = [world.streams[placed[n]] for n, _ in pairs]
    weighs = csr_array(([float(s.weight) for s in mine], (workers, columns)), shape=shape)
    takes = csr_array(([float(s.size) for s in mine], (workers, columns)), shape=shape)
    once = csr_array((np.ones(len(pairs)), ([n for n, _ in pairs], columns)), shape=(len(placed), len(pairs)))
    most = [room(c) if loads is None else loads.get(c.name, 0) for c in world.candidates.values()]
    byte_room = [max(0, c.max_bytes - c.reserved_bytes) for c in world.candidates.values()]
    found = milp(
        costs,
        integrality=np.full(len(pairs), int(whole)),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(weighs, -np.inf if loads is None else most, most),
            LinearConstraint(takes, -np.inf, byte_room),
            LinearConstraint(once, 1, 1),
        ],
    )
    assert found.success, found.message
    return round(found.fun)
