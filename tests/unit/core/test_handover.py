"""The hand-over as a pure step: what is written next, and what must not be written yet."""

from __future__ import annotations

import itertools
from dataclasses import replace

from fingerv7.core.handover import Action, Holder, Wanted, held_streams, step
from fingerv7.core.model import Assignment, Grant, Stream, Token, Worker

LEADER = 7


def stream(name: str, **traits) -> Stream:
    return Stream(name, f"http://radio.example/{name}", **traits)


def worker(name: str, *, streams=(), revoking=(), epoch=1, leader=LEADER, limit=10) -> Worker:
    grants = {s: Grant(stream(s), Token(1, n)) for n, s in enumerate(streams)}
    assignment = Assignment(epoch, leader, grants, dict(revoking))
    return Worker(name, f"uid-{name}", 1, "radio", limit, finalizer=True, assignment=assignment)


def holder(w: Worker, **facts) -> Holder:
    return Holder(w, **{"accepts": True, **facts})


def wanted(target: dict[str, str], catalog: set[str] | None = None) -> Wanted:
    ids = set(target) if catalog is None else catalog
    return Wanted({i: stream(i) for i in ids}, target, {})


def run(holders: list[Holder], wants: Wanted, *, may_grant=lambda _: True):
    tokens = itertools.count(100)
    writes = step(
        {h.worker.name: h for h in holders},
        wants,
        leader_epoch=LEADER,
        next_token=lambda: Token(LEADER, next(tokens)),
        may_grant=may_grant,
    )
    return {write.worker: write for write in writes}


def test_a_stream_that_nobody_holds_is_granted_at_once_under_a_new_epoch_and_token():
    writes = run([holder(worker("a"))], wanted({"s": "a"}))
    assert writes["a"].assignment.epoch == 2
    assert writes["a"].assignment.grants["s"].token == Token(LEADER, 100)


def test_a_move_begins_with_a_revoke_and_nothing_else():
    writes = run([holder(worker("a", streams=["s"])), holder(worker("b"))], wanted({"s": "b"}))
    assert set(writes) == {"a"}
    assert writes["a"].assignment.revoking == {"s": 2}
    assert not writes["a"].assignment.grants


def test_an_unacknowledged_revoke_is_neither_cleared_nor_granted():
    a = holder(worker("a", revoking=[("s", 2)], epoch=2), free_through=1)
    assert run([a, holder(worker("b"))], wanted({"s": "b"})) == {}


def test_an_acknowledged_revoke_is_cleared_first_and_granted_only_when_that_was_stored():
    a = holder(worker("a", revoking=[("s", 2)], epoch=2), free_through=2)
    writes = run([a, holder(worker("b"))], wanted({"s": "b"}))
    assert set(writes) == {"a"}
    assert writes["a"].assignment == Assignment(2, LEADER, {}, {})  # clearing does not raise the epoch
    cleared = replace(a, worker=replace(a.worker, assignment=writes["a"].assignment))
    assert set(run([cleared, holder(worker("b"))], wanted({"s": "b"}))) == {"b"}


def test_a_stream_that_is_wanted_back_while_it_is_revoked_goes_back_under_a_new_token():
    a = holder(worker("a", revoking=[("s", 2)], epoch=2), free_through=1)
    write = run([a], wanted({"s": "a"}))["a"]
    assert write.assignment.epoch == 3
    assert write.assignment.revoking == {}
    assert write.assignment.grants["s"].token == Token(LEADER, 100)


def test_it_does_not_go_back_where_somebody_else_holds_it_too():
    a = holder(worker("a", revoking=[("s", 2)], epoch=2), free_through=1)
    b = holder(worker("b", revoking=[("s", 2)], epoch=2), free_through=1)
    assert run([a, b], wanted({"s": "a"})) == {}


def test_a_row_that_vanished_is_revoked():
    write = run([holder(worker("a", streams=["s"]))], wanted({}))["a"]
    assert [(c.action, c.stream, c.reason) for c in write.changes] == [(Action.REVOKE, "s", "Removed")]


def test_a_changed_url_reaches_the_worker_under_the_same_token_and_a_new_epoch():
    changed = Wanted({"s": Stream("s", "http://other.example/")}, {"s": "a"}, {})
    write = run([holder(worker("a", streams=["s"]))], changed)["a"]
    assert write.assignment.epoch == 2
    assert write.assignment.grants["s"] == Grant(Stream("s", "http://other.example/"), Token(1, 0))


def test_a_changed_weight_is_stored_without_a_new_epoch():
    changed = Wanted({"s": stream("s", weight=3)}, {"s": "a"}, {})
    write = run([holder(worker("a", streams=["s"]))], changed)["a"]
    assert write.assignment.epoch == 1
    assert write.assignment.grants["s"].stream.weight == 3


