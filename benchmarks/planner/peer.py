"""Kafka's UniformAssignor on the same worlds: a class is a topic, a stream a partition, a worker a subscribed member.

It knows plain counts only, so there is no variant `full`. Its jars come from wherever Maven is set up to fetch from;
they and the compiled harness are kept outside the repository, keyed by what they are made from.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.planner.lines import Times
from benchmarks.planner.worlds import Landscape, World
from devenv.surroundings import here

_SOURCES: Final = Path(__file__).parent / "kafka"
_TOOLS: Final = ("mvn", "javac", "java")
_WARM_UP_MS: Final = 3000
_FETCH_S: Final = 540
_JAVA: Final = ("-XX:ActiveProcessorCount=1", "-XX:+UseSerialGC", "-Xms3g", "-Xmx3g", "-Xmn2g", "-XX:+AlwaysPreTouch")
"""One core; room for everything that is allocated between two collections, which is the kindest to it."""


class MissingPeerError(Exception):
    """The peer cannot be run here; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    world: World
    target: Mapping[str, str]
    times: Times
    allocated: int
    """Bytes that one call of assign() takes from the heap, nothing collected meanwhile."""


def build() -> Path:
    """The folder with `jars/` and `classes/`, from the cache or built into it. Raises MissingPeerError."""
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        raise MissingPeerError(f"no {' and no '.join(missing)} on PATH; install a JDK 17 or newer and Maven")
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_SOURCES.iterdir()))).hexdigest()[:16]
    folder = here().cache_folder / "bench-planner" / digest
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="building-") as building:
        jars, made = Path(building, "jars"), Path(building, "made")
        # A copy, because Maven may write beside the file that it reads.
        pom = shutil.copy(_SOURCES / "pom.xml", building)
        _call("mvn", "-B", "-q", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={jars}")
        source = str(_SOURCES / "Peer.java")
        _call("javac", "-Xlint:all,-classfile,-processing", "-cp", f"{jars}/*", "-d", str(made / "classes"), source)
        jars.rename(made / "jars")
        try:
            made.rename(folder)
        except OSError:
            # Somebody else was faster.
            if not folder.is_dir():
                raise
    return folder


def run(folder: Path, land: Landscape, events: Sequence[str], runs: int) -> Iterator[tuple[str, Answer]]:
    """Each event's answer, in a JVM of its own. Raises MissingPeerError."""
    full = land.full()
    asked = list(events) if events[0] == "FULL" else ["FULL", *events]
    changed = {event: full if event == "FULL" else land.after(event, full, {}) for event in asked}
    lines = [f"RUNS {runs}", f"WARM_UP_MS {_WARM_UP_MS}", *_topics(land, full), *_members(land, full.candidates)]
    for event, world in changed.items():
        lines += [f"EVENT {event}", *_topics(land, world)]
        lines += [f"GONE {name}" for name in full.candidates if name not in world.candidates]
        lines += _members(land, {name: None for name in world.candidates if name not in full.candidates})
    command = ["java", *_JAVA, "-cp", os.pathsep.join((f"{folder}/classes", f"{folder}/jars/*")), "Peer"]
    text = _call(*command, given="\n".join(lines))
    first: Mapping[str, str] = {}
    for line in text.splitlines():
        said: dict[str, Any] = json.loads(line)
        event = said["event"]
        target = _target(land, changed[event], said["owners"])
        first = target if event == "FULL" else first
        world = full if event == "FULL" else land.after(event, full, first)
        if event in events:
            yield (
                event,
                Answer(
                    world=world, target=target, times=Times(said["ms"], said["cpu_ms"]), allocated=said["allocated"]
                ),
            )


def _topics(land: Landscape, world: World) -> list[str]:
    counts = Counter(land.stream_classes[: len(world.streams)])
    return ["TOPICS " + " ".join(str(counts[each]) for each in range(max(counts) + 1))]


def _members(land: Landscape, names: Mapping[str, object]) -> list[str]:
    """Members of class c subscribe to the topics 0 to c."""
    return [
        f"MEMBER {worker.name} {' '.join(map(str, range(its_class + 1)))}"
        for worker, its_class in zip(land.candidates, land.worker_classes, strict=True)
        if worker.name in names
    ]


def _target(land: Landscape, world: World, owners: Sequence[Sequence[int]]) -> dict[str, str]:
    """The n-th stream of a class is partition n of its topic."""
    partitions = [iter(each) for each in owners]
    target = {}
    for stream_id, its_class in zip(world.streams, land.stream_classes, strict=False):
        number = next(partitions[its_class])
        if number >= 0:
            target[stream_id] = land.candidates[number].name
    return target


def _call(*command: str, given: str = "") -> str:
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, timeout=_FETCH_S, env=os.environ
        )
    except subprocess.TimeoutExpired:
        raise MissingPeerError(f"{command[0]} did not end within {_FETCH_S} s") from None
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise MissingPeerError(f"{command[0]} failed: {' / '.join(words[:3])}")
    return done.stdout
