"""What may happen to a world: workers come, go, drain, grow, shrink and slow down; streams come and go.

Each change is a value, and `apply` answers the world after it. Nothing moves here: that is the planner's answer.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import count
from typing import Final, assert_never

from fingerv7.contract import FINGERPRINTING, MAX_STREAMS
from fingerv7.core.model import Stream
from fingerv7.core.planner.model import Candidate
from fingerv7.core.simulation.world import World
from fingerv7.core.size import stream_size

MAX_SCORE: Final = 200
MAX_ADDED: Final = 1_000_000


class ChangeError(ValueError):
    """The change cannot be understood or made; the message is a sentence that says what is accepted."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Workers by name, by pattern (`fingerv7-00*`) and by location."""

    names: tuple[str, ...] = ()
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Lose:
    """They are gone, and what they had needs another place."""

    workers: Selection


@dataclass(frozen=True, slots=True)
class Drain:
    """They give away what they have and get nothing; or, with `on` False, they take part again."""

    workers: Selection
    on: bool = True


@dataclass(frozen=True, slots=True)
class Join:
    """One worker of that name, or `number` new ones. What is None is as with `like`, or with most workers."""

    name: str | None = None
    number: int = 1
    like: str | None = None
    max_streams: int | None = None
    location: str | None = None
    capabilities: frozenset[str] | None = None
    score_percent: int | None = None


@dataclass(frozen=True, slots=True)
class Resize:
    """A capacity of `amount`, or one that differs by it, in streams or in percent."""

    workers: Selection
    amount: int
    relative: bool = False
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """Another performance score."""

    workers: Selection
    percent: int


@dataclass(frozen=True, slots=True)
class Add:
    """New streams, all alike."""

    number: int
    location: str = ""
    capabilities: frozenset[str] = frozenset()
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Remove:
    """Streams by id, or a number or share of all, spread evenly over their ids in order."""

    ids: tuple[str, ...] = ()
    number: int = 0
    percent: float = 0.0


Change = Lose | Drain | Join | Resize | Score | Add | Remove


