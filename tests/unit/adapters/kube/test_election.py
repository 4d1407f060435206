from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerv7.adapters.kube.election import Election, LeadershipLost
from fingerv7.adapters.kube.errors import ApiUnreachable, OutcomeUnknown

from .memory_api import MemoryApi
from .virtual_time import virtually

PATH = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/leader"


class Line:
    """One candidate's line to the server, which can be cut before or after a write arrives."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self.state = "up"

    async def _pass(self, write: bool, call: Any) -> Any:
        if self.state == "hangs":
            call.close()
            await asyncio.sleep(3600)
        if self.state == "down":
            call.close()
            raise ApiUnreachable("down")
        if self.state == "mute" or (write and self.state == "mute writes"):
            with contextlib.suppress(Exception):
                await call
            raise (OutcomeUnknown if write else ApiUnreachable)("no answer")
        return await call

    async def get(self, path: str, **_: Any) -> Any:
        return await self._pass(False, self.api.get(path))

    async def create(self, path: str, body: Any) -> Any:
        return await self._pass(True, self.api.create(path, body))

    async def replace(self, path: str, body: Any) -> Any:
        return await self._pass(True, self.api.replace(path, body))


class Candidate:
    def __init__(self, api: Any, identity: str) -> None:
        self.line = Line(api)
        self.epochs: list[int] = []
        self.lost: list[str] = []
        self.election = Election(
            self.line,  # type: ignore[arg-type]
            namespace="ns",
            name="leader",
            identity=identity,
            on_lost=self.lost.append,
            clock=lambda: asyncio.get_running_loop().time(),
            watchdog=False,
        )
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        self.epochs.append(await self.election.acquire())
        with contextlib.suppress(LeadershipLost):
            await self.election.hold()

    @property
    def leads(self) -> bool:
        return self.election.may_write

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    async def step_down(self) -> None:
        await self.stop()
        await self.election.release()


async def passing(seconds: float) -> None:
    await asyncio.sleep(seconds)


def holder(api: Any) -> str:
    return str(api.objects["leader"]["spec"]["holderIdentity"])


@virtually
async def test_the_first_candidate_leads_at_once_and_stays(memory_api: Any) -> None:
    one = Candidate(memory_api, "one")
    await passing(0.01)
    assert one.leads
    assert one.epochs == [101]
    two = Candidate(memory_api, "two")
    await passing(600)
    assert one.leads
    assert not two.leads
    assert one.epochs == [101]
    for each in (one, two):
        await each.stop()


@virtually
async def test_winning_without_hearing_of_it_costs_no_lease(memory_api: Any) -> None:
    one = Candidate(memory_api, "one")
    one.line.state = "mute writes"
    await passing(3)
    assert holder(memory_api) == "one"
    assert not one.leads
    one.line.state = "up"
    await passing(2)
    assert one.leads
    await one.stop()


@virtually
async def test_a_dead_leader_is_followed_within_its_lease_and_a_second(memory_api: Any) -> None:
    one, two = Candidate(memory_api, "one"), Candidate(memory_api, "two")
    await passing(60)
    await one.stop()
    await passing(11)
    assert not two.leads
    await passing(5)
    assert two.leads
    assert two.epochs[0] > one.epochs[0]
    assert memory_api.objects["leader"]["spec"]["leaseTransitions"] == 1
    await two.stop()


@virtually
async def test_a_leader_that_steps_down_is_followed_at_once(memory_api: Any) -> None:
    one, two = Candidate(memory_api, "one"), Candidate(memory_api, "two")
    await passing(60)
    await one.step_down()
    assert not one.leads
    assert holder(memory_api) == ""
    await passing(1.1)
    assert two.leads
    await two.stop()


@virtually
async def test_stepping_down_in_the_middle_of_a_renewal_still_releases(memory_api: Any) -> None:
    one = Candidate(memory_api, "one")
    await passing(1)
    stored = memory_api.objects["leader"]  # a renewal of ours whose answer we never saw
    await memory_api.replace(PATH, stored)
    await one.step_down()
    assert holder(memory_api) == ""


@virtually
async def test_stepping_down_while_winning_still_releases(memory_api: Any) -> None:
    one = Candidate(memory_api, "one")
    one.line.state = "mute writes"
    await passing(0.1)
    assert holder(memory_api) == "one"
    one.line.state = "up"
    await one.step_down()
    assert holder(memory_api) == ""


@virtually
async def test_a_candidate_that_never_stood_releases_nothing(memory_api: Any) -> None:
    one, two = Candidate(memory_api, "one"), Candidate(memory_api, "two")
    await passing(5)
    await two.step_down()
    assert one.leads
    assert holder(memory_api) == "one"
    await one.stop()


@pytest.mark.parametrize("state", ["down", "hangs", "mute"])
@virtually
async def test_a_leader_without_answers_stops_writing_before_anybody_else_starts(memory_api: Any, state: str) -> None:
    one, two = Candidate(memory_api, "one"), Candidate(memory_api, "two")
    await passing(60)
    one.line.state = state
    await passing(7.9)
    assert one.leads
    await passing(2.2)
    assert not one.leads
    assert not two.leads
    await passing(4)
    assert len(one.lost) == 1
    await passing(12)
    assert two.leads
    await two.stop()


@pytest.mark.parametrize("state", ["down", "hangs", "mute"])
@virtually
async def test_a_short_outage_changes_nothing(memory_api: Any, state: str) -> None:
    one, two = Candidate(memory_api, "one"), Candidate(memory_api, "two")
    await passing(60)
    one.line.state = state
    await passing(5)
    one.line.state = "up"
    await passing(60)
    assert one.leads
    assert not two.epochs
    for each in (one, two):
        await each.stop()


@virtually
async def test_a_deleted_lease_is_written_again_by_its_leader(memory_api: Any) -> None:
    one, two = Candidate(memory_api, "one"), Candidate(memory_api, "two")
    await passing(60)
    memory_api.remove("leader")
    await passing(60)
    assert one.leads
    assert not two.epochs
    assert holder(memory_api) == "one"
    for each in (one, two):
        await each.stop()


@virtually
async def test_a_leader_whose_deleted_lease_was_taken_is_lost(memory_api: Any) -> None:
    one = Candidate(memory_api, "one")
    await passing(60)
    memory_api.remove("leader")
    two = Candidate(memory_api, "two")  # has never seen a leader
    await passing(3)
    assert two.leads
    assert not one.leads
    assert "two holds the leader Lease" in one.lost[0]
    assert two.epochs[0] > one.epochs[0]
    await two.stop()


@virtually
async def test_a_strangers_edit_of_the_lease_is_survived(memory_api: Any) -> None:
    one = Candidate(memory_api, "one")
    await passing(60)
    lease = await memory_api.get(PATH)
    lease["metadata"]["labels"] = {"who": "me"}
    await memory_api.replace(PATH, lease)
    await passing(60)
    assert one.leads
    assert memory_api.objects["leader"]["metadata"]["labels"] == {"who": "me"}
    await one.stop()


@virtually
async def test_a_cleared_holder_asks_the_leader_to_go(memory_api: Any) -> None:
    one = Candidate(memory_api, "one")
    await passing(60)
    lease = await memory_api.get(PATH)
    lease["spec"]["holderIdentity"] = ""
    await memory_api.replace(PATH, lease)
    await passing(3)
    assert one.lost
    assert not one.leads


@virtually
async def test_an_absurd_lease_duration_is_not_waited_for(memory_api: Any) -> None:
    one = Candidate(memory_api, "one")
    await passing(1)
    await one.stop()
    lease = await memory_api.get(PATH)
    lease["spec"]["leaseDurationSeconds"] = 10**9
    await memory_api.replace(PATH, lease)
    two = Candidate(memory_api, "two")
    await passing(310)
    assert two.leads
    await two.stop()


@pytest.mark.parametrize("times", [(15, 15, 2), (15, 14, 2), (15, 10, 10), (15, 10, 0)])
def test_times_that_allow_two_leaders_are_refused(memory_api: Any, times: tuple[float, float, float]) -> None:
    lease_s, renew_deadline_s, retry_s = times
    with pytest.raises(ValueError, match="renew deadline"):
        Election(
            memory_api,
            namespace="ns",
            name="leader",
            lease_s=lease_s,
            renew_deadline_s=renew_deadline_s,
            retry_s=retry_s,
        )


_WEATHER = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["up", "down", "hangs", "mute", "dies", "steps down", "starts"]),
        st.floats(0, 20),
    ),
    max_size=30,
)


@given(weather=_WEATHER)
@settings(max_examples=100, deadline=None)
@virtually
async def test_there_are_never_two_leaders(weather: list[tuple[int, str, float]]) -> None:
    api = MemoryApi()
    candidates = [Candidate(api, f"{number}-0") for number in range(3)]
    everybody = list(candidates)
    epochs: list[int] = []

    async def observe(seconds: float) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            leading = [each for each in everybody if each.leads]
            assert len(leading) <= 1, "two leaders"
            if leading and leading[0].epochs and leading[0].epochs[0] not in epochs:
                epochs.append(leading[0].epochs[0])
            await asyncio.sleep(0.25)

    for number, change, seconds in weather:
        each = candidates[number]
        if change == "dies":
            await each.stop()
            each.election._deadline = None
        elif change == "steps down":
            await each.step_down()
        elif change == "starts" and each.task.done():
            candidates[number] = Candidate(api, f"{number}-{len(everybody)}")
            everybody.append(candidates[number])
        elif change in ("up", "down", "hangs", "mute"):
            each.line.state = change
        await observe(seconds)
    assert epochs == sorted(epochs)

    for number, each in enumerate(candidates):
        each.line.state = "up"
        if each.task.done():
            candidates[number] = Candidate(api, f"{number}-last")
            everybody.append(candidates[number])
    await observe(40)
    assert [each.leads for each in candidates].count(True) == 1
    for each in everybody:
        await each.stop()
