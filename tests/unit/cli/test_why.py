from __future__ import annotations

import pytest

from fingerv7.cli.errors import CliError
from fingerv7.cli.facts import Pool
from fingerv7.cli.why import choose

A, B = Pool("a"), Pool("b", unassigned={"NoCapacity": ("4711",)})
BOTH = {"a": A, "b": B}


def test_the_only_pool_is_meant():
    assert choose("4711", "ns", {"a": A}, {}, None) is A


def test_the_pool_that_shows_the_stream_is_meant(stored):
    held = stored.holders((stored.worker(streams=["4711"]), None))
    assert choose("4711", "ns", BOTH, {}, None) is B
    assert choose("4711", "ns", {"a": A, "c": Pool("c")}, {"a": held, "c": []}, None) is A


def test_the_named_pool_is_meant():
    assert choose("4711", "ns", BOTH, {}, "a") is A


def test_a_pool_that_only_workers_speak_of_can_be_named():
    assert choose("4711", "ns", {}, {"gone": []}, "gone") == Pool("gone", exists=False)


@pytest.mark.parametrize(
    ("pools", "stream", "named", "sentence"),
    [
        ({}, "1", None, "there is no StreamPool in namespace ns; name another namespace with -n"),
        ({}, "1", "a", "there is no StreamPool a in namespace ns; there is none at all"),
        (BOTH, "1", "c", "there is no StreamPool c in namespace ns; there are a, b"),
        (BOTH, "1", None, "stream 1 may belong to the pools a, b; name one with --pool"),
        ({"b": B, "c": B}, "4711", None, "stream 4711 is in the pools b, c; name one with --pool"),
    ],
)
def test_what_cannot_be_chosen_is_asked_for(pools, stream, named, sentence):
    with pytest.raises(CliError) as refused:
        choose(stream, "ns", pools, {}, named)
    assert str(refused.value) == sentence