def apply(world: World, change: Change) -> World:
    """The world after the change. Raises ChangeError for workers and streams that are not there."""
    match change:
        case Lose():
            gone = set(_select(world, change.workers))
            return replace(world, workers={n: w for n, w in world.workers.items() if n not in gone})
        case Drain():
            return _each(world, change.workers, lambda w: replace(w, keeps=not change.on, eligible=not change.on))
        case Resize():
            return _each(world, change.workers, lambda w: _resized(w, change))
        case Score():
            return _each(world, change.workers, lambda w: replace(w, score_percent=change.percent))
        case Join():
            return replace(world, workers={**world.workers, **{w.name: w for w in _joining(world, change)}})
        case Add():
            return replace(world, streams={**world.streams, **{s.id: s for s in _added(world, change)}})
        case Remove():
            gone = _removed(world, change)
            return replace(world, streams={i: s for i, s in world.streams.items() if i not in gone})
        case _:
            assert_never(change)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """What was probably meant, if it is a near miss."""
    lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return lower[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for a near miss, else nothing."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""


# --- workers ----------------------------------------------------------------------------------------------


def _select(world: World, selection: Selection) -> list[str]:
    chosen: dict[str, None] = {}
    for name in selection.names:
        if name in world.workers:
            chosen[name] = None
            continue
        found = [each for each in sorted(world.workers) if "*" in name and fnmatchcase(each, name)]
        if not found:
            raise ChangeError(f"there is no worker {name}{_known(name, world.workers)}")
        chosen.update(dict.fromkeys(found))
    if selection.location is not None:
        found = [name for name, worker in sorted(world.workers.items()) if worker.location == selection.location]
        if not found:
            locations = {worker.location for worker in world.workers.values()} - {""}
            raise ChangeError(f"no worker is in {selection.location}{_known(selection.location, locations)}")
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def _known(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    if near := did_you_mean(word, names):
        return near
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"; there {'is' if len(names) == 1 else 'are'} {shown}" if names else "; there is none"


def _each(world: World, selection: Selection, change: Callable[[Candidate], Candidate]) -> World:
    return replace(
        world, workers={**world.workers, **{n: change(world.workers[n]) for n in _select(world, selection)}}
    )


def _resized(worker: Candidate, change: Resize) -> Candidate:
    capacity = change.amount
    if change.relative:
        by = worker.max_streams * change.amount / 100 if change.percent else change.amount
        capacity = round(worker.max_streams + by)
    if not 1 <= capacity <= MAX_STREAMS:
        raise ChangeError(
            f"the capacity of {worker.name} would be {capacity}; from 1 to {MAX_STREAMS} streams are accepted"
        )
    changed = worker.capacity_changed or capacity != worker.max_streams
    return replace(worker, max_streams=capacity, capacity_changed=changed)


def _joining(world: World, change: Join) -> Iterator[Candidate]:
    if change.name is not None and change.name in world.workers:
        raise ChangeError(f"there is a worker {change.name} already; give the new one another name")
    if change.like is not None:
        pattern = world.workers[_select(world, Selection((change.like,)))[0]]
        model = Candidate(
            pattern.name,
            pattern.max_streams,
            pattern.capabilities,
            pattern.location,
            score_percent=pattern.score_percent,
        )
    else:
        model = _usual(world.workers)
    names = [change.name] if change.name is not None else _new_names(world.workers, change.like, change.number)
    wanted = model.capabilities if change.capabilities is None else change.capabilities | {FINGERPRINTING}
    for name in names:
        yield replace(
            model,
            name=name,
            max_streams=model.max_streams if change.max_streams is None else change.max_streams,
            location=model.location if change.location is None else change.location,
            capabilities=wanted,
            score_percent=model.score_percent if change.score_percent is None else change.score_percent,
        )


def _usual(workers: Mapping[str, Candidate]) -> Candidate:
    """The commonest capacity and capabilities, and the location that all have."""
    present = [workers[name] for name in sorted(workers)]
    if not present:
        return Candidate("", 50, frozenset({FINGERPRINTING}))
    locations = {worker.location for worker in present}
    return Candidate(
        "",
        Counter(worker.max_streams for worker in present).most_common(1)[0][0],
        Counter(worker.capabilities for worker in present).most_common(1)[0][0],
        locations.pop() if len(locations) == 1 else "",
    )


def _new_names(workers: Mapping[str, Candidate], like: str | None, number: int) -> Sequence[str]:
    """Numbered on: after fingerv7-008 comes fingerv7-009."""
    stem, digits = _numbered(like if like is not None else next(iter(sorted(workers)), "worker-0"))
    taken = [int(rest) for name in workers for known, rest in [_numbered(name)] if known == stem and rest]
    first = max(taken, default=0) + 1
    return [f"{stem}{n:0{len(digits)}d}" for n in range(first, first + number)]


def _numbered(name: str) -> tuple[str, str]:
    match = re.fullmatch(r"(.*?)([0-9]{1,9})", name)
    return (match[1], match[2]) if match else (f"{name}-", "")


# --- streams ----------------------------------------------------------------------------------------------


def _added(world: World, change: Add) -> Iterator[Stream]:
    free = (f"added-{n}" for n in count(1) if f"added-{n}" not in world.streams)
    for _ in range(change.number):
        stream_id = next(free)
        # A reserved name: nothing ever connects to it, and its size is that of an ordinary address.
        url = f"https://stream.example/{stream_id}/live.mp3"
        yield Stream(
            stream_id,
            url,
            weight=change.weight,
            location=change.location,
            capabilities=change.capabilities,
            size=stream_size(
                stream_id, url, weight=change.weight, location=change.location, capabilities=change.capabilities
            ),
        )


def _removed(world: World, change: Remove) -> set[str]:
    for stream_id in change.ids:
        if stream_id not in world.streams:
            raise ChangeError(f"there is no stream {stream_id}{did_you_mean(stream_id, world.streams)}")
    total = len(world.streams)
    number = round(total * change.percent / 100) if change.percent else change.number
    if number > total:
        raise ChangeError(f"there are {total} streams, of which {number} cannot be removed")
    ids = sorted(world.streams)
    return {*change.ids, *(ids[(2 * n + 1) * total // (2 * number)] for n in range(number))}
