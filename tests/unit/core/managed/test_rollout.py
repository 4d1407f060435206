from __future__ import annotations

from fingerv7.core.managed.model import Mark, RemovePod
from fingerv7.core.managed.rollout import Begun, roll

from .small_fleet import NEW, NOW, OLD, a_pod, member, wanted


def steps(members, *, paused=False, begun=None, now=NOW, **changes):
    """Short: `mark 1`, `unmark 1`, `remove 1`."""
    found = roll(members, wanted(**changes), paused=paused, wall_s=now, begun=begun)
    short = []
    for step in found.steps:
        match step:
            case Mark(worker, reason):
                short.append(f"{'mark' if reason else 'unmark'} {int(worker.name[-3:])}")
                assert reason in {"Rollout", ""}
            case RemovePod(pod):
                short.append(f"remove {int(pod.name[-3:])}")
    return short


def old(number, **changes):
    pod = changes.pop("pod", {})
    return member(number, pod=a_pod(number, revision=OLD, **pod), **changes)


def test_healthy_workers_are_emptied_one_by_one():
    assert steps([old(1, streams=5), old(2, streams=5), old(3)]) == ["mark 1"]


def test_as_many_as_may_be_unavailable():
    assert steps([old(n, streams=5) for n in range(1, 6)], max_unavailable=2) == ["mark 1", "mark 2"]


def test_who_is_out_of_service_counts():
    assert steps([old(1), old(2), member(3, pod=None)]) == []
    assert steps([old(1), old(2), member(3, alive=False)]) == []
    assert steps([old(1), old(2), member(3, pod=None)], max_unavailable=2) == ["mark 1"]


def test_who_drains_because_a_user_said_so_holds_nothing_up():
    assert steps([old(1, streams=5), member(2, drain=True, alive=False)]) == ["mark 1"]


def test_a_marked_worker_keeps_its_pod_until_it_holds_nothing():
    assert steps([old(1, streams=5, drain_for="Rollout", alive=False), old(2)]) == []
    assert steps([old(1, unsure=True, drain_for="Rollout", alive=False), old(2)]) == []
    assert steps([old(1, drain_for="Rollout", alive=False), old(2)]) == ["remove 1"]


def test_it_is_called_back_into_service_when_the_new_pod_follows():
    marked = {"drain_for": "Rollout", "alive": False}
    assert steps([member(1, pod=a_pod(ready=False, age_s=3), **marked), old(2)]) == []
    assert steps([member(1, pod=a_pod(age_s=3), follows=False, **marked), old(2)]) == []
    assert steps([member(1, **marked), old(2)]) == ["unmark 1"]
    assert steps([member(1, alive=False), old(2)]) == []
    assert steps([member(1), old(2)]) == ["mark 2"]


def test_an_answer_of_the_pod_before_is_none_of_this_pod():
    marked = member(1, drain_for="Rollout", alive=False)
    other = member(1, drain_for="Rollout", alive=False, pod=a_pod(uid="another"))
    assert steps([type(marked)(other.worker, 1, other.pod, marked.lease), old(2)]) == []


def test_a_pod_that_is_not_well_and_holds_nothing_is_replaced_whatever_the_budget():
    broken = {"pod": {"ready": False}, "alive": False}
    assert steps([old(1), old(2, **broken), old(3, **broken)]) == ["mark 2", "mark 3"]
    marked = {**broken, "drain_for": "Rollout"}
    assert steps([old(1), old(2, **marked), old(3, **marked)]) == ["remove 2", "remove 3"]


def test_a_hundred_workers_that_are_unwell_for_a_moment_are_not_all_emptied():
    unwell = [old(n, streams=5, alive=False, pod={"ready": n % 2 == 0}) for n in range(1, 101)]
    assert steps(unwell) == ["mark 1"]
    assert steps(unwell, max_unavailable=3) == ["mark 1", "mark 2", "mark 3"]


