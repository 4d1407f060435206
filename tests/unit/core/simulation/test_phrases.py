from __future__ import annotations

import pytest

from fingerv7.core.simulation.changes import (
    Add,
    ChangeError,
    Drain,
    Join,
    Lose,
    Remove,
    Resize,
    Score,
    Selection,
)
from fingerv7.core.simulation.phrases import Drift, parse, parse_event

W1 = Selection(("w1",))


@pytest.mark.parametrize(
    ("phrase", "change"),
    [
        ("lose w1", Lose(W1)),
        ("Leave w1", Lose(W1)),
        ("lose w1 w2", Lose(Selection(("w1", "w2")))),
        ("lose w1,w2", Lose(Selection(("w1", "w2")))),
        ("lose w1, w2", Lose(Selection(("w1", "w2")))),
        ("lose location=berlin", Lose(Selection((), "berlin"))),
        ("drain w-0*", Drain(Selection(("w-0*",)))),
        ("undrain w1", Drain(W1, on=False)),
        ("join w9", Join("w9")),
        (
            "join w9 maxStreams=50 location=paris capabilities=vpn,hd score=80",
            Join("w9", max_streams=50, location="paris", capabilities=frozenset({"vpn", "hd"}), score_percent=80),
        ),
        ("join w9 maxstreams=50", Join("w9", max_streams=50)),
        ("join 5 like w1", Join(number=5, like="w1")),
        ("join 5 workers like w1 location=rome", Join(number=5, like="w1", location="rome")),
        ("join 5", Join(number=5)),
        ("capacity w1 30", Resize(W1, 30)),
        ("capacity w1 +10", Resize(W1, 10, relative=True)),
        ("capacity w1 w2 -10%", Resize(Selection(("w1", "w2")), -10, relative=True, percent=True)),
        ("capacity location=rome +10%", Resize(Selection((), "rome"), 10, relative=True, percent=True)),
        ("score w1 60", Score(W1, 60)),
        ("score w1 60%", Score(W1, 60)),
        ("add 100 streams", Add(100)),
        (
            "add 100 streams location=paris capabilities=vpn;hd weight=3",
            Add(100, "paris", frozenset({"vpn", "hd"}), 3),
        ),
        ("remove 4711", Remove(ids=("4711",))),
        ("remove a b", Remove(ids=("a", "b"))),
        ("remove 10 streams", Remove(number=10)),
        ("remove 10 % streams", Remove(percent=10)),
        ("remove 10% streams", Remove(percent=10)),
        ("remove 2.5%", Remove(percent=2.5)),
    ],
)
def test_what_is_understood(phrase, change):
    assert parse(phrase) == change


@pytest.mark.parametrize(
    ("phrase", "sentence"),
    [
        ("", "a change is empty; accepted are: lose WORKER…"),
        ("loose w1", "'loose w1' is no change; did you mean lose WORKER…?"),
        ("xyzzy", "'xyzzy' is no change; accepted are: lose WORKER…"),
        ("lose", "'lose': no worker is named; write lose WORKER…; WORKER is a name, a pattern"),
        ("lose w1 place=x", "'lose w1 place=x': place= means nothing here; accepted are location"),
        ("join w9 maxStream=5", "'join w9 maxStream=5': maxStream= means nothing here; did you mean maxStreams?"),
        ("join w9 maxStreams=0", "maxStreams is 0, and not a whole number from 1 to 1000; write join NAME"),
        ("join", "'join': that is not one name, or one number; write join NAME"),
        ("capacity w1", "'capacity w1': no capacity is given; write capacity WORKER… 30, +10 or +10%"),
        ("capacity w1 50%", "'capacity w1 50%': 50% is no capacity; write capacity"),
        ("capacity w1 2000", "the capacity is 2000, and not a whole number from 1 to 1000"),
        ("capacity 30", "no worker is named; write capacity WORKER"),
        ("score w1 500", "the score is 500, and not a whole number from 1 to 200"),
        ("score w1 100..60 over 30m", "takes time; write score WORKER… 60 here, or put it into a scenario"),
        ("add streams", "the number of streams is streams, and not a whole number from 1 to 1000000; write add"),
        ("add 3 fat streams", "that is not one number of streams"),
        ("remove", "'remove': no stream is named; write remove STREAM…"),
        ("remove 0% streams", "0 % is not more than nothing"),
    ],
)
def test_what_is_not_understood_is_told_with_what_is_accepted(phrase, sentence):
    with pytest.raises(ChangeError) as error:
        parse(phrase)
    assert sentence in str(error.value)


def test_a_score_drifts_in_steps_to_its_end():
    drift = parse_event("score w1 100..60 over 30m")
    assert isinstance(drift, Drift)
    steps = list(drift.steps())
    assert steps[0] == (0, Score(W1, 100))
    assert steps[1] == (180_000, Score(W1, 96))
    assert steps[-1] == (1_800_000, Score(W1, 60))


def test_a_drift_needs_a_duration():
    with pytest.raises(ChangeError, match="'soon' is not a duration"):
        parse_event("score w1 100..60 over soon")
