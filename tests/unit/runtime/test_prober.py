"""Direct reads of Leases: a portion a round, and nobody starves behind those that are not answered."""

from __future__ import annotations

from types import SimpleNamespace

from fingerv7.adapters.kube.errors import ApiUnreachable, NotFound
from fingerv7.core.model import Assignment, Worker
from fingerv7.runtime.fleet import Fleet
from fingerv7.runtime.office import AT_ONCE
from fingerv7.runtime.prober import Prober

NAMES = [f"w{n:03}" for n in range(3 * AT_ONCE)]


def lease(name: str) -> dict[str, object]:
    metadata = {
        "name": name,
        "namespace": "ns",
        "uid": f"lease-{name}",
        "resourceVersion": "1",
        "labels": {"fingerv7.io/pool": "radio"},
    }
    return {"metadata": metadata, "spec": {"holderIdentity": "pod/1", "renewTime": "t1"}}


class Server:
    def __init__(self, *, deaf: set[str] = frozenset(), gone: set[str] = frozenset()) -> None:
        self.deaf = deaf
        self.gone = gone
        self.reads: list[str] = []

    async def get(self, path, **_):
        name = path.rpartition("/")[2]
        self.reads.append(name)
        if name in self.deaf:
            raise ApiUnreachable("no answer")
        if name in self.gone:
            raise NotFound(404, "NotFound", "there is no such Lease")
        return lease(name)


class House:
    """A prober beside what the watch has shown: a Lease of everybody."""

    def __init__(self, server: Server, names: list[str]) -> None:
        self.now = 0.0
        self.fleet = Fleet(server, namespace="ns", clock=lambda: self.now)
        for name in names:
            self.fleet.leases.put(lease(name))
        office = SimpleNamespace(
            api=server,
            fleets=SimpleNamespace(of=lambda _: self.fleet),
            clocks=SimpleNamespace(monotonic=lambda: self.now),
        )
        self.prober = Prober(office, namespace="ns")


async def test_thousands_of_silent_workers_are_looked_at_in_portions_and_the_unanswered_do_not_come_first():
    server = Server(deaf=set(NAMES[:AT_ONCE]))
    house = House(server, NAMES)
    workers = [Worker(name, f"uid-{name}", 1, "radio", 10) for name in NAMES]
    rounds = 0
    while len(house.prober.confirmed()) < 2 * AT_ONCE:
        before = len(server.reads)
        await house.prober.confirm(worker for worker in workers if worker.name not in house.prober.confirmed())
        assert len(server.reads) - before <= AT_ONCE
        house.now += 0.05
        rounds += 1
    assert rounds == 3
    assert house.prober.confirmed() == set(NAMES) - server.deaf


async def test_what_is_revoked_after_a_proof_does_not_wait_for_the_next_turn():
    house = House(Server(), ["w"])

    def revoking(epoch: int) -> list[tuple[Worker, float]]:
        return [(Worker("w", "uid-w", 1, "radio", 10, assignment=Assignment(epoch, 1, {}, {"s": epoch})), 20.0)]

    await house.prober.probe(revoking(1), {})
    house.now = 30.0
    assert await house.prober.probe(revoking(1), {})
    assert await house.prober.probe(revoking(2), {})


async def test_a_deletion_that_the_watch_lost_is_found_by_the_direct_read():
    house = House(Server(gone={"w"}), ["w", "other"])
    assert not await house.prober.confirm([Worker("w", "uid-w", 1, "radio", 10)])
    assert house.fleet.lease("ns", "w") is None, "nobody would make it anew"
    assert house.fleet.lease("ns", "other")
