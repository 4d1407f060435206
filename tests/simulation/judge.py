"""What must hold at every moment, judged by what workers really run and by what the API server accepted.

Not by what objects say: a stream runs on a worker from the moment its process begins until it ends. Only a worker
whose machine was frozen may still run what is somebody else's by now, until it could notice, and then its token must
be the older one, so that a sink refuses it.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from fingerv7.core.handover import Action

from .deaths import Deaths
from .defect import Kind

if TYPE_CHECKING:
    from fingerv7.core.handover import Write

    from .store import Commit, Json
    from .worker import Worker
    from .world import World


class Judge:
    def __init__(self, world: World) -> None:
        self._world = world
        self.running: dict[str, dict[Worker, str]] = {}
        """Stream → who runs it, under which token."""
        self.idle_since: dict[str, float] = {}
        self.seen: dict[str, str] = {}
        """Stream → the highest token that a sink has seen."""
        self.overlaps = 0
        self.excused = 0
        self.longest_gap_s = 0.0
        """Among those that the promise is about."""
        self.promised: dict[str, tuple[float, float]] = {}
        """Stream → when its worker died alone, and by when somebody else has to run it."""
        self.moving: dict[str, float] = {}
        """Stream that is moved while nothing is wrong → for how long it may be on nobody meanwhile."""
        self.longest_move_gap_s = 0.0
        self._forgives_tokens = False
        self._writers: dict[int, str] = {}
        """Leader epoch → the process that writes with it."""
        self._terms: list[tuple[int, int]] = []
        """At which resourceVersion each term was won, and its leader epoch."""
        self.excused_unplaced = 0
        """Streams that are on nobody at the end because three workers died of them."""
        self._deaths = Deaths(world.scale.takeover_s / (1 + world.scale.clock_spread))
        world.server.store.on_commit.append(self._committed)
        world.server.store.on_rule = self._refused

    # --- what workers run ---------------------------------------------------------------------------------

    def started(self, worker: Worker, stream: str, token: str) -> None:
        world = self._world
        world.event(f"{worker.process.name} starts {stream} {token}")
        runners = self.running.setdefault(stream, {})
        for other, others in runners.items():
            self._meet(stream, worker, token, other, others)
        runners[worker] = token
        highest = self.seen.get(stream, "")
        if token > highest:
            self.seen[stream] = token
        elif token < highest and not self._forgives_tokens and not self._excused(worker):
            world.defect(
                Kind.TOKEN, f"{worker.process.name} starts {stream} with {token}, but a sink has seen {highest}"
            )
        idle = self.idle_since.pop(stream, None)
        if stream in self.moving and idle is not None:
            self._moved(stream, world.loop.now - idle)
        promised = self.promised.pop(stream, None)
        if promised and idle is not None:
            gap = world.loop.now - promised[0]
            self.longest_gap_s = max(self.longest_gap_s, gap)
            if world.loop.now > promised[1]:
                world.defect(
                    Kind.GAP,
                    f"{stream} was on nobody for {gap:.3f} s, promised were {promised[1] - promised[0]:.3f} s",
                )

    def _moved(self, stream: str, gap_s: float) -> None:
        self.longest_move_gap_s = max(self.longest_move_gap_s, gap_s)
        bound = self.moving.pop(stream)
        if gap_s > bound:
            self._world.defect(
                Kind.GAP,
                f"{stream} was on nobody for {gap_s:.3f} s while it was moved, at most {bound:.3f} s are due",
            )

    def died(self, worker: Worker) -> None:
        self._deaths.died(worker.name, self._world.loop.now)

    def stopped(self, worker: Worker, stream: str) -> None:
        self._world.event(f"{worker.process.name} stops {stream}")
        runners = self.running.get(stream, {})
        runners.pop(worker, None)
        if not runners:
            self.running.pop(stream, None)
            self.idle_since[stream] = self._world.loop.now

    def _meet(self, stream: str, worker: Worker, token: str, other: Worker, others: str) -> None:
        """Two run the same stream."""
        world = self._world
        if self._excused(worker) or self._excused(other):
            self.excused += 1
            frozen, newer = (other, token > others) if self._excused(other) else (worker, token < others)
            if not newer:
                world.defect(
                    Kind.TOKEN,
                    f"{stream}: the sink cannot tell {frozen.process.name}, which was frozen, by its token",
                )
            if world.tell:
                world.event(f"{stream} also runs on {other.process.name}, whose machine was frozen")
            return
        self.overlaps += 1
        world.defect(
            Kind.OVERLAP, f"{stream} runs on {other.process.name} ({others}) and on {worker.process.name} ({token})"
        )

    def _excused(self, worker: Worker) -> bool:
        pod = worker.pod
        return pod is not None and (pod.machine.frozen or self._world.loop.now <= pod.frozen_until)

    def thawed(self, worker: Worker) -> None:
        """The time in which a worker whose machine was frozen may run what is another's is over."""
        for stream, token in worker.running.items():
            for other, others in self.running.get(stream, {}).items():
                if other is not worker and not self._excused(other):
                    self.overlaps += 1
                    self._world.defect(
                        Kind.OVERLAP,
                        f"{stream} still runs on {worker.process.name} ({token}), whose machine was frozen, "
                        f"and on {other.process.name} ({others})",
                    )

    # --- what is stored -----------------------------------------------------------------------------------

    def _committed(self, commit: Commit) -> None:
        if commit.plural == "leases" and commit.kind != "DELETED":
            self._deaths.renewed(commit.name, commit.new, commit.at)
        if commit.plural != "fingerworkers" or commit.kind == "DELETED":
            return
        held = (commit.new.get("status") or {}).get("assignment")
        was = ((commit.old or {}).get("status") or {}).get("assignment")
        if not held or held is was:
            return
        world = self._world
        name = commit.name
        self._granted(commit, held, was or {})
        streams = {each["id"] for each in held.get("streams", ())}
        revoking = {each["id"] for each in held.get("revoking", ())}
        old = {each["id"] for each in (was or {}).get("streams", ())}
        old_revoking = {each["id"] for each in (was or {}).get("revoking", ())}
        limit = commit.new["spec"]["maxStreams"]
        if streams - old and len(streams | revoking) > limit:
            world.defect(Kind.CAPACITY, f"{name} is given more than its {limit} streams")
        vanished = old - streams - revoking
        if vanished and commit.writer != "user":
            world.defect(Kind.UNREVOKED, f"{name} loses {min(vanished)} without its being revoked")
        if revoking - old and world.tell:
            world.note(world.loop.nature, f"revoked from {name}: {' '.join(sorted(revoking - old_revoking))}")

    def _granted(self, commit: Commit, held: Json, was: Json) -> None:
        """That none goes back is the CRD's rule, which `_refused` hears of."""
        world = self._world
        before = {each["id"]: each["token"] for each in was.get("streams", ())}
        granted = {each["id"]: each["url"] for each in held["streams"] if before.get(each["id"]) != each["token"]}
        self._deaths.granted(commit.name, granted, commit.at)
        changed = granted or len(before) != len(held["streams"])
        if changed and held["epoch"] <= was.get("epoch", 0):
            world.defect(Kind.EPOCH, f"{commit.name} is given other streams under its old epoch {held['epoch']}")
        writer = self._writers.setdefault(held["leaderEpoch"], commit.writer)
        if writer != commit.writer:
            world.defect(
                Kind.EPOCH, f"{writer} and {commit.writer} both write with the leader epoch {held['leaderEpoch']}"
            )

    def _refused(self, writer: str, refusal: str) -> None:
        """Nobody ever tries that: whoever is late is refused by the resourceVersion first."""
        self._world.defect(Kind.EPOCH, f"{writer} tries what only the CRD's rule refuses: {refusal}")

    def decided(self, writes: list[Write]) -> None:
        """What an operator is about to write, with its reasons."""
        hidden = self._world.database.hidden
        if not hidden:
            return
        for write in writes:
            for change in write.changes:
                if change.action is Action.REVOKE and change.reason == "Removed" and change.stream in hidden:
                    self._world.defect(
                        Kind.BRAKE, f"{change.stream} is revoked from {write.worker} for a moment's lack of its row"
                    )
                    return

    def took_office(self, won_at: int, leader_epoch: int) -> None:
        """Two may be in office at once where somebody deletes the election's Lease, and begin in any order."""
        world = self._world
        for at, epoch in self._terms:
            if epoch == leader_epoch or (at < won_at and epoch > leader_epoch):
                world.defect(Kind.EPOCH, f"a term begins with the leader epoch {leader_epoch} after {epoch}")
        self._terms.append((won_at, leader_epoch))
        world.counts["terms"] += 1
        assignments = [(w.get("status") or {}).get("assignment") or {} for w in world.fingerworkers().values()]
        if world.counts["terms"] > 1 and any(each.get("revoking") for each in assignments):
            world.counts["leader change inside a hand-over"] += 1

    # --- the whole ----------------------------------------------------------------------------------------

    def misplaced(self) -> str:
        """What is not where it should be when nothing is wrong any more; empty when all is well."""
        world = self._world
        rows = world.database.rows.keys()
        missing = rows - self.running.keys()
        overflow = max(0, len(rows) - self._capacity())
        excused = len(self._excusable(missing)) if missing else 0
        if len(missing) > excused + overflow:
            return f"{len(missing)} streams run on nobody, such as {min(missing)}"
        self.excused_unplaced = excused
        extra = self.running.keys() - rows
        return f"{min(extra)} runs and is no row" if extra else ""

    def _capacity(self) -> int:
        return self._world.scale.slots * len(self._world.pods)

    def calm(self) -> bool:
        """Whether nothing is under way, everybody may get more, and there is room for all without any one."""
        world = self._world
        if len(world.database.rows) > self._capacity() - world.scale.slots:
            return False
        # A connection that died unnoticed is found out by a safety read, which may take longer than T.
        if any(pod.link is None or not pod.link.watches for pod in world.pods.values()):
            return False
        found = world.fingerworkers()
        for name in world.pods:
            status = (found.get(name) or {}).get("status") or {}
            held = status.get("assignment") or {}
            if (
                status.get("phase") != "Active"
                or held.get("revoking")
                or status.get("appliedEpoch") != held.get("epoch")
            ):
                return False
        return not self.misplaced() and not self._suspected() and len(found) == len(world.pods)

    def overdue(self) -> AbstractSet[str]:
        """Promised streams that nobody has taken up. The death may be the third that some of them were seen in."""
        return self.promised.keys() - self._excusable(self.promised.keys())

    def _excusable(self, missing: AbstractSet[str]) -> set[str]:
        """Those of these that are kept from everybody on purpose, and rightly: three workers died of them."""
        rows = self._world.database.rows
        suspects = self._deaths.suspects({i: rows[i]["url"] for i in missing}, self._world.loop.now)
        return set(sorted(suspects)[: self._suspected()])

    def _suspected(self) -> int:
        """Streams that three workers died of, as the pool's status says."""
        pool = self._world.server.store.get("streampools", self._world.pool_name)
        return int(((pool.get("status") or {}).get("unassignedReasons") or {}).get("SuspectedPoison", 0))

    def restored(self) -> None:
        """A backup was restored: what was stored after it never was, and grants with older tokens are in force."""
        self._writers.clear()
        self._terms.clear()
        self._forgives_tokens = True
