"""Stories of many rounds: whatever happens, a fleet ends as wanted and takes nothing from streams."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from fingerv7.contract import Acknowledgement
from fingerv7.core.managed.model import (
    ChangeWorker,
    CreateWorker,
    MakePod,
    Mark,
    Member,
    Pod,
    RemovePod,
    RemoveWorker,
    ordinal_of,
)
from fingerv7.core.managed.round import Crew, Memory, decide
from fingerv7.core.model import Assignment, Grant, Lease, Stream, Token, Worker

from .small_fleet import NOW, a_pod, wanted


@dataclass
class Life:
    """The truth about one worker: FingerWorker and pod."""

    worker: Worker
    pod: Pod | None = None
    streams: int = 0
    vanished: bool = False


@dataclass
class World:
    """An API server, a kubelet and the streams' loop, each as far as a fleet notices them."""

    want: object
    max_unavailable: int = 1
    lives: dict[str, Life] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    now: float = 0.0
    uids: object = field(default_factory=itertools.count)
    streams: int = 60

    def members(self):
        found = []
        for name, life in sorted(self.lives.items()):
            grants = {
                f"{name}-{i}": Grant(Stream(f"{name}-{i}", "http://x"), Token(1, i)) for i in range(life.streams)
            }
            ready = bool(life.pod and life.pod.ready and not life.worker.drain_for and not life.worker.deleting)
            worker = replace(
                life.worker,
                assignment=Assignment(epoch=1, grants=grants),
                status={"conditions": [{"type": "Ready", "status": str(ready)}]},
            )
            lease = None
            if life.pod:
                holder = f"{life.pod.uid}/1"
                lease = Lease(name, "l", 1, "radio", holder, "", applied=Acknowledgement(worker.uid, holder, 1))
            found.append(Member(worker, ordinal_of("radio", name), life.pod, lease))
        return found

    def round(self):
        members = self.members()
        crew = Crew("radio", self.want, members, now=self.now, wall_s=NOW + self.now)
        plan = decide(crew, self.memory)
        self.judge(members, plan)
        for step in plan.steps:
            self.do(step)
        return plan

    def judge(self, members, plan):
        """The laws."""
        by_name = {m.name: m for m in members}
        for step in plan.steps:
            match step:
                case RemovePod(pod):
                    assert pod.ended or not by_name[pod.name].holds, "a pod with streams was removed"
                case RemoveWorker(worker):
                    assert not by_name[worker.name].holds
                    assert by_name[worker.name].pod is None
        emptied = [s for s in plan.steps if isinstance(s, Mark) and s.reason == "Rollout"]
        healthy = [s for s in emptied if by_name[s.worker.name].in_service]
        if healthy:
            staying = [
                m for m in members
                if not m.leaving and not any(isinstance(s, Mark) and s.reason == "ScaleDown" and s.worker.name == m.name for s in plan.steps)
            ]  # fmt: skip
            away = sum(1 for m in staying if not m.in_service and not self.is_old_trouble(m))
            assert away + len(healthy) <= self.want.max_unavailable, "more out of service than may be"
        created = [s.name for s in plan.steps if isinstance(s, CreateWorker)]
        assert not set(created) & by_name.keys()

    def is_old_trouble(self, m):
        pod = m.pod
        return bool(pod) and not pod.ready and NOW + self.now - pod.created_s >= self.want.progress_s

    def do(self, step):
        match step:
            case CreateWorker(name, traits):
                worker = Worker(
                    name, f"w{next(self.uids)}", 1, "radio", traits.max_streams, traits.capabilities, managed=True
                )
                self.lives[name] = Life(worker)
            case ChangeWorker(worker, traits):
                life = self.lives[worker.name]
                life.worker = replace(life.worker, max_streams=traits.max_streams)
            case Mark(worker, reason):
                life = self.lives[worker.name]
                life.worker = replace(life.worker, drain_for=reason)
            case RemoveWorker(worker):
                del self.lives[worker.name]
            case MakePod(worker, _):
                self.memory.attempts.made(worker.name, self.now)
                life = self.lives[worker.name]
                life.pod = a_pod(
                    name=worker.name, uid=f"p{next(self.uids)}", owner=life.worker.uid, revision=self.want.revision,
                    ready=False, phase="Pending", age_s=-self.now,
                )  # fmt: skip
            case RemovePod(pod):
                self.lives[pod.name].pod = None

    def kubelet(self):
        """Pods start, and marked or deleted workers hand their streams over."""
        for name in sorted(self.lives):
            life = self.lives[name]
            if life.pod and not life.pod.ready and not life.pod.ended and life.pod.revision != "broken":
                life.pod = replace(life.pod, ready=True, phase="Running", changed_s=NOW + self.now)
            if life.worker.drain_for or life.worker.deleting or life.pod is None or life.pod.ended:
                life.streams = 0
            elif life.pod.ready:
                life.streams = max(1, self.streams // max(1, len(self.lives)))
            if life.worker.deleting and not life.streams:
                del self.lives[name]

    def settle(self, rounds=60):
        for _ in range(rounds):
            self.kubelet()
            plan = self.round()
            self.now += 30.0
        return plan


EVENTS = st.one_of(
    st.tuples(st.just("scale"), st.integers(0, 6)),
    st.tuples(st.just("template"), st.sampled_from(["r1", "r2", "r3", "broken"])),
    st.tuples(st.just("unavailable"), st.integers(1, 3)),
    st.tuples(st.sampled_from(["kill pod", "pod fails", "delete worker"]), st.integers(0, 5)),
    st.tuples(st.sampled_from(["round", "round", "kubelet", "time"]), st.just(0)),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(EVENTS, max_size=40))
def test_whatever_happens_it_ends_as_wanted_and_takes_no_streams(events):
    world = World(wanted(replicas=3, revision="r1"))
    for event, value in events:
        names = sorted(world.lives)
        name = names[value % len(names)] if names and isinstance(value, int) else ""
        match event:
            case "scale":
                world.want = replace(world.want, replicas=value)
            case "template":
                world.want = replace(world.want, revision=value)
            case "unavailable":
                world.want = replace(world.want, max_unavailable=value)
            case "kill pod" if name:
                world.lives[name].pod = None
            case "pod fails" if name and world.lives[name].pod:
                world.lives[name].pod = replace(world.lives[name].pod, phase="Failed", ready=False)
            case "delete worker" if name:
                world.lives[name].worker = replace(world.lives[name].worker, deleting=True)
            case "round":
                world.round()
            case "kubelet":
                world.kubelet()
            case "time":
                world.now += 30.0
    world.want = replace(world.want, revision="r9")
    plan = world.settle()
    assert len(world.lives) == world.want.replicas
    assert all(life.pod and life.pod.revision == "r9" and life.pod.ready for life in world.lives.values())
    assert not any(life.worker.drain_for for life in world.lives.values())
    assert plan.steps == []
