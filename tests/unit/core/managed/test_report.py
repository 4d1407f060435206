"""What is shown of a fleet: one reason and a sentence, whatever troubles its workers have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingerv7.api.pool_status import StreamPoolStatus
from fingerv7.core.managed.model import (
    Problem,
    Waiting,
)
from fingerv7.core.managed.report import NOTHING, as_stored, report
from fingerv7.core.status import dated

from .small_fleet import OLD, a_pod, look, member, three, wanted


@pytest.mark.parametrize(
    ("members", "want", "changes", "reason", "words"),
    [
        (three(), wanted(), {}, "AsWanted", "3 of 3 workers in service"),
        (
            [*three()[:2], member(3, alive=False, drain=True)],
            wanted(),
            {},
            "AsWanted",
            "2 of 3 workers in service; radio-003 drained by its spec.drain",
        ),
        ([], wanted(), {}, "Starting", "workers are being made"),
        ([*three()[:2], member(3, alive=False)], wanted(), {}, "Starting", "waiting for radio-003"),
        (three(streams=1), wanted(replicas=2), {}, "ScalingDown", "1 worker drained"),
        (
            [member(1, pod=a_pod(1, revision=OLD)), member(2)],
            wanted(replicas=2),
            {},
            "RollingOut",
            "1 pod to be replaced",
        ),
        (
            [member(1, pod=None)],
            wanted(replicas=1),
            {"refused": {"radio-001": Problem("QuotaExceeded", "exceeded quota: pods", "radio-001")}},
            "QuotaExceeded",
            "radio-001: exceeded quota: pods",
        ),
        (
            [],
            wanted(revision=""),
            {"blocked": Problem("SidecarImageMissing", "name the sidecar's image")},
            "SidecarImageMissing",
            "name the sidecar's image",
        ),
    ],
)
def test_one_reason_and_a_sentence(members, want, changes, reason, words):
    crew, plan = look(members, want, **changes)
    if reason == "ScalingDown":
        crew, plan = look([*members[:2], member(3, drain_for="ScaleDown", streams=1)], want)
    condition = report(crew, plan).condition
    assert condition.reason == reason
    assert condition.status == (reason == "AsWanted")
    assert words in condition.message


def test_the_trouble_that_most_workers_have_comes_first_and_each_is_told():
    def waits(number, reason, message):
        return member(
            number, pod=a_pod(number, ready=False, waiting=(Waiting("fingerv7", reason, message),)), alive=False
        )

    members = [
        waits(1, "CreateContainerConfigError", 'secret "vpn-001" not found'),
        *(waits(n, "ImagePullBackOff", "no such image") for n in (2, 3, 4, 5)),
    ]
    shown = report(*look(members, wanted(replicas=5)))
    assert shown.condition.reason == "ImagePullFailed"
    assert "radio-002, radio-003, radio-004 and 1 more: container fingerv7" in shown.condition.message
    assert shown.condition.message.endswith("; also SecretMissing")
    assert [str(reason) for reason, _ in shown.troubles] == ["ImagePullFailed", "SecretMissing"]


def test_a_rollout_that_stopped_says_what_its_pod_waits_for():
    waits = (Waiting("fingerv7", "ImagePullBackOff", 'Back-off pulling image "radio/fingerv7:7.5"'),)
    late = member(1, pod=a_pod(1, ready=False, waiting=waits, age_s=700.0), alive=False, drain_for="Rollout")
    crew, plan = look([late, member(2, pod=a_pod(2, revision=OLD))], wanted(replicas=2))
    condition = report(crew, plan).condition
    assert condition.reason == "RolloutStopped"
    assert (
        "the new pod of radio-001 crashes, or is not in service after 600 s (container fingerv7: ImagePullBackOff: "
        'Back-off pulling image "radio/fingerv7:7.5"); 1 worker keep'
    ) in condition.message


def test_a_new_leader_shows_what_is_there_until_it_knows_better():
    shown = report(*look([member(1), member(2, pod=None), member(3)]))
    (condition,) = dated([shown.condition], [], generation=3, now="2026-01-02T03:04:05Z")
    status = StreamPoolStatus.parse({"conditions": [condition], **shown.fields})
    assert as_stored(status) == replace(shown, troubles=())
    assert as_stored(StreamPoolStatus()) == NOTHING


def test_what_hinders_a_step_is_told_whatever_the_pod():
    forbidden = {"radio-001": Problem("OperatorForbidden", "cannot delete pods", "radio-001")}
    for members, want in ((three(), wanted()), (three(drain_for="ScaleDown"), None)):
        condition = report(*look(members, want, hindered=forbidden)).condition
        assert (condition.status, condition.reason) == (False, "OperatorForbidden")
        assert "radio-001: cannot delete pods" in condition.message


def test_what_a_pod_lacks_without_saying_so():
    silent = member(2, pod=a_pod(2, ready=False, phase="Pending"), alive=False)
    lacks = {"pod-radio-002": Problem("SecretMissing", "its volume vpn needs Secret vpn-002", "radio-002")}
    shown = report(*look([member(1), silent, member(3)], lacking=lacks))
    assert shown.condition.reason == "SecretMissing"
    assert "radio-002: its volume vpn needs Secret vpn-002" in shown.condition.message
    well = report(*look([member(1), member(2), member(3)], lacking=lacks))
    assert well.condition.reason == "AsWanted"


def test_counts():
    members = [member(1), member(2, pod=a_pod(2, revision=OLD)), member(3, pod=None)]
    assert report(*look(members)).fields == {
        "replicas": 3,
        "readyReplicas": 2,
        "updatedReplicas": 1,
        "desiredReplicas": 3,
        "selector": "fingerv7.io/pool=radio,fingerv7.io/managed=true",
    }
    nothing = report(*look([], None))
    assert nothing.condition is None
    assert set(nothing.fields.values()) == {None}
