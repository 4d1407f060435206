"""Balancing by consent, on request and within the user's bounds, while every stream is processed all the time.

One fleet goes through all of it, in this order; its cooldown is so long that nothing here happens because it ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from devenv.fleet_api import Object, fingerv7
from devenv.proof import prove
from devenv.streams import invent

from .conftest import SOON_S, StartSystem, System

ROWS = 60
PLACES = 80
TAKEOVER_S = 10.0
PLANNED_GAP_S = 5.0
FIRST, SECOND, THIRD, FOURTH = (f"fingerv7-{number:03}" for number in range(4))


@pytest.fixture(scope="module")
def system(start_shared_system: StartSystem) -> Iterator[System]:
    """Two workers share everything, and a third has just come."""
    balancing = {"mode": "Advisory", "cooldown": "1h", "maxMovesPerRoundPercent": 100}
    system = start_shared_system(rows=ROWS, max_streams=PLACES, pool_spec={"balancing": balancing})
    system.fleet.start_worker(THIRD, PLACES)
    yield system


def test_advisory_shows_what_it_would_move_and_moves_nothing(system: System) -> None:
    before = system.fleet.assigned()
    system.await_pool("Balanced", False, "AdvisoryOnly", "would leave 0 %", "moves: 20")
    proposal = status(system)["proposal"]
    assert (proposal["moves"], proposal["lowerBound"]) == (20, 20)
    assert (proposal["imbalanceBefore"], proposal["imbalanceAfter"]) == (25, 0)
    assert {(move["to"], move["reason"]) for move in proposal["examples"]} == {(THIRD, "NewWorker")}
    system.await_event("StreamPool", "radio", "RebalanceProposed", proposal["id"])
    annotate(system, approve=proposal["id"])
    assert await_answer(system, proposal["id"])["reason"] == "AdvisoryOnly"
    assert system.fleet.assigned() == before
    assert status(system)["proposal"] == proposal


def test_manual_waits_and_refuses_what_is_not_the_present_proposal(system: System) -> None:
    before, proposal = system.fleet.assigned(), status(system)["proposal"]
    annotate(system, approve=None)
    system.fleet.patch_pool({"balancing": {"mode": "Manual"}})
    system.await_pool("Balanced", False, "AwaitingApproval", f"fingerv7.io/approve={proposal['id']}")
    assert status(system)["proposal"] == proposal
    annotate(system, approve="0123456789ab")
    answer = await_answer(system, "0123456789ab")
    assert (answer["outcome"], answer["reason"]) == ("Refused", "ProposalChanged")
    assert f"approve {proposal['id']}" in answer["message"]
    system.await_event("StreamPool", "radio", "ProposalRefused", proposal["id"])
    assert system.fleet.assigned() == before


def test_an_approval_of_a_proposal_that_another_one_has_replaced_moves_nothing(system: System) -> None:
    before, former = system.fleet.assigned(), status(system)["proposal"]
    (row,) = invent(1, first=5001)
    system.fleet.table.insert([row])
    present = await_other_proposal(system, former)
    assert system.fleet.assigned() == before | {row.id: THIRD}
    annotate(system, approve=former["id"])
    answer = await_answer(system, former["id"])
    assert (answer["outcome"], answer["reason"]) == ("Refused", "ProposalChanged")
    assert f"approve {present['id']}" in answer["message"]
    system.await_event("StreamPool", "radio", "ProposalRefused", former["id"])
    assert status(system)["proposal"] == present
    assert system.fleet.assigned() == before | {row.id: THIRD}
    annotate(system, approve=None)
    system.fleet.table.delete([row.id])
    assert await_other_proposal(system, present)["id"] == former["id"], "the same moves have the same id"


def test_an_approved_proposal_is_carried_out_exactly_as_it_was_shown(system: System) -> None:
    before, proposal, since = system.fleet.assigned(), status(system)["proposal"], system.fleet.now()
    wanted = before | {move["stream"]: move["to"] for move in proposal["examples"]}
    assert len(proposal["examples"]) == proposal["moves"]
    annotate(system, approve=proposal["id"])
    system.fleet.wait_for(lambda: system.fleet.running() == wanted, SOON_S, "the approved moves were made")
    assert await_answer(system, proposal["id"])["outcome"] == "Approved"
    system.await_event("StreamPool", "radio", "RebalanceApproved", proposal["id"])
    system.await_pool("Balanced", True, "Balanced")
    shown = status(system)
    assert "proposal" not in shown
    assert (shown["lastRebalance"]["reason"], shown["lastRebalance"]["moves"]) == ("NewWorker", 20)
    assert shown["lastRebalance"]["balancedTime"] == shown["lastRebalance"]["time"]
    prove(system.fleet, since=since, allowed_gap_s=PLANNED_GAP_S)


def test_a_lost_workers_streams_wait_for_no_approval(system: System) -> None:
    since = system.fleet.now()
    system.fleet.workers[THIRD].kill()
    system.fleet.wait_for(lambda: shares(system) == {FIRST: 30, SECOND: 30}, SOON_S, "its streams were taken over")
    system.await_ready()
    system.fleet.wait_for(
        lambda: status(system)["lastRebalance"].get("reasons") == {"WorkerLost": 20}, SOON_S, "the moves are told"
    )
    prove(system.fleet, since=since, allowed_gap_s=TAKEOVER_S + 2.0)


def test_a_request_balances_although_the_cooldown_runs(system: System) -> None:
    since = system.fleet.now()
    annotate(system, approve=None)
    system.fleet.patch_pool({"balancing": {"mode": "Auto"}})
    system.fleet.start_worker(FOURTH, PLACES)
    system.await_worker(FOURTH, "Ready", True, "Active")
    system.await_pool("Balanced", False, "CoolingDown")
    assert shares(system) == {FIRST: 30, SECOND: 30}
    annotate(system, rebalance="now")
    system.fleet.wait_for(lambda: set(shares(system).values()) == {20}, SOON_S, "the loads are even")
    system.await_event(
        "StreamPool", "radio", "RebalanceRequested", "20 moves were begun", "fingerv7.io/rebalance=now"
    )
    system.fleet.wait_for(lambda: status(system).get("answeredRebalance") == "now", SOON_S, "it was answered")
    annotate(system, rebalance=None)
    system.fleet.wait_for(lambda: "answeredRebalance" not in status(system), SOON_S, "it may be asked for again")
    prove(system.fleet, since=since, allowed_gap_s=PLANNED_GAP_S)


def test_pins_and_exclusions_hold(system: System) -> None:
    since, served = system.fleet.now(), system.fleet.table.active_ids()
    mine = sorted(i for i, worker in system.fleet.assigned().items() if worker == FIRST)
    pinned, kept_away, unwanted = mine[0], mine[1], mine[2]
    system.fleet.patch_pool(
        {
            "balancing": {
                "pins": [{"stream": pinned, "worker": FOURTH}],
                "exclusions": [{"stream": kept_away, "worker": FIRST}, {"stream": unwanted}, {"worker": SECOND}],
            }
        }
    )

    def obeyed() -> bool:
        running = system.fleet.running()
        return running.get(pinned) == FOURTH and running.get(kept_away) == FOURTH and unwanted not in running

    # Nothing new goes to the second, so that only one is left for what the first may not have.
    system.fleet.wait_for(obeyed, SOON_S, "every bound is kept")
    system.await_pool("Ready", False, "StreamsUnassigned", "1 Excluded")
    # The two that have just changed hands may still be shown as on their way.
    system.fleet.wait_for(
        lambda: status(system).get("unassignedExamples") == {"Excluded": [unwanted]}, SOON_S, "only that one is shown"
    )
    prove(system.fleet, since=since, allowed_gap_s=PLANNED_GAP_S, expected=served - {unwanted})
    system.fleet.patch_pool({"balancing": {"pins": [], "exclusions": []}})
    system.await_ready()


# --- what is looked at ------------------------------------------------------------------------------------


def status(system: System) -> Object:
    found: Object = system.fleet.stream_pool()["status"]
    return found


def shares(system: System) -> Counter[str]:
    return Counter(system.fleet.running().values())


def annotate(system: System, **values: str | None) -> None:
    """Set annotations `fingerv7.io/…` of the pool; None removes one."""
    path = fingerv7(system.fleet.namespace, "streampools", system.fleet.pool)
    annotations = {f"fingerv7.io/{name}": value for name, value in values.items()}
    system.fleet.api.merge(path, {"metadata": {"annotations": annotations}})


def await_other_proposal(system: System, known: Object) -> Object:
    def other() -> Object | None:
        shown: Object | None = status(system).get("proposal")
        return shown if shown and shown["id"] != known["id"] else None

    found: Object = system.fleet.wait_for(other, SOON_S, f"another proposal than {known['id']} is shown")
    return found


def await_answer(system: System, value: str) -> Any:
    def answered() -> Object | None:
        approval: Object | None = status(system).get("approval")
        return approval if approval and approval["id"] == value else None

    return system.fleet.wait_for(answered, SOON_S, f"the approval of {value} is answered")
