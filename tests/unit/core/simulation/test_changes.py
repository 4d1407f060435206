from __future__ import annotations

import pytest

from fingerv7.core.model import Stream
from fingerv7.core.planner.model import Candidate
from fingerv7.core.simulation import ChangeError, World, apply, parse

AUDIO = frozenset({"audio_fingerprinting"})


def worker(name, max_streams=50, location="", *more, **options):
    return Candidate(name, max_streams, AUDIO | set(more), location, **options)


@pytest.fixture
def world():
    workers = [worker("w-001", 50, "berlin"), worker("w-002", 50, "berlin"), worker("w-003", 80, "paris", "vpn")]
    streams = {f"s{n:02}": Stream(f"s{n:02}", "http://radio.example") for n in range(20)}
    return World(streams, {w.name: w for w in workers}, dict.fromkeys(streams, "w-001"))


def test_workers_are_lost_by_name_pattern_and_location(world):
    assert sorted(apply(world, parse("lose w-001")).workers) == ["w-002", "w-003"]
    assert sorted(apply(world, parse("lose w-00*")).workers) == []
    assert sorted(apply(world, parse("lose location=berlin")).workers) == ["w-003"]
    assert len(world.workers) == 3


def test_a_worker_drains_and_comes_back(world):
    drained = apply(world, parse("drain w-001"))
    assert (drained.workers["w-001"].keeps, drained.workers["w-001"].eligible) == (False, False)
    assert apply(drained, parse("undrain w-001")) == world


def test_a_new_worker_is_as_most_are(world):
    new = apply(world, parse("join w-9")).workers["w-9"]
    assert (new.max_streams, new.capabilities, new.location) == (50, AUDIO, "")


def test_new_workers_are_as_their_model_and_numbered_on(world):
    after = apply(world, parse("join 2 like w-003 location=rome"))
    assert sorted(after.workers) == ["w-001", "w-002", "w-003", "w-004", "w-005"]
    assert after.workers["w-004"] == worker("w-004", 80, "rome", "vpn")


def test_the_first_worker_of_all():
    after = apply(World({}, {}, {}), parse("join 2 maxStreams=10 capabilities=vpn"))
    assert after.workers == {
        "worker-1": worker("worker-1", 10, "", "vpn"),
        "worker-2": worker("worker-2", 10, "", "vpn"),
    }


@pytest.mark.parametrize(("to", "capacity"), [("30", 30), ("+10", 60), ("-10", 40), ("+10%", 55), ("-50%", 25)])
def test_a_capacity_changes_and_remembers_it(world, to, capacity):
    changed = apply(world, parse(f"capacity w-001 {to}")).workers["w-001"]
    assert (changed.max_streams, changed.capacity_changed) == (capacity, True)


def test_the_same_capacity_is_no_change(world):
    assert apply(world, parse("capacity w-001 50")) == world


def test_streams_come_with_the_size_of_real_ones(world):
    after = apply(apply(world, parse("add 3 streams location=rome weight=2")), parse("add 1 streams"))
    assert len(after.streams) == 24
    added = after.streams["added-1"]
    assert (added.location, added.weight) == ("rome", 2)
    assert 80 < added.size < 200
    assert after.streams["added-4"].weight == 1


def test_streams_go_evenly_over_their_ids(world):
    after = apply(world, parse("remove 20% streams"))
    assert sorted(world.streams.keys() - after.streams.keys()) == ["s02", "s07", "s12", "s17"]
    assert len(apply(world, parse("remove 20 streams")).streams) == 0
    assert len(apply(world, parse("remove s01 s02")).streams) == 18


@pytest.mark.parametrize(
    ("phrase", "sentence"),
    [
        ("lose w-004", "there is no worker w-004; did you mean w-00"),
        ("lose zebra", "there is no worker zebra; there are w-001, w-002, w-003"),
        ("lose z*", "there is no worker z*"),
        ("lose location=berlln", "no worker is in berlln; did you mean berlin?"),
        ("join w-001", "there is a worker w-001 already"),
        ("join 3 like w-009", "there is no worker w-009"),
        ("capacity w-001 -60", "the capacity of w-001 would be -10; from 1 to 1000 streams are accepted"),
        ("remove s99", "there is no stream s99"),
        ("remove 30 streams", "there are 20 streams, of which 30 cannot be removed"),
    ],
)
def test_what_cannot_be_is_refused(world, phrase, sentence):
    with pytest.raises(ChangeError) as error:
        apply(world, parse(phrase))
    assert sentence in str(error.value)
