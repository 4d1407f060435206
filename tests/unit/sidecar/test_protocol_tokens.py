"""The tokens in a worker's config: a later pod's are higher, and one pod's stay as they are while it goes on."""

from __future__ import annotations

import dataclasses
import json

import pytest

from fingerv7.contract import acquisition, config_token, granted_token
from fingerv7_sidecar.assignment import found_config
from fingerv7_sidecar.events import LeaseReply

from .states import active, left_behind


def token(it) -> str:
    (stream,) = json.loads(it.file.payload)["streams"]
    return stream["token"]


def again(it, epoch: int) -> str:
    """The token of the same grant at another epoch, for which the config is written anew."""
    it.assign(epoch, "a")
    it.confirm()
    assert it.file.epoch == epoch
    return token(it)


def test_the_parts_of_a_token_can_be_told_apart():
    text = config_token("0000000000004711-0000000003", 815)
    assert text == "0000000000004711-0000000003-0000000000000815"
    assert (granted_token(text), acquisition(text)) == ("0000000000004711-0000000003", 815)


@pytest.mark.parametrize("how", ["silent", "released"])
def test_a_successor_of_the_same_name_has_a_higher_one_for_the_same_grant(world, how):
    before = active(world, "a")
    it = world(pod="pod-b")
    it.lease, it.fingerworker, it.version = before.lease, before.fingerworker, before.version
    if how == "released":
        it.lease["metadata"]["annotations"]["fingerv7.io/released"] = f"uid-1/{it.lease['spec']['holderIdentity']}"
    it.start()
    if how == "silent":
        it.run(21)
    assert granted_token(token(it)) == granted_token(token(before))
    assert token(it) > token(before)


def test_a_restart_of_the_sidecar_changes_nothing(world):
    it = active(world, "a")
    before = token(it)
    it.restart()
    it.start()
    assert it.lease["spec"]["holderIdentity"] == "pod-a/n2"
    assert again(it, 2) == before


@pytest.mark.parametrize("what", ["deleted", "erased"])
def test_a_lease_that_vanishes_under_a_pod_changes_nothing(world, what):
    it = active(world, "a")
    before = token(it)
    if what == "deleted":
        it.lease = None
    else:
        it.hold("")
    it.run(8)
    assert it.lease["spec"]["holderIdentity"]
    assert again(it, 2) == before


def test_a_pod_that_comes_back_after_another_one_has_a_higher_one(world):
    it = active(world, "a")
    before = token(it)
    it.hold("pod-b/n9")
    it.run(5)
    between = int(it.lease["metadata"]["resourceVersion"])
    it.confirm()
    it.run(20)
    assert acquisition(again(it, 2)) > between > acquisition(before)


@pytest.mark.parametrize("how", ["silent", "deleted"])
def test_so_it_has_where_the_answer_to_its_acquisition_is_lost(world, how):
    it = active(world, "a")
    before = token(it)
    it.online = False
    it.run(13)
    it.confirm()
    it.hold("pod-b/n9")
    between = int(it.lease["metadata"]["resourceVersion"])
    if how == "deleted":
        it.lease = None
    lost, honest = [], it._reply

    def reply(action):
        answer = honest(action)
        if answer.status == 200 and action.method != "GET" and not lost:
            lost.append(action)
            return LeaseReply(action.serial, 0, reason="timeout")
        return answer

    it._reply, it.online = reply, True
    it.run(24)
    it.confirm()
    it.run(24)
    assert lost[0].body["spec"]["holderIdentity"] == it.lease["spec"]["holderIdentity"]
    assert acquisition(token(it)) > between > acquisition(before)


def test_a_config_whose_tokens_do_not_tell_is_not_gone_on_with(world, assigned):
    """A sidecar wrote it that was replaced in place."""
    found = left_behind(assigned, "a", fence_age=1)
    document = json.loads(found.config.payload)
    document["streams"][0]["token"] = "0000000000004711-0000000003"
    it = world(found=dataclasses.replace(found, config=found_config(json.dumps(document).encode())))
    it.hold("pod-a/earlier")
    it.assign(1, "a")
    it.start()
    assert it.history[0] == "config:0"
    it.confirm()
    assert acquisition(token(it)) > 3
    it.confirm()
    assert it.annotation("applied") == "uid-1/pod-a/n1/1"


def test_a_pod_that_fenced_and_was_not_followed_by_another_goes_on_with_what_it_had(world):
    it = active(world, "a")
    before = token(it)
    it.online = False
    it.run(13)
    it.confirm()
    it.online = True
    it.run(5)
    assert it.streams == 1
    assert token(it) == before
