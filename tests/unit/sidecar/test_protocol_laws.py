"""What must hold whatever happens, and in whatever order."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fingerv7.contract import Acknowledgement, Timing
from fingerv7_sidecar.events import DrainRequested, HealthSeen, LockProbed
from fingerv7_sidecar.identity import Policy

STEPS = st.one_of(
    st.tuples(st.just("run"), st.sampled_from([0.25, 1.0, 3.0, 8.0, 25.0])),
    st.tuples(st.just("freeze"), st.sampled_from([3.0, 15.0, 60.0])),
    st.tuples(st.just("api"), st.sampled_from(["up", "down", "lossy"])),
    st.tuples(st.just("assign"), st.integers(0, 3)),
    st.tuples(st.just("recreate"), st.integers(0, 2)),
    st.tuples(st.just("confirm"), st.none()),
    st.tuples(st.just("lock"), st.booleans()),
    st.tuples(st.just("die"), st.sampled_from([5.25, 9.0])),
    st.tuples(st.just("health"), st.booleans()),
    st.tuples(st.just("disk"), st.sampled_from(["", "No space left on device"])),
    st.tuples(st.just("stranger"), st.sampled_from(["delete", "blank", "label", "erase", "steal"])),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("drain"), st.sampled_from([None, 8.0, 60.0])),
)


@settings(
    max_examples=100, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(STEPS, max_size=30))
def test_the_laws(world, steps):
    it = world(policy=Policy(timing=Timing(), has_lock=True))
    it.lock_held = True
    uid, epoch, confirmed, rival_until = 1, 1, {("uid-1", 0)}, 0.0
    it.succeed()
    it.assign(epoch, "a")
    it.start()
    it.do(LockProbed(0, held=True))
    for step, value in steps:
        match step:
            case "run":
                it.run(value)
            case "freeze":
                it.move(value)
            case "api":
                it.online, it.lossy = value != "down", value == "lossy"
            case "assign":
                epoch += 1
                it.assign(epoch, *[f"s{number}" for number in range(value)], uid=f"uid-{uid}")
            case "recreate":
                uid, epoch = uid + 1, value
                it.assign(epoch, *[f"s{number}" for number in range(value)], uid=f"uid-{uid}")
            case "confirm" if it.file and it.lock_held:
                confirmed.add((it.file.worker_uid, it.file.epoch))
                it.confirm()
            case "lock":
                it.lock_held = value
                it.do(LockProbed(0, held=value))
            case "die":
                it.lock_held = False
                it.do(LockProbed(0, held=False))
                it.run(value)
            case "health":
                it.do(HealthSeen(ok=value))
            case "disk":
                it.disk_error = value
            case "stranger" if it.lease:
                if value == "delete":
                    it.lease = None
                elif value == "blank":
                    it.lease = {"metadata": {"name": "w1", "resourceVersion": f"b{it.boot}"}, "spec": {}}
                elif value == "label":
                    it.touch(theirs="yes")
                else:
                    it.hold("" if value == "erase" else "pod-b/n9", renew=f"at {it.boot}")
                if value == "steal" and it.boot - it.stored_at >= 20:
                    rival_until = it.boot + 12  # it waited as it should, and is cut off as soon as it runs
            case "restart":
                it.restart()
            case "drain":
                it.do(DrainRequested(value))
        if step == "freeze":
            continue  # nothing can be asked of a process that does not run
        it.run(0.01)
        incarnation = it.sidecar.identity.incarnation
        ours = it.lease is not None and it.lease["spec"].get("holderIdentity") == incarnation

        assert it.streams == 0 or it.boot - it.acknowledged_at <= it.sidecar.times.fence_s, "runs without proof"
        assert not (ours and it.annotation("released") and it.streams), "released, but something runs"
        if it.boot < rival_until:
            assert it.streams == 0, "runs beside another pod"
            assert not (ours and it.annotation("released")), "released for another pod"
        assert it.sidecar.wake_at(it.now) > it.boot
        applied = Acknowledgement.parse(it.annotation("applied")) if ours else None
        if applied:
            assert applied.incarnation == incarnation
            assert it.boot >= rival_until or applied.epoch == 0, "acknowledged for another pod"
            seen = (applied.worker_uid, applied.epoch)
            empty = it.file is not None and it.file.streams == 0
            assert seen in confirmed or empty, "acknowledged without confirmation"
            confirmed.add(seen)

    # And when the world is well again, so is the worker.
    it.online, it.lossy, it.disk_error, it.lock_held = True, False, "", True
    if it.lease and it.lease["spec"].get("holderIdentity") == "pod-b/n9":
        it.hold("pod-b/n9", renew="last", released="uid-1/pod-b/n9")
    it.do(LockProbed(0, held=True))
    for _ in range(1400):
        it.run(1, step=1)
        it.do(HealthSeen(ok=True))
        if it.file:
            it.confirm()
        if not it.sidecar.problems():
            break
    assert not it.sidecar.problems() or it.sidecar.drained or it.sidecar.draining


RIVAL = "pod-b/n9"
MEDDLING = st.one_of(
    st.tuples(st.just("run"), st.sampled_from([0.25, 1.0, 3.0, 8.0])),
    st.tuples(st.just("lease"), st.sampled_from(["delete", "blank", "erase"])),
    st.tuples(st.just("renew"), st.none()),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("api"), st.sampled_from(["up", "down", "lossy"])),
    st.tuples(st.just("assign"), st.integers(0, 2)),
    st.tuples(st.just("drain"), st.sampled_from([None, 8.0, 60.0])),
)


@settings(
    max_examples=100, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(MEDDLING, max_size=20))
def test_nothing_runs_beside_a_pod_that_held_the_lease_whatever_becomes_of_the_lease(world, steps):
    it = world(policy=Policy(timing=Timing(), confirm_on_write=True))
    epoch, runs_until = 7, 12.0 + it.boot
    it.hold(RIVAL)
    it.assign(epoch, "a", incarnation="pod-a/n1")
    it.start()
    for step, value in steps:
        match step:
            case "run":
                it.run(value)
            case "lease" if value == "erase":
                it.hold("", renew=f"at {it.boot}")
            case "lease":
                it.lease = (
                    None if value == "delete" else {"metadata": {"name": "w1", "resourceVersion": f"b{it.boot}"}}
                )
            case "renew" if it.boot < runs_until:
                holder = ((it.lease or {}).get("spec") or {}).get("holderIdentity", "")
                if holder in ("", RIVAL):
                    it.hold(RIVAL, renew=f"at {it.boot}")
                    runs_until = it.boot + 12
                else:
                    runs_until = it.boot  # it has noticed, and fenced
            case "restart":
                it.restart()
            case "api":
                it.online, it.lossy = value != "down", value == "lossy"
            case "assign":
                epoch += 1
                it.assign(epoch, *[f"s{number}" for number in range(value)], incarnation="pod-a/n1")
            case "drain":
                it.do(DrainRequested(value))
        it.run(0.01)
        if it.boot < runs_until:
            assert it.streams == 0
            assert not it.annotation("applied")
            assert not it.annotation("released")
    it.online, it.lossy = True, False
    it.run(runs_until - it.boot + 80, step=1)
    assert it.annotation("applied") or it.sidecar.draining
