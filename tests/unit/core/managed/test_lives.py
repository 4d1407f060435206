from __future__ import annotations

import pytest

from fingerv7.core.managed.lives import Attempts, trouble, was_well
from fingerv7.core.managed.model import Waiting

from .small_fleet import NOW, a_pod, member


def what(pod, **changes):
    found = trouble(member(pod=pod), **{"wall_s": NOW, "progress_s": 600.0, **changes})
    return (str(found.reason), found.message) if found else ("", "")


@pytest.mark.parametrize(
    ("reason", "message", "problem"),
    [
        ("ImagePullBackOff", 'Back-off pulling image "x"', "ImagePullFailed"),
        ("ErrImagePull", "not found", "ImagePullFailed"),
        ("InvalidImageName", "", "ImagePullFailed"),
        ("CrashLoopBackOff", "back-off 5m0s restarting", "Crashing"),
        ("CreateContainerConfigError", 'secret "vpn-003" not found', "SecretMissing"),
        ("CreateContainerConfigError", "couldn't find key user in Secret music/vpn-003", "SecretMissing"),
        ("CreateContainerConfigError", 'configmap "worker" not found', "ConfigMapMissing"),
        ("CreateContainerConfigError", "container has runAsNonRoot and image will run as root", "ContainerInvalid"),
        ("ContainerCreating", "", ""),
        ("PodInitializing", "", ""),
    ],
)
def test_a_container_that_waits_says_what_is_wrong(reason, message, problem):
    pod = a_pod(ready=False, phase="Pending", age_s=5, waiting=(Waiting("fingerv7", reason, message),))
    found, words = what(pod)
    assert found == problem
    assert not problem or message in words


@pytest.mark.parametrize(
    ("pod", "problem", "words"),
    [
        (a_pod(), "", ""),
        (a_pod(ready=False, age_s=5), "", ""),
        (a_pod(ready=False, age_s=601), "NotStarting", "not ready since 601 s: phase Running"),
        (a_pod(ready=False, unschedulable="0/3 nodes are available"), "Unschedulable", "0/3 nodes are available"),
        (
            a_pod(phase="Failed", ready=False, reason="Evicted", message="low on memory"),
            "PodEnded",
            "Evicted: low on memory",
        ),
        (a_pod(gone_by_s=NOW + 30), "", ""),
        (a_pod(gone_by_s=NOW - 61), "PodStuck", "does its node answer?"),
        (None, "", ""),
    ],
)
def test_what_is_wrong_with_a_pod(pod, problem, words):
    found, message = what(pod)
    assert found == problem
    assert words in message


def test_a_pod_that_is_gone_is_a_problem_while_it_may_not_be_made_again():
    assert what(None, left_s=40.0) == ("PodEnded", "its pod is gone and made again in 40 s")


def test_back_off_doubles_from_ten_seconds_to_five_minutes():
    attempts, now, waited = Attempts(), 0.0, []
    assert attempts.is_due("radio-001", now)
    for _ in range(8):
        attempts.made("radio-001", now)
        assert not attempts.is_due("radio-001", now + 9)
        waited.append(attempts.left_s("radio-001", now))
        now += waited[-1]
        assert attempts.is_due("radio-001", now)
    assert waited == [10, 20, 40, 80, 160, 300, 300, 300]
    assert attempts.is_due("radio-002", 0)
    attempts.forget("radio-001")
    assert attempts.is_due("radio-001", 0)


def test_a_pod_was_well_after_a_minute():
    assert was_well(a_pod(age_s=60), NOW)
    assert not was_well(a_pod(age_s=59), NOW)
    assert not was_well(a_pod(ready=False), NOW)
