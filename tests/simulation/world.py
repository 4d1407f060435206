"""The whole system of one seed: API server, database, operators, machines with pods, and the judge.

Everything that the seed decides is drawn here or in `faults`; production code draws from the global `random`, which
is seeded as well.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fingerv7.contract import FINGERPRINTING, Timing, format_duration

from .database import Database, row
from .defect import Defect, Kind
from .judge import Judge
from .loop import MachineClock, Process, SimLoop
from .network import Link, Server
from .pod import Machine, Pod, Settings
from .replica import Replica
from .worker import Manners

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .scenario import Driver
    from .store import Commit, Json

LONGEST_START_K = 0.2
"""The longest that a worker takes to start what it is given, in K."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes and times of one seed."""

    takeover_s: float
    workers: int
    replicas: int
    streams: int
    slots: int
    """Capacity of each worker."""
    cooldown: str
    registration: bool
    """Whether workers register themselves."""
    may_create: bool = True
    """Whether sidecars that do not may create a Lease; a managed worker's may not, and waits for the operator's."""
    is_tight: bool = False
    """Whether D + K is as long as T allows, workers' clocks are slow, operators' fast, and a kill takes all of K."""
    clock_spread: float = 0.05
    """ρ: rates are drawn from 1 ± this."""

    @classmethod
    def draw(cls, rng: random.Random) -> Scale:
        workers = rng.choice((3, 3, 3, 4, 4, 5))
        streams = rng.randint(20, 24)
        # Room for all on one less, mostly; and sometimes only just.
        slots = -(-streams // (workers - 1)) + rng.choice((0, 0, 1, 3, 10))
        return cls(
            takeover_s=rng.choice((4.0, 4.0, 5.0, 6.0)),
            workers=workers,
            replicas=rng.choice((2, 2, 2, 3)),
            streams=streams,
            slots=slots,
            cooldown=rng.choice(("1s", "5s", "300s")),
            registration=rng.random() < 0.15,
            is_tight=rng.random() < 0.2,
            may_create=rng.random() < 0.6,
        )


class World:
    def __init__(
        self, seed: int, *, tell: Callable[[str], None] | None = None, changes: Mapping[str, Any] | None = None
    ) -> None:
        """`changes`: fields of `Scale` that are not drawn."""
        self.seed = seed
        self.rng = random.Random(f"world {seed}")
        random.seed(f"processes {seed}")
        self.scale = replace(Scale.draw(self.rng), **(changes or {}))
        self.tell = tell
        self.loop = SimLoop()
        self.loop.executor_delay = lambda: 0.001 + 0.02 * self.rng.random() ** 4
        self.server = Server(self.loop, random.Random(f"network {seed}"))
        self.database = Database()
        self.pool_name = "radio"
        self.defects: list[Defect] = []
        self.counts: Counter[str] = Counter()
        self.trace = hashlib.blake2b(digest_size=8)
        t_s = self.scale.takeover_s
        self.timing = Timing.derive(round(t_s * 1000))
        if self.scale.is_tight:
            longest_ms = round(t_s * 1000) * 95 // 105
            stop_ms = self.timing.stop_time_ms
            self.timing = Timing.derive(round(t_s * 1000), fence_after_ms=longest_ms - stop_ms, stop_time_ms=stop_ms)
        assert not self.timing.violations()
        self.lease_s = 0.8 * t_s
        self.renew_deadline_s = 0.6 * t_s
        self.retry_s = 0.2 * t_s
        self.request_timeout_s = 0.5 * t_s
        self.watch_stall_s = 2.5 * t_s
        self.server.bookmark_s = t_s
        self.barrier_s = 1.0
        self.driver: Driver | None = None
        self.judge = Judge(self)
        self.server.store.on_commit.append(self._committed)
        self.links: list[Link] = []
        self.replicas: list[Replica] = []
        self.pods: dict[str, Pod] = {}
        """The present pod of each worker."""
        self.old_pods: list[Pod] = []
        """Pods that were replaced while they still run."""
        self._pods = self._rows = 0
        self._machines = 0
        self._create_objects()

    # --- building -----------------------------------------------------------------------------------------

    def _create_objects(self) -> None:
        store, scale = self.server.store, self.scale
        for number in range(scale.streams):
            made = row(number)
            self.database.rows[made["id"]] = made
        store.create("secrets", self._secret(), writer="user")
        store.create("streampools", self._pool(), writer="user")
        for number in range(scale.workers):
            name = f"w{number}"
            if not scale.registration:
                self.create_fingerworker(name)
            self.pods[name] = self.new_pod(name)
        for number in range(scale.replicas):
            self.replicas.append(Replica(self, f"operator-{number}", self._clock(1 + scale.clock_spread)))

    def _secret(self) -> Json:
        uri = base64.b64encode(b"postgresql://reader@db.example/radio?sslmode=disable").decode()
        return {"metadata": {"name": "streams-db"}, "data": {"uri": uri}}

    def _pool(self) -> Json:
        t_ms = round(self.scale.takeover_s * 1000)
        return {
            "apiVersion": "fingerv7.io/v1alpha1",
            "kind": "StreamPool",
            "metadata": {"name": self.pool_name},
            "spec": {
                "source": {
                    "postgres": {"secretRef": {"name": "streams-db"}, "table": "streams", "pollInterval": "1s"}
                },
                "registration": "Open" if self.scale.registration else "Declared",
                "balancing": {"cooldown": self.scale.cooldown},
                "liveness": {
                    "takeoverAfter": format_duration(t_ms),
                    "fenceAfter": format_duration(self.timing.fence_after_ms),
                    "stopTime": format_duration(self.timing.stop_time_ms),
                    "massFailure": {"maxHold": format_duration(t_ms)},
                },
                "drainTimeout": format_duration(t_ms),
            },
        }

    def create_fingerworker(self, name: str, **status: Any) -> None:
        body = {
            "apiVersion": "fingerv7.io/v1alpha1",
            "kind": "FingerWorker",
            "metadata": {"name": name},
            "spec": {
                "poolRef": {"name": self.pool_name},
                "maxStreams": self.scale.slots,
                "capabilities": [FINGERPRINTING],
            },
        }
        self.server.store.create("fingerworkers", body, writer="user")

    def _clock(self, tight_rate: float) -> MachineClock:
        rng, spread = self.rng, self.scale.clock_spread
        # The extremes are what the inequality is about.
        rate = rng.choice((1 - spread, 1 + spread)) if rng.random() < 0.6 else rng.uniform(1 - spread, 1 + spread)
        if self.scale.is_tight and rng.random() < 0.8:
            rate = tight_rate
        return MachineClock(
            self.loop,
            rate=rate,
            boot_offset=rng.uniform(10.0, 1e6),
            wall_offset=1.7e9 + rng.uniform(-3600.0, 3600.0),
        )

    def new_pod(self, name: str) -> Pod:
        """A pod on a machine of its own."""
        self._pods += 1
        self._machines += 1
        rng, k_s = self.rng, self.timing.stop_time_ms / 1000
        period = k_s * (0.02 if self.scale.is_tight else rng.uniform(0.1, 0.4))
        settings = Settings(
            timing=self.timing,
            manners=Manners(
                stop_s=k_s * rng.choice((0.02, 0.2, 1.0, 1.5)) * rng.random(),
                start_s=k_s * LONGEST_START_K * rng.random(),
                watches_fence=rng.random() < 0.5,
            ),
            probe_period_s=period,
            grace_s=k_s * (1.0 if self.scale.is_tight else rng.choice((0.95, 0.6))) - period,
            has_lock=rng.random() < 0.8,
            register=f'{{"maxStreams": {self.scale.slots}}}' if self.scale.registration else "",
            drain_on_stop=rng.random() < 0.5,
        )
        machine = Machine(self._clock(1 - self.scale.clock_spread), self._machines)
        return Pod(self, name, f"pod{self._pods}", machine, settings)

    def link(self, process: Process, on_crash: Callable[[], None]) -> Link:
        made = Link(self.server, process)
        made.on_crash = on_crash
        self.links = [link for link in self.links if link.process.alive]
        self.links.append(made)
        return made

    def replace_pod(self, name: str) -> Pod:
        """Another pod of that name, elsewhere; the old one is whatever it is."""
        old = self.pods[name]
        if not old.removed:
            self.old_pods.append(old)
        made = self.pods[name] = self.new_pod(name)
        made.start()
        return made

    def ensure_fingerworker(self, name: str) -> None:
        """Declare it if it does not exist; one that is being deleted is in the way for as long as that takes."""
        if self.scale.registration:
            return
        if ("fingerworkers", name) in self.server.store.objects:
            self.loop.nature.after(0.5, self._ensure_later, name)
            return
        self.create_fingerworker(name)
        self.counts["FingerWorker recreated"] += 1

    def _ensure_later(self, name: str) -> None:
        found = self.server.store.objects.get(("fingerworkers", name))
        if found is None or "deletionTimestamp" in found["metadata"]:
            self.ensure_fingerworker(name)

    def add_row(self) -> None:
        self._rows += 1
        made = row(100 + self._rows)
        self.database.rows[made["id"]] = made

    def make_whole(self) -> None:
        """Nothing is broken any more: what is left is for the system to mend."""
        self.server.slow_targets.clear()
        store = self.server.store
        store.patch("streampools", self.pool_name, {"spec": {"paused": None}}, None, writer="user")
        for name in self.pods:
            if ("fingerworkers", name) in store.objects:
                # A backup may have brought back what somebody asked for then.
                spec = {"drain": None, "maxStreams": self.scale.slots}
                store.patch("fingerworkers", name, {"spec": spec}, None, writer="user")
            self.ensure_fingerworker(name)
        for link in self.links:
            link.crash_in = None
            link.heal()
        for pod in self.old_pods:
            pod.remove()
        self.old_pods.clear()
        for name, pod in list(self.pods.items()):
            if pod.removed:
                self.replace_pod(name)
            if pod.worker and pod.worker.hung:
                pod.crash_worker()
        for replica in self.replicas:
            replica.start()

    def restart_s(self) -> float:
        return 0.2 + self.rng.random()

    def start(self) -> None:
        for pod in self.pods.values():
            self.loop.nature.after(self.rng.random() * 0.5, pod.start)
        for replica in self.replicas:
            self.loop.nature.after(self.rng.random() * 0.5, replica.start)

    def exit(self) -> None:
        """`os._exit` by the operator's process that runs now."""
        for replica in self.replicas:
            if replica.process is self.loop.current:
                replica.crash()

    # --- what is known of it ------------------------------------------------------------------------------

    @property
    def leader(self) -> Replica | None:
        return next((replica for replica in self.replicas if replica.in_office), None)

    @property
    def t_s(self) -> float:
        """T in true time, on the slowest clock."""
        return self.scale.takeover_s / (1 - self.scale.clock_spread)

    def fingerworkers(self) -> dict[str, Json]:
        return {found["metadata"]["name"]: found for found in self.server.store.list("fingerworkers")}

    # --- notes --------------------------------------------------------------------------------------------

    def note(self, process: Process, text: str) -> None:
        if self.tell:
            self.tell(f"{self.loop.now:9.3f} {process.name}: {text}")

    def event(self, text: str) -> None:
        """Something that the trace's hash is made of."""
        line = f"{self.loop.now:.6f} {text}"
        self.trace.update(line.encode())
        if self.tell:
            self.tell(f"{self.loop.now:9.3f} {text}")

    def defect(self, kind: Kind, text: str) -> None:
        """Something that must never happen."""
        self.defects.append(Defect(kind, f"at {self.loop.now:.3f} s: {text}"))
        self.event(f"DEFECT {text}")

    def _committed(self, commit: Commit) -> None:
        self.event(
            f"{commit.writer} {commit.kind} {commit.plural}/{commit.name} {commit.revision}{self._detail(commit)}"
        )

    def _detail(self, commit: Commit) -> str:
        if not self.tell:
            return ""
        if commit.plural == "fingerworkers":
            held = (commit.new.get("status") or {}).get("assignment") or {}
            was = ((commit.old or {}).get("status") or {}).get("assignment") or {}
            if held == was:
                return ""
            ids = " ".join(each["id"] for each in held.get("streams", ()))
            revoking = " ".join(f"{each['id']}@{each['epoch']}" for each in held.get("revoking", ()))
            return f" epoch {held.get('epoch')}/{held.get('leaderEpoch')} [{ids}] revoking [{revoking}]"
        if commit.plural == "leases":
            notes = {k.rpartition("/")[2]: v for k, v in (commit.new["metadata"].get("annotations") or {}).items()}
            return f" {commit.new.get('spec', {}).get('holderIdentity')} {notes}"
        return ""
