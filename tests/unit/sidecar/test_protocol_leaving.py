"""The protocol, event by event: draining, stopping, registering."""

from __future__ import annotations

from fingerv7.contract import Timing
from fingerv7_sidecar.events import DrainRequested, LockProbed, StopRequested, Tick, WorkerSeen
from fingerv7_sidecar.identity import Policy

from .states import INC, LOCKED, active


def test_a_drain_releases_when_nothing_is_assigned_any_more(world):
    it = active(world, "a")
    it.do(DrainRequested())
    assert it.annotation("drain") == INC
    assert not it.sidecar.drained
    it.run(20)
    it.assign(2)
    assert not it.annotation("released")
    it.confirm()
    assert it.annotation("released") == f"uid-1/{INC}"
    assert it.annotation("drain") == INC
    assert it.sidecar.drained
    it.assign(3, "a")
    it.run(30)
    assert it.streams == 0
    assert it.annotation("released")


def test_a_drained_worker_stays_drained_through_an_outage(world):
    it = active(world)
    it.do(DrainRequested())
    assert it.sidecar.drained
    it.online = False
    it.run(20)
    it.online = True
    it.run(10)
    assert it.annotation("released") == f"uid-1/{INC}"


def test_a_hook_drains_as_long_as_its_pod_may_take_to_end(world):
    it = active(world, "a")
    it.run(6)
    it.do(DrainRequested(60.0))
    assert it.annotation("drain") == INC
    it.assign(2)
    it.confirm()
    assert it.sidecar.drained
    it.run(50)
    assert it.annotation("released") == f"uid-1/{INC}"
    it.assign(3, "a")
    it.run(10)
    assert "drain-withdrawn" in it.log
    assert not it.annotation("drain")
    assert not it.annotation("released")
    assert it.streams == 1


def test_a_hook_that_follows_an_expired_fence_drains_nobody(world):
    """The kubelet restarts the worker after an outage of the API; its pod goes on."""
    it = active(world, "a", start=1000.9)
    it.run(6)
    it.online = False
    it.run(10.3)  # 11.3 s, which the probe's whole seconds call 12 s
    assert not it.sidecar.fenced
    it.do(DrainRequested(60.0))
    assert not it.sidecar.draining
    it.online = True
    it.run(2)
    it.do(DrainRequested(60.0))
    assert not it.sidecar.draining
    assert not it.annotation("drain")
    assert it.log.count("drain-ignored") == 2


def test_a_hook_drains_again_some_time_after_an_outage(world):
    it = active(world, "a")
    it.online = False
    it.run(20)
    it.online = True
    it.run(10)
    it.do(DrainRequested(60.0))
    assert it.annotation("drain") == INC


def test_a_worker_that_is_back_takes_the_hooks_drain_back(world):
    it = active(world, "a", policy=LOCKED)
    it.run(6)
    it.do(DrainRequested(600.0))
    it.do(LockProbed(0, held=False))
    it.run(1)
    assert it.sidecar.draining
    it.do(LockProbed(0, held=True))
    assert not it.sidecar.draining
    it.run(1)
    assert not it.annotation("drain")


def test_a_hook_during_another_ones_drain_counts_from_its_own_time(world):
    """The pod is deleted while its worker is being restarted."""
    it = active(world, "a", policy=LOCKED)
    it.run(6)
    it.do(DrainRequested(20.0))
    it.do(LockProbed(0, held=False))
    it.run(3)
    it.do(DrainRequested(60.0))
    it.do(LockProbed(0, held=True))
    it.run(50)
    assert it.annotation("drain") == INC
    it.run(20)
    assert not it.annotation("drain")


def test_a_hook_during_a_longer_drain_does_not_shorten_it(world):
    it = active(world, "a")
    it.run(6)
    it.do(DrainRequested(60.0))
    it.do(DrainRequested(5.0))
    it.run(50)
    assert it.annotation("drain") == INC


def test_a_hook_drains_a_pod_that_has_just_begun(world):
    """It never had a fence that could have expired."""
    it = active(world, "a")
    it.do(DrainRequested(60.0))
    assert "drain-ignored" not in it.log
    assert it.annotation("drain") == INC


