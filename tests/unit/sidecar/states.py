"""States from which the tests of the protocol begin."""

from __future__ import annotations

from fingerv7.contract import Fence, Timing
from fingerv7_sidecar.assignment import found_config, view_of
from fingerv7_sidecar.events import LockProbed
from fingerv7_sidecar.identity import Found, Policy

INC = "pod-a/n1"
LOCKED = Policy(timing=Timing(), has_lock=True)
BLANK = {"metadata": {"name": "w1", "resourceVersion": "900"}, "spec": {}}


def active(world, *ids, policy=None, **more):
    """A worker that runs `ids` at epoch 1 and confirmed it."""
    it = world(policy=policy, **more)
    it.lock_held = True
    it.succeed()
    it.assign(1, *ids)
    it.start()
    if policy and policy.has_lock:
        it.do(LockProbed(0, held=True))
    it.confirm()
    assert it.annotation("applied") == f"uid-1/{INC}/1"
    it.history.clear()
    return it


def left_behind(assigned, *ids, fence_age, epoch=1, uid="uid-1"):
    """What a killed sidecar of this pod leaves at boot time 1000."""
    given = assigned(uid, epoch, *ids)
    config = view_of({"metadata": {"name": "w1", "uid": uid}, "status": {"assignment": given}}, "w1", 900).config
    fence = Fence(1000.0 - fence_age, 12.0, "boot-1")
    return Found(config=found_config(config.payload), applied=config.hash, fence=fence, used=True)