def test_a_new_pod_that_is_late_stops_everything_and_gives_the_marked_back():
    late = member(1, drain_for="Rollout", alive=False, pod=a_pod(1, ready=False, age_s=601))
    members = [late, old(2, streams=5, drain_for="Rollout", alive=False), old(3, streams=5)]
    assert steps(members, max_unavailable=3) == ["unmark 2"]
    found = roll(members, wanted(max_unavailable=3), paused=False, wall_s=NOW)
    assert found.late == ("radio-001",)
    assert found.outdated == 2
    # Another template makes it outdated, and it is the first to go.
    assert steps(members, revision="newer", max_unavailable=1) == ["remove 1"]


def test_a_fleet_that_is_only_starting_rolls_nothing():
    found = roll([member(1, pod=a_pod(ready=False, age_s=9999))], wanted(), paused=False, wall_s=NOW)
    assert (found.under_way, found.late) == (False, ())


def test_a_template_that_is_taken_back_ends_the_drain():
    assert steps([member(1, streams=5, drain_for="Rollout", alive=False), member(2)]) == ["unmark 1"]


def test_a_paused_pool_begins_nothing_and_finishes_what_has_begun():
    assert steps([old(1), old(2)], paused=True) == []
    assert steps([old(1, drain_for="Rollout", alive=False), old(2)], paused=True) == ["remove 1"]
    assert steps([member(1, drain_for="Rollout", alive=False), old(2)], paused=True) == ["unmark 1"]


def test_without_a_template_that_works_no_pod_goes_and_what_was_to_go_stays():
    assert steps([old(1), old(2, drain_for="Rollout")], revision="") == ["unmark 2"]
    assert steps([old(1), member(2, pod=None, drain_for="Rollout")], revision="") == []


def test_a_new_pod_is_in_service_when_it_was_ready_for_a_while():
    assert steps([member(1, pod=a_pod(age_s=30)), old(2)]) == []
    assert steps([member(1, pod=a_pod(age_s=60)), old(2)]) == ["mark 2"]


def test_a_pod_that_crashes_stops_the_rollout():
    from fingerv7.core.managed.model import Waiting

    crashing = a_pod(ready=False, age_s=2, since_s=90, waiting=(Waiting("fingerv7", "CrashLoopBackOff", ""),))
    members = [member(1, pod=crashing, alive=False), old(2, drain_for="Rollout", streams=3), old(3)]
    assert roll(members, wanted(max_unavailable=3), paused=False, wall_s=NOW).late == ("radio-001",)
    # Each crash makes it ready, and not ready, since a moment ago.
    for ready, age_s in ((True, 5), (False, 5)):
        begun = Begun(in_service={"radio-001"})
        flapping = member(1, pod=a_pod(ready=ready, age_s=age_s, since_s=661), alive=ready)
        assert roll([flapping, old(2)], wanted(), paused=False, wall_s=NOW, begun=begun).late == ("radio-001",)


def test_a_new_pod_that_never_confirms_is_late():
    silent = member(1, pod=a_pod(age_s=700), follows=False, drain_for="Rollout", alive=False)
    assert roll([silent, old(2)], wanted(), paused=False, wall_s=NOW).late == ("radio-001",)


def test_a_worker_that_was_broken_before_blocks_nothing():
    begun = Begun()
    broken = {"pod": {"ready": False, "unschedulable": "no node"}, "alive": False}
    assert steps([old(1), old(2), old(3, **broken)], begun=begun) == ["mark 3"]
    again = member(3, pod=a_pod(3, ready=False, age_s=700), alive=False, drain_for="Rollout")
    assert steps([old(1), old(2), again], begun=begun) == ["mark 1"]
    # Neither does one whose pod was made anew meanwhile, nor one whose node has gone.
    assert steps([old(1), old(2), member(3, pod=a_pod(3, ready=False, age_s=700), alive=False)]) == ["mark 1"]
    assert steps([old(1), old(2), member(3, pod=a_pod(3, gone_by_s=NOW - 90), alive=False)]) == ["mark 1"]


def test_a_pod_that_goes_anyway_is_left_alone():
    assert steps([old(1, pod={"gone_by_s": NOW + 5}, alive=False), old(2)]) == []
    assert NEW != OLD
