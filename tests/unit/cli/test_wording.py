from __future__ import annotations

import json

import pytest

from fingerv7.api.conditions import Unassigned
from fingerv7.cli.evidence import duration
from fingerv7.cli.facts import Pool
from fingerv7.cli.verdict import State, Verdict
from fingerv7.cli.wording import WHY_UNASSIGNED, as_json, sentences


def test_a_stream_that_runs(judge, stored):
    assert sentences(judge((stored.worker(streams=["4711"]), stored.lease()))) == [
        "Stream 4711 is on worker w1, which confirmed that it runs it.",
        'w1 has it under token 0000000000000005-0000000042: "Radio One" https://radio.example/live',
        "w1 is assigned epoch 7 and has confirmed epoch 7",
        "w1: heard 3 s ago; phase Active; Ready=True (Active): heard in time",
    ]


def test_a_stream_that_is_being_stopped(judge, stored):
    assert sentences(judge((stored.worker(revoking=[("4711", 7)]), stored.lease(applied=6, age_s=40)))) == [
        "Stream 4711 is on no worker: it was taken from w1, which may still be running it.",
        "w1 lost it at epoch 7 and has confirmed epoch 6",
        "nobody else gets it before w1 confirms that epoch, is gone, or has been silent for 20s",
        "w1: heard 40 s ago, later than the 20 s that it has; phase Active; Ready=True (Active): heard in time",
    ]


@pytest.mark.parametrize("proof", [{"applied": 7}, {"applied": None, "released": True}])
def test_a_stream_that_was_stopped_is_about_to_move_on(judge, stored, proof):
    answer = sentences(judge((stored.worker(revoking=[("4711", 7)]), stored.lease(**proof))))[0]
    assert answer == "Stream 4711 was stopped by w1; the operator gives it on in a moment."


def test_a_worker_that_is_gone_is_not_waited_for(judge, stored):
    answer, *details = sentences(judge((stored.worker(streams=["4711"]), stored.lease(applied=None, released=True))))
    assert answer == "Stream 4711 is still assigned to worker w1, which is gone and runs nothing."
    assert "w1: its sidecar states that the worker is gone and runs nothing" in details


def test_both_holders_are_named(judge, stored):
    pair = [(stored.worker(name, streams=["4711"]), stored.lease(name)) for name in ("w1", "w2")]
    assert "in the assignments of w1 and w2" in sentences(judge(*pair))[0]


def test_what_holds_the_whole_pool_back_is_told(judge, stored):
    changed = stored.condition("SourceChanged", "True", "Shrunk", "11 of 12 streams vanished.")
    failed = stored.condition("SourceReachable", "False", "Timeout", "no answer in 10 s")
    text = "\n".join(sentences(judge(of=stored.pool(changed, failed))))
    assert "pool radio: SourceChanged=True (Shrunk): 11 of 12 streams vanished." in text
    assert "pool radio: SourceReachable=False (Timeout): no answer in 10 s" in text


def test_another_row_with_the_id_is_told_where_one_is_served(judge, stored):
    pool = stored.pool(quarantined=1, quarantinedExamples={"DuplicateId": ["4711"]})
    found = sentences(judge((stored.worker(streams=["4711"]), stored.lease()), of=pool))
    assert "another row with this id is not served (DuplicateId)" in found


def test_a_stream_of_a_deleted_pool_is_nobody_s_business(stored):
    held = stored.holders((stored.worker(streams=["4711"]), stored.lease()))
    verdict = Verdict("4711", "radio", Pool("radio", exists=False), held, State.RUNNING)
    assert "there is no StreamPool radio: nobody takes care of this stream" in sentences(verdict)


@pytest.mark.parametrize("reason", list(Unassigned))
def test_every_reason_is_explained(judge, stored, reason):
    pool = stored.pool(unassigned=1, unassignedExamples={str(reason): ["4711"]})
    assert WHY_UNASSIGNED[reason] in sentences(judge(of=pool))[0]


def test_a_newer_operator_s_reason_is_told_as_it_is(judge, stored):
    pool = stored.pool(unassigned=1, unassignedExamples={"MoonPhase": ["4711"]})
    assert sentences(judge(of=pool))[0] == "Stream 4711 is on no worker: MoonPhase."


@pytest.mark.parametrize("state", list(State))
def test_no_answer_shows_a_credential(stored, state):
    held = stored.holders((stored.worker(streams=["4711"]), stored.lease()))
    verdict = Verdict("4711", "radio", Pool("radio", streams=1), held, state, "Why")
    printed = json.dumps(as_json(verdict)) + "\n".join(sentences(verdict))
    assert "radio.example" in printed
    assert "hidden" not in printed


def test_json_says_the_same_to_a_program(judge, stored):
    shown = as_json(judge((stored.worker(revoking=[("4711", 7)]), stored.lease(applied=6))))
    assert (shown["state"], shown["ok"], shown["pool"]) == ("Stopping", False, "radio")
    assert shown["workers"][0] == {
        "name": "w1",
        "grant": None,
        "revokedAtEpoch": 7,
        "epoch": 7,
        "confirmedEpoch": 6,
        "released": False,
        "heartbeatAgeSeconds": 3.0,
        "phase": "Active",
        "ready": {"status": "True", "reason": "Active", "message": "heard in time"},
    }


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (2e5, "2 d")]
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text
