"""Leadership on the real API server, with short times so that a test takes seconds."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest

from fingerv7.adapters.kube.api import KubeApi
from fingerv7.adapters.kube.election import Election, LeadershipLost
from fingerv7.adapters.kube.resources import LEASES

pytestmark = pytest.mark.integration

LEASE_S, DEADLINE_S, RETRY_S = 5.0, 3.5, 0.5


class Candidate:
    def __init__(self, api: KubeApi, namespace: str, identity: str) -> None:
        self.lost: list[tuple[float, str]] = []
        self.epoch = 0
        self.led_at = 0.0
        self.election = Election(
            api,
            namespace=namespace,
            name="leader",
            identity=identity,
            lease_s=LEASE_S,
            renew_deadline_s=DEADLINE_S,
            retry_s=RETRY_S,
            on_lost=lambda why: self.lost.append((time.monotonic(), why)),
        )

    @property
    def leads(self) -> bool:
        return self.election.may_write

    async def run(self) -> None:
        self.epoch = await self.election.acquire()
        self.led_at = time.monotonic()
        with contextlib.suppress(LeadershipLost):
            await self.election.hold()


async def spec(api: KubeApi, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get(LEASES.path(namespace, "leader")))["spec"]
    return found


async def test_one_of_two_leads_and_the_other_follows_when_it_steps_down(
    api: Any, namespace: str, running: Any, until: Any
) -> None:
    one, two = Candidate(api, namespace, "one"), Candidate(api, namespace, "two")
    async with running(one.run()) as leading:
        await until(lambda: one.leads, "the first leader")
        async with running(two.run()):
            started = time.monotonic()
            await until(lambda: time.monotonic() - started > LEASE_S + 1, "a whole lease")
            assert one.leads
            assert not two.leads
            leading.cancel()
            await asyncio.wait([leading])
            await one.election.release()
            stepped_down = time.monotonic()
            assert not one.leads
            await until(lambda: two.leads, "the second leader", within_s=LEASE_S - 1)
            assert two.led_at - stepped_down < LEASE_S - 1
            assert two.epoch > one.epoch
            assert (await spec(api, namespace))["leaseTransitions"] == 1
        await two.election.release()
    assert not one.lost
    assert not two.lost


async def test_a_leader_cut_off_from_the_api_is_gone_before_the_next_one_starts(
    api: Any, open_line: Any, namespace: str, running: Any, until: Any
) -> None:
    line = await open_line()
    one, two = Candidate(line.client, namespace, "one"), Candidate(api, namespace, "two")
    async with running(one.run()):
        await until(lambda: one.leads, "the first leader")
        async with running(two.run()):
            line.proxy.refuse()
            await until(lambda: two.leads, "the second leader")
            assert not one.leads
            ((lost_at, why),) = one.lost
            assert why.startswith("leadership lost: not renewed within 3.5 s")
            assert lost_at < two.led_at
        await two.election.release()


async def test_a_renewal_whose_answer_is_lost_costs_nothing(
    open_line: Any, api: Any, namespace: str, running: Any, until: Any
) -> None:
    line = await open_line()
    one = Candidate(line.client, namespace, "one")
    async with running(one.run()):
        await until(lambda: one.leads, "the leader")
        line.proxy.mode = "lose answers"
        await until(lambda: line.proxy.answers_lost, "a lost answer")
        line.proxy.mode = "pass"
        renewed = (await spec(api, namespace))["renewTime"]
        started = time.monotonic()
        await until(lambda: time.monotonic() - started > LEASE_S, "a whole lease")
        assert one.leads
        assert not one.lost
        assert (await spec(api, namespace))["renewTime"] > renewed
    await one.election.release()


async def test_a_lease_deleted_by_a_stranger_is_written_again(
    api: Any, namespace: str, running: Any, until: Any
) -> None:
    one, two = Candidate(api, namespace, "one"), Candidate(api, namespace, "two")
    async with running(one.run()):
        await until(lambda: one.leads, "the leader")
        async with running(two.run()):
            started = time.monotonic()
            await until(lambda: time.monotonic() - started > RETRY_S * 2, "the second has seen the first")
            await api.delete(LEASES.path(namespace, "leader"))
            started = time.monotonic()
            await until(lambda: time.monotonic() - started > LEASE_S + 1, "a whole lease")
            assert one.leads
            assert not two.leads
            assert (await spec(api, namespace))["holderIdentity"] == "one"
    await one.election.release()


async def test_the_epoch_grows_even_when_the_lease_was_deleted(api: Any, namespace: str) -> None:
    epochs = []
    for _ in range(3):
        one = Candidate(api, namespace, "one")
        epochs.append(await one.election.acquire())
        await one.election.release()
        await api.delete(LEASES.path(namespace, "leader"))
    assert epochs == sorted(set(epochs))


async def test_the_watchdog_acts_while_the_loop_hangs(api: Any, namespace: str, running: Any, until: Any) -> None:
    one = Candidate(api, namespace, "one")
    async with running(one.run()):
        await until(lambda: one.leads, "the leader")
        hung = time.monotonic()
        time.sleep(DEADLINE_S + 1)  # noqa: ASYNC251 - the very thing that is tested
        ((lost_at, _why),) = one.lost
        assert lost_at - hung <= DEADLINE_S + 0.5
        assert not one.leads
    await one.election.release()