def test_a_hook_drains_nobody_after_a_fence_that_expired_without_a_sidecar(world):
    it = active(world, "a")
    it.move(30)
    it.restart()
    it.start()
    it.run(1)
    it.do(DrainRequested(60.0))
    assert "drain-ignored" in it.log


def test_a_drain_that_somebody_asked_for_is_not_taken_back(world):
    it = active(world, "a", policy=LOCKED)
    it.run(6)
    it.do(DrainRequested(5.0))
    it.do(DrainRequested())
    it.do(DrainRequested(5.0))
    it.do(LockProbed(0, held=False))
    it.run(0.5)
    it.do(LockProbed(0, held=True))
    it.run(30)
    assert it.annotation("drain") == INC


def test_stopping_with_streams_leaves_them_to_a_restarted_sidecar(world):
    it = active(world, "a")
    it.do(StopRequested())
    assert it.finished
    assert it.streams == 1
    assert not it.annotation("released")


def test_stopping_with_nothing_assigned_releases(world):
    it = active(world)
    it.do(StopRequested())
    assert it.finished
    assert it.annotation("released") == f"uid-1/{INC}"


def test_stopping_after_the_worker_empties_and_releases(world):
    it = active(world, "a", policy=LOCKED)
    it.lock_held = False
    it.do(StopRequested())
    assert it.finished
    assert it.streams == 0
    assert it.annotation("released") == f"uid-1/{INC}"


def test_stopping_waits_for_the_drain_where_that_is_wanted(world):
    it = active(world, "a", policy=Policy(timing=Timing(), drain_on_stop=True))
    it.do(StopRequested())
    it.run(40)
    assert not it.finished
    it.assign(2)
    it.confirm()
    assert it.finished
    assert it.annotation("released")


def test_stopping_does_not_wait_for_an_api_that_is_away(world):
    it = active(world)
    it.online = False
    it.do(StopRequested())
    it.run(6)
    assert it.finished


def test_an_undeclared_worker_registers_when_it_has_no_fingerworker(world):
    it = world(policy=Policy(timing=Timing(), register='{"maxStreams":5}'))
    it.start()
    assert it.annotation("register") == '{"maxStreams":5}'
    it.assign(0)
    assert it.annotation("applied") == f"uid-1/{INC}/0"


def test_a_worker_that_is_about_to_go_does_not_come_back_as_a_new_fingerworker(world):
    """Somebody deletes the FingerWorkers while pods that registered themselves still hand over."""
    it = world(policy=Policy(timing=Timing(), register='{"maxStreams":5}'))
    it.start()
    it.assign(0)
    it.run(6)
    it.assign(1, "a")
    it.confirm()
    it.do(DrainRequested(60.0))
    it.assign(2)
    it.confirm()
    it.do(WorkerSeen(it.serial, None))
    it.run(5)
    assert it.sidecar.drained
    assert not it.annotation("register")


def test_a_worker_whose_drain_is_void_registers_again(world):
    it = world(policy=Policy(timing=Timing(), register='{"maxStreams":5}'))
    it.start()
    it.run(6)
    it.do(DrainRequested(60.0))
    assert not it.annotation("register")
    it.run(61)
    assert it.annotation("register") == '{"maxStreams":5}'


def test_a_declared_worker_does_not_register(world):
    it = world(policy=Policy(timing=Timing(), register='{"maxStreams":5}'))
    it.assign(0)
    it.start()
    assert it.annotation("register") == ""


def test_waking_up_is_never_in_the_past(world):
    it = active(world, "a")
    it.online = False
    for _ in range(60):
        it.run(1, step=1)
        assert it.sidecar.wake_at(it.now) > it.boot


def test_an_answer_that_comes_when_the_fence_was_due_does_not_put_it_off(world):
    it = active(world, "a")
    it.run(0.25)
    it.online = False
    it.move(11.5)
    it.do(Tick())  # sends a renewal just before D, and freezes
    it.move(11.0)
    it.online = True
    it.assign(2, tell=False)
    action, it._outstanding = it._outstanding[0], None
    it._answer(action)
    assert it.sidecar.fences == 1
    assert it.streams == 0
