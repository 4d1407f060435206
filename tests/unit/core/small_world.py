"""A pool in a small world, which stores what `decide` writes; acknowledgements arrive whenever a test says so.

What a worker *really runs* is tracked apart from what the objects say.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from fingerv7.contract import Acknowledgement, Release, Timing
from fingerv7.core.approval import Asked
from fingerv7.core.liveness import observe
from fingerv7.core.model import Lease, Stream, Token, Worker
from fingerv7.core.planner import Policy
from fingerv7.core.rounds import Memory, Rules, World, decide
from fingerv7.core.takeover import MassFailure

TIMING = Timing.derive(20_000)
T_S = 20.0
LEADER = 5


def rules(**changes) -> Rules:
    usual = Rules(
        timing=TIMING,
        warning_after_ms=10_000,
        mass_failure=MassFailure(100, 60.0),
        policy=Policy(),
        cooldown_s=300.0,
        drain_timeout_s=600.0,
    )
    return replace(usual, **changes)


@dataclass
class Member:
    """A worker with its sidecar: `runs` is the truth that no object tells."""

    worker: Worker
    lease: Lease
    observed: object = None
    runs: dict[str, Token] = field(default_factory=dict)
    alive: bool = True


class Pool:
    """The API server, the workers and one leader's memory."""

    def __init__(self, capacities: dict[str, int], streams: int) -> None:
        self.now = 0.0
        self.members: dict[str, Member] = {}
        self.catalog = {f"s{n}": Stream(f"s{n}", f"http://radio.example/{n}") for n in range(streams)}
        self.memory = Memory()
        self.rules = rules()
        self.leader = LEADER
        self.tokens = itertools.count(1)
        self.versions = itertools.count(10)
        self.proven: dict[str, int] = {}
        self.barrier = True
        self.asked = Asked()
        self.overrides = {}
        self.wall_s = 1_790_000_000.0
        self.loses: set[str] = set()
        """Workers whose next write does not arrive."""
        for name, limit in capacities.items():
            self.join(name, limit)

    def join(self, name: str, limit: int) -> None:
        worker = Worker(name, f"uid-{name}", 1, "radio", limit, finalizer=True)
        holder = f"pod-{name}/1"
        applied = Acknowledgement(worker.uid, holder, 0)
        lease = Lease(name, f"lease-{name}", 1, "radio", holder, "0", 20_000, applied)
        self.members[name] = Member(worker, lease)

    def world(self) -> World:
        for member in self.members.values():
            if member.alive:
                member.lease = replace(member.lease, renew_time=str(self.now))
            member.observed = observe(member.observed, member.lease, self.now)
        return World(
            workers={n: m.worker for n, m in self.members.items()},
            leases={n: m.lease for n, m in self.members.items()},
            observations={n: m.observed for n, m in self.members.items()},
            unknown={},
            proven=self.proven,
            confirmed={n for n, m in self.members.items() if not m.alive},
            unreadable=frozenset(),
            catalog=self.catalog,
            rules=self.rules,
            leader_epoch=self.leader,
            barrier_passed=self.barrier,
            asked=self.asked,
            overrides=self.overrides,
            wall_s=self.wall_s + self.now,
        )

    def round(self):
        """One decision, its writes stored, direct reads made."""
        decision = decide(
            self.world(), self.memory, now=self.now, next_token=lambda: Token(self.leader, next(self.tokens))
        )
        lost, self.loses = self.loses, set()
        accepted = [write for write in decision.writes if write.worker not in lost]
        if decision.balances and len(accepted) == len(decision.writes):
            world = self.world()
            self.memory.balanced(world.workers, [m.stream for m in decision.plan.moves], self.rules, self.now)
        for write in accepted:
            member = self.members[write.worker]
            assert write.assignment.epoch >= member.worker.assignment.epoch
            member.worker = replace(member.worker, assignment=write.assignment, resource_version=next(self.versions))
            self.memory.accepted(write, self.now)
        for worker, t_s in decision.to_probe:
            member = self.members[worker.name]
            gone = not member.alive and self.now - member.observed.since >= t_s
            if gone or member.lease.shows_release(worker.uid):
                self.proven[worker.name] = member.worker.assignment.epoch
        return decision

    def acknowledge(self, name: str) -> None:
        """The sidecar mirrors the assignment, the worker follows, the Lease says so."""
        member = self.members[name]
        if member.alive:
            assignment = member.worker.assignment
            member.runs = {i: grant.token for i, grant in assignment.grants.items()}
            applied = Acknowledgement(member.worker.uid, member.lease.holder, assignment.epoch)
            member.lease = replace(member.lease, applied=applied, released=None)
        self.check()

    def settle(self, rounds: int = 12):
        for _ in range(rounds):
            decision = self.round()
            for name in self.members:
                self.acknowledge(name)
        return decision

    def kill(self, name: str) -> None:
        self.members[name].alive = False
        self.members[name].runs = {}

    def crash(self, name: str) -> None:
        """The worker ends by itself, and its sidecar says so."""
        member = self.members[name]
        member.runs = {}
        holder = member.lease.holder
        released = Release(member.worker.uid, holder)
        member.lease = replace(member.lease, applied=None, released=released, gone=holder)

    def come_back(self, name: str) -> None:
        member = self.members[name]
        member.lease = replace(member.lease, released=None, gone="")
        self.acknowledge(name)

    def pass_time(self, seconds: float) -> None:
        """In steps short enough that nobody who is alive looks late."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 5.0)
            self.round()

    def check(self) -> None:
        running = [i for member in self.members.values() for i in member.runs]
        assert len(running) == len(set(running)), "a stream runs on two workers"
        for member in self.members.values():
            assert len(member.runs) <= member.worker.max_streams

    def loads(self) -> dict[str, int]:
        return {name: len(member.runs) for name, member in self.members.items()}


def revive(pool: Pool, name: str) -> None:
    """A new incarnation: it acquires the Lease, reads its FingerWorker, and only then acknowledges."""
    member = pool.members[name]
    if not member.alive:
        number = int(member.lease.holder.rpartition("/")[2]) + 1
        holder = f"pod-{name}/{number}"
        member.lease = replace(member.lease, holder=holder, applied=None, released=None, renew_time=f"r{pool.now}")
        member.alive = True
        pool.acknowledge(name)
