"""Direct reads of Leases: a portion a round, and nobody starves behind those that are not answered."""

from __future__ import annotations

from types import SimpleNamespace

from fingerv7.adapters.kube.errors import ApiUnreachable
from fingerv7.core.liveness import observe
from fingerv7.core.model import Assignment, Lease, Worker
from fingerv7.runtime.office import AT_ONCE
from fingerv7.runtime.prober import Prober

NAMES = [f"w{n:03}" for n in range(3 * AT_ONCE)]


def lease(name: str) -> Lease:
    return Lease(name, f"lease-{name}", 1, "radio", "pod/1", "t1", 20_000)


class Server:
    def __init__(self, deaf: set[str]) -> None:
        self.deaf = deaf
        self.reads: list[str] = []

    async def get(self, path, **_):
        name = path.rpartition("/")[2]
        self.reads.append(name)
        if name in self.deaf:
            raise ApiUnreachable("no answer")
        metadata = {
            "name": name,
            "namespace": "ns",
            "uid": f"lease-{name}",
            "resourceVersion": "1",
            "labels": {"fingerv7.io/pool": "radio"},
        }
        return {"metadata": metadata, "spec": {"holderIdentity": "pod/1", "renewTime": "t1"}}


async def test_thousands_of_silent_workers_are_looked_at_in_portions_and_the_unanswered_do_not_come_first():
    now = [0.0]
    server = Server(deaf=set(NAMES[:AT_ONCE]))
    fleet = SimpleNamespace(
        observation=lambda _, name: observe(None, lease(name), 0.0), leases=SimpleNamespace(put=lambda raw: None)
    )
    clocks = SimpleNamespace(monotonic=lambda: now[0])
    prober = Prober(
        SimpleNamespace(api=server, fleets=SimpleNamespace(of=lambda _: fleet), clocks=clocks), namespace="ns"
    )
    workers = [Worker(name, f"uid-{name}", 1, "radio", 10) for name in NAMES]
    rounds = 0
    while len(prober.confirmed()) < 2 * AT_ONCE:
        before = len(server.reads)
        await prober.confirm(worker for worker in workers if worker.name not in prober.confirmed())
        assert len(server.reads) - before <= AT_ONCE
        now[0] += 0.05
        rounds += 1
    assert rounds == 3
    assert prober.confirmed() == set(NAMES) - server.deaf


async def test_what_is_revoked_after_a_proof_does_not_wait_for_the_next_turn():
    now = [0.0]
    fleet = SimpleNamespace(
        observation=lambda _, name: observe(None, lease(name), 0.0), leases=SimpleNamespace(put=lambda raw: None)
    )
    clocks = SimpleNamespace(monotonic=lambda: now[0])
    prober = Prober(
        SimpleNamespace(api=Server(set()), fleets=SimpleNamespace(of=lambda _: fleet), clocks=clocks), namespace="ns"
    )

    def revoking(epoch: int) -> list[tuple[Worker, float]]:
        return [(Worker("w", "uid-w", 1, "radio", 10, assignment=Assignment(epoch, 1, {}, {"s": epoch})), 20.0)]

    await prober.probe(revoking(1), {})
    now[0] = 30.0
    assert await prober.probe(revoking(1), {})
    assert await prober.probe(revoking(2), {})
