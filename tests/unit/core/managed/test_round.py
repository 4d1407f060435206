"""What one round of a fleet does, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingerv7.core.managed.autoscale import Demand
from fingerv7.core.managed.model import (
    ChangeWorker,
    CreateWorker,
    MakePod,
    Mark,
    Member,
    Problem,
    RemovePod,
    RemoveWorker,
    Scaling,
    Traits,
    ordinal_of,
)
from fingerv7.core.managed.report import report
from fingerv7.core.managed.round import Memory
from fingerv7.core.model import Assignment

from .small_fleet import NOW, OLD, PLAIN, a_pod, look, member, three, wanted

ANY = frozenset()


def steps(*args, **changes):
    """Short: `create radio-001`, `pod radio-001`, `mark radio-001 ScaleDown`."""
    short = []
    for step in look(*args, **changes)[1].steps:
        match step:
            case CreateWorker(name, _):
                short.append(f"create {name}")
            case ChangeWorker(worker, traits):
                short.append(f"change {worker.name} to {traits.max_streams}")
            case Mark(worker, reason):
                short.append(f"mark {worker.name} {reason}".strip())
            case RemoveWorker(worker):
                short.append(f"remove {worker.name}")
            case MakePod(worker, ordinal):
                assert ordinal_of("radio", worker.name) == ordinal
                short.append(f"pod {worker.name}")
            case RemovePod(pod):
                short.append(f"no pod {pod.name}")
    return short


# --- single rounds ----------------------------------------------------------------------------------------


def test_a_new_fleet_is_made_and_gets_its_pods():
    assert steps() == ["create radio-001", "create radio-002", "create radio-003"]
    assert steps([member(n, pod=None) for n in (1, 2, 3)]) == ["pod radio-001", "pod radio-002", "pod radio-003"]
    assert steps(three()) == []


def test_a_worker_of_somebody_else_is_never_taken():
    assert steps([], taken={2}) == ["create radio-001", "create radio-003"]
    crew, plan = look([member(1), member(3)], taken={2})
    assert plan.steps == []
    condition = report(crew, plan).condition
    assert (condition.status, condition.reason) == (False, "NameTaken")
    assert "FingerWorker radio-002 was declared by somebody else" in condition.message


def test_too_many_are_marked_emptied_and_removed_one_thing_after_the_other():
    down = wanted(replicas=2)
    assert steps(three(streams=3), down) == ["mark radio-003 ScaleDown"]
    gone = {"drain_for": "ScaleDown", "alive": False}
    two = [member(1), member(2)]
    assert steps([*two, member(3, streams=3, **gone)], down) == []
    assert steps([*two, member(3, unsure=True, **gone)], down) == []
    assert steps([*two, member(3, **gone)], down) == ["no pod radio-003"]
    assert steps([*two, member(3, pod=a_pod(3, gone_by_s=NOW + 9), **gone)], down) == []
    assert steps([*two, member(3, pod=None, **gone)], down) == ["remove radio-003"]
    assert steps([*two, member(3, pod=a_pod(3, gone_by_s=NOW - 90), **gone)], down) == ["remove radio-003"]
    assert steps([*two, member(3, pod=None, deleting=True, **gone)], down) == []


def test_who_is_on_the_way_out_is_called_back_before_anybody_is_made():
    going = member(2, drain_for="ScaleDown", streams=2, alive=False)
    assert steps([member(1), going]) == ["mark radio-002", "create radio-003"]


def test_who_is_called_back_is_not_removed_in_the_same_breath():
    assert steps([member(1), member(2), member(3, drain_for="ScaleDown", alive=False)]) == ["mark radio-003"]
    assert steps([member(1), member(2), member(3, drain_for="ScaleDown", pod=None)]) == ["mark radio-003"]


def test_a_name_on_its_way_out_is_made_again_when_it_is_gone():
    leaving = member(2, drain_for="ScaleDown", deleting=True, pod=None, alive=False)
    assert steps([member(1), member(3), leaving]) == []


def test_a_worker_that_somebody_deletes_keeps_its_place_until_it_is_gone():
    deleted = member(2, deleting=True, streams=4, alive=False)
    assert steps([member(1), deleted, member(3)]) == []
    assert steps([member(1), replace_streams(deleted), member(3)]) == ["no pod radio-002"]
    assert steps([member(1), member(3)]) == ["create radio-002"]
    assert steps([member(1), deleted, member(3)], wanted(replicas=2)) == []


def replace_streams(old: Member) -> Member:
    return replace(old, worker=replace(old.worker, assignment=Assignment(epoch=2)))


def test_sizes_and_traits_follow_the_pool_without_a_new_pod():
    large = Traits(100, PLAIN.capabilities, "attic")
    assert steps(three(), wanted(overrides={"radio-002": large})) == ["change radio-002 to 100"]
    assert steps([], wanted(replicas=1, overrides={"radio-001": large})) == ["create radio-001"]


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_has_ended_is_removed_and_made_again_after_a_back_off(phase):
    memory = Memory()
    ended = member(1, pod=a_pod(phase=phase, ready=False, reason="Evicted"), alive=False)
    assert steps([ended], wanted(replicas=1), memory=memory) == ["no pod radio-001"]
    memory.attempts.made("radio-001", 1000.0)
    none = member(1, pod=None, alive=False)
    assert steps([none], wanted(replicas=1), memory=memory, now=1009.0) == []
    assert steps([none], wanted(replicas=1), memory=memory, now=1010.0) == ["pod radio-001"]
    # Another template may be the remedy.
    assert steps([none], wanted(replicas=1, revision="newer"), memory=memory, now=1001.0) == ["pod radio-001"]


def test_a_pod_of_an_older_worker_of_that_name_goes():
    assert steps([member(1, pod=a_pod(owner="uid-before"))], wanted(replicas=1)) == ["no pod radio-001"]


def test_a_pod_without_a_worker_is_nobodys():
    crew, plan = look([member(1, pod=a_pod(uid="foreign"))], wanted(replicas=1))
    assert plan.steps == []
    for state in ({}, {"ready": False}, {"phase": "Failed"}, {"revision": OLD, "ready": False}):
        pod = replace(a_pod(), owner="", **state)
        crew, plan = look([member(1, pod=pod)], wanted(replicas=1))
        assert plan.steps == []
        assert report(crew, plan).condition.reason == "NameTaken"
        assert steps([member(1, pod=pod, drain_for="ScaleDown")], None) == ["remove radio-001"]


def test_a_paused_pool_only_mends():
    members = [member(1, pod=None), member(2, pod=a_pod(2, revision=OLD)), member(3, drain_for="ScaleDown")]
    assert steps(members, wanted(replicas=5), paused=True) == ["no pod radio-003", "pod radio-001"]
    crew, plan = look([member(1)], wanted(replicas=2), paused=True)
    assert report(crew, plan).condition.reason == "Paused"


def test_without_spec_workers_everything_is_drained_and_removed():
    assert steps(three(streams=1), None) == [f"mark radio-00{n} ScaleDown" for n in (1, 2, 3)]
    assert steps(three(drain_for="ScaleDown"), None) == [f"no pod radio-00{n}" for n in (1, 2, 3)]
    assert steps([member(1, drain_for="ScaleDown", pod=None)], None) == ["remove radio-001"]
    assert look([], None)[1].finished


def test_a_pool_that_is_deleted_needs_no_marks():
    assert steps(three(streams=1), deleting=True) == []
    assert steps(three(), deleting=True) == [f"no pod radio-00{n}" for n in (1, 2, 3)]
    assert steps([member(1, pod=None)], deleting=True) == ["remove radio-001"]


def test_the_budget_lets_one_go_at_a_time():
    assert [look([], wanted(replicas=n))[1].min_available for n in (0, 1, 2, 8)] == [0, 0, 1, 7]
    assert look([], None)[1].min_available is None
    assert look([member(1), member(3)], taken={2})[1].min_available == 1, "what is somebody else's is no worker"


def test_a_worker_that_was_refused_is_tried_again_after_a_back_off():
    memory = Memory()
    look([member(1), member(3)], memory=memory)
    memory.attempts.made("radio-002", 1000.0)
    refused = {"radio-002": Problem("QuotaExceeded", "exceeded quota", "radio-002")}
    assert steps([member(1), member(3)], memory=memory, refused=refused, now=1009.0) == []
    assert steps([member(1), member(3)], memory=memory, refused=refused, now=1010.0) == ["create radio-002"]


# --- scaling by itself ------------------------------------------------------------------------------------


AUTO = wanted(replicas=99, scaling=Scaling(least=1, most=10, target_percent=80, window_s=300.0))


def test_the_fleet_is_as_large_as_its_streams_need():
    assert look(three(), AUTO, demand=Demand({ANY: 200}))[1].desired == 5
    assert look(three(), AUTO, demand=Demand({ANY: 9000}))[1].desired == 10


def test_without_a_catalog_it_stays_as_it_is():
    assert look(three(), AUTO, demand=None)[1].desired == 3
    assert look([], AUTO, demand=None)[1].desired == 1


def test_it_shrinks_after_the_window_and_never_below_what_the_streams_need():
    memory, asked = Memory(), Demand({ANY: 30})
    assert steps(three(), AUTO, memory=memory, demand=asked, now=0.0) == []
    assert steps(three(), AUTO, memory=memory, demand=asked, now=299.0) == []
    assert len(steps(three(), AUTO, memory=memory, demand=asked, now=301.0)) == 2


def test_where_it_did_not_scale_itself_in_between_the_window_begins_anew():
    memory, asked = Memory(), Demand({ANY: 30})
    look(three(), AUTO, memory=memory, demand=asked, now=0.0)
    assert look(three(), AUTO, memory=memory, demand=asked, now=301.0)[1].desired == 1
    assert look(three(), wanted(replicas=3), memory=memory, demand=asked, now=302.0)[1].desired == 3
    assert look(three(), AUTO, memory=memory, demand=asked, now=303.0)[1].desired == 3


def test_what_a_dissolved_fleet_needed_is_forgotten():
    memory = Memory()
    assert look(three(), AUTO, memory=memory, demand=Demand({ANY: 400}), now=0.0)[1].desired == 10
    look([], None, memory=memory, demand=Demand({ANY: 400}), now=1.0)
    assert look([], AUTO, memory=memory, demand=Demand({ANY: 30}), now=1000.0)[1].desired == 1


def test_it_keeps_the_worker_that_can_do_what_others_cannot():
    vpn = frozenset({"audio_fingerprinting", "vpn"})
    special = replace(AUTO, overrides={"radio-003": Traits(50, vpn)}, scaling=replace(AUTO.scaling, window_s=0.0))
    members = [member(1, streams=3), member(2, streams=2), member(3, capabilities=vpn)]
    asked = Demand({ANY: 20, frozenset({"vpn"}): 5})
    # Numbered from 1 it would take three to have a special one; with two at most, one is needed, and it stays.
    two = replace(special, scaling=replace(special.scaling, most=2))
    assert steps(members, two, demand=asked) == ["mark radio-002 ScaleDown", "mark radio-001 ScaleDown"]


def test_a_lower_bound_counts_at_once_and_takes_no_places_that_streams_need():
    memory, asked = Memory(), Demand({ANY: 300})
    members = [member(n, streams=30) for n in range(1, 9)]
    look(members, AUTO, memory=memory, demand=asked)
    fewer = replace(AUTO, scaling=replace(AUTO.scaling, most=5))
    crew, plan = look(members, fewer, memory=memory, demand=asked)
    assert plan.desired == 5
    assert [step.worker.name for step in plan.steps] == ["radio-008", "radio-007"]
    kept = [member(n, streams=50) for n in range(1, 7)]
    crew, plan = look(kept, fewer, memory=memory, demand=asked)
    assert (plan.desired, plan.steps) == (5, [])
    condition = report(crew, plan).condition
    assert condition.reason == "ScalingDown"
    assert "1 worker more than wanted stays, because others have no room for their streams" in condition.message
    crew, plan = look(kept, fewer, demand=None)
    assert plan.steps == []
    assert "not read yet" in report(crew, plan).condition.message


def test_a_fleet_with_gaps_and_overrides_grows_until_all_have_a_place():
    large = replace(
        AUTO, overrides={"radio-001": Traits(200, PLAIN.capabilities)}, scaling=replace(AUTO.scaling, window_s=0.0)
    )
    two = [member(2, streams=50), member(3, streams=50)]
    assert steps(two, large, demand=Demand({ANY: 160})) == ["create radio-001"]
    assert steps(two, large, demand=Demand({ANY: 80})) == []
    # What somebody else has is no place.
    found = steps(two, large, demand=Demand({ANY: 160}), taken={1})
    assert found == ["create radio-004", "create radio-005"]


def test_without_a_catalog_a_worker_that_somebody_deletes_is_made_again():
    deleted = [member(1), member(2), member(3, deleting=True, streams=1)]
    assert look(deleted, AUTO, demand=None)[1].desired == 3


# --- why --------------------------------------------------------------------------------------------------


def test_each_pod_is_made_for_a_reason():
    held = member(1).lease
    ran = [member(2, pod=None, drain_for="Rollout"), member(3, pod=None)]
    members = [member(1, pod=None), *(replace(m, lease=replace(held, name=m.name)) for m in ran)]
    made = {each.worker.name: each.reason for each in look(members)[1].steps if isinstance(each, MakePod)}
    assert made == {"radio-001": "NewWorker", "radio-002": "Rollout", "radio-003": "Ended"}


def test_each_pod_is_deleted_for_a_reason():
    failed = a_pod(3, ready=False, phase="Failed", reason="Evicted")
    members = [
        member(1, drain_for="ScaleDown"),
        member(2, deleting=True),
        member(3, pod=failed, alive=False),
        member(4, pod=a_pod(4, owner="uid-of-the-last-one")),
        member(5, pod=a_pod(5, revision=OLD), drain_for="Rollout"),
    ]
    plan = look(members, wanted(replicas=4))[1]
    gone = {each.pod.name: each.reason for each in plan.steps if isinstance(each, RemovePod)}
    assert gone == {
        "radio-001": "ScaleDown",
        "radio-002": "WorkerGone",
        "radio-003": "Ended",
        "radio-004": "WorkerGone",
        "radio-005": "Rollout",
    }