def test_a_worker_of_an_older_leader_is_stamped_first_and_alone():
    a = holder(worker("a", streams=["s"], leader=LEADER - 1))
    write = run([a, holder(worker("b"))], wanted({"s": "b", "t": "a"}))["a"]
    assert write.assignment == replace(a.worker.assignment, leader_epoch=LEADER)
    assert write.changes == ()


def test_what_a_write_of_unknown_outcome_may_have_given_is_held():
    attempt = Assignment(2, LEADER, {"s": Grant(stream("s"), Token(LEADER, 1))}, {})
    a = holder(worker("a"), unknown=attempt)
    writes = run([a, holder(worker("b"))], wanted({"s": "b"}))
    assert "b" not in writes


def test_what_a_write_of_unknown_outcome_may_have_taken_is_held_still():
    a = holder(worker("a", revoking=[("s", 2)], epoch=2), free_through=2, unknown=Assignment(2, LEADER))
    writes = run([a, holder(worker("b"))], wanted({"s": "b"}))
    assert "b" not in writes


def test_an_unknown_outcome_is_settled_by_a_write_that_is_never_a_repetition():
    a = holder(worker("a", streams=["s"], epoch=4), unknown=Assignment(5, LEADER))
    assert run([a], wanted({"s": "a"}))["a"].assignment.epoch == 5


def test_a_sidecar_that_has_seen_higher_epochs_is_given_one_above_them():
    a = holder(worker("a", streams=["s"], epoch=3), free_through=3, claimed_epoch=9)
    write = run([a], wanted({"s": "a"}))["a"]
    assert write.assignment.epoch == 10
    assert set(write.assignment.grants) == {"s"}


def test_and_its_old_acknowledgement_does_not_free_what_was_revoked_before():
    a = holder(worker("a", revoking=[("s", 3)], epoch=3), free_through=2, claimed_epoch=9)
    assert run([a], wanted({}))["a"].assignment.revoking == {"s": 10}


def test_a_claim_that_the_stored_epoch_has_only_reached_is_passed_too():
    a = holder(worker("a", streams=["s"], revoking=[("t", 9)], epoch=9), free_through=-1, claimed_epoch=9)
    write = run([a], wanted({"s": "a"}))["a"]
    assert write.assignment.epoch == 10
    assert set(write.assignment.grants) == {"s"}
    assert write.assignment.revoking == {"t": 10}


def test_a_claim_that_the_stored_epoch_has_passed_needs_no_second_write():
    a = holder(worker("a", streams=["s"], revoking=[("t", 10)], epoch=10), free_through=-1, claimed_epoch=9)
    assert run([a], wanted({"s": "a"})) == {}


def test_everything_is_taken_from_a_worker_that_must_stop():
    write = run(
        [holder(worker("a", streams=["s", "t"]), accepts=False, stop_reason="WorkerLost")], wanted({"s": "a"})
    )
    assert write["a"].assignment.revoking == {"s": 2, "t": 2}
    assert {c.reason for c in write["a"].changes} == {"WorkerLost"}


def test_a_draining_worker_keeps_what_has_no_place_until_its_time_is_up():
    a = holder(worker("a", streams=["s"]), accepts=False, keeps_unplaced=True)
    assert run([a], wanted({}, {"s"})) == {}
    late = replace(a, keeps_unplaced=False)
    assert run([late], wanted({}, {"s"}))["a"].assignment.revoking == {"s": 2}


def test_of_two_workers_with_one_stream_the_newer_token_keeps_it():
    a, b = worker("a", streams=["x", "s"]), worker("b", streams=["s"])
    assert a.assignment.grants["s"].token > b.assignment.grants["s"].token
    writes = run([holder(a), holder(b)], wanted({"s": "a", "x": "a"}))
    assert set(writes) == {"b"}
    assert writes["b"].changes[0].reason == "DoubleHeld"


def test_nothing_is_granted_that_may_not_be():
    assert run([holder(worker("a"))], wanted({"s": "a"}), may_grant=lambda _: False) == {}


def test_what_is_still_being_stopped_takes_up_room():
    a = holder(worker("a", revoking=[("s", 2)], epoch=2, limit=1), free_through=1)
    assert run([a], wanted({"t": "a"})) == {}


def test_an_assignment_never_outgrows_an_api_object():
    big = {f"s{n}": stream(f"s{n}", size=400_000) for n in range(3)}
    write = run([holder(worker("a"))], Wanted(big, dict.fromkeys(big, "a"), {}))["a"]
    assert len(write.assignment.grants) == 2


def test_a_settled_pool_needs_no_write():
    assert run([holder(worker("a", streams=["s"]), free_through=1)], wanted({"s": "a"})) == {}


def test_held_streams_name_every_holder():
    held = held_streams({"a": holder(worker("a", streams=["s"])), "b": holder(worker("b", revoking=[("s", 1)]))})
    assert held == {"s": ["a", "b"]}
