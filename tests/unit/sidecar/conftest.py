"""A hand-driven world for the protocol: an API with one Lease and one FingerWorker, a config folder, a clock.

Nothing waits: time moves when a test moves it, and every action is performed at once unless a test holds it back.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import ssl

import pytest
import pytest_asyncio
import trustme

from fingerv7.contract import Fence, Timing, assignment_hash
from fingerv7_sidecar.assignment import Config, found_config
from fingerv7_sidecar.clock import Clock
from fingerv7_sidecar.events import (
    AwaitConfirmation,
    ConfigWritten,
    Confirmed,
    FenceWritten,
    Finish,
    LeaseReply,
    LockProbed,
    Note,
    ProbeLock,
    ReadWorker,
    SendLease,
    Tick,
    WorkerSeen,
    WriteConfig,
    WriteFence,
)
from fingerv7_sidecar.identity import Found, Identity, Policy
from fingerv7_sidecar.protocol import Sidecar

from .api_server import ApiServer
from .whole_sidecar import running_sidecar

BOOT = "boot-1"


def stream(identifier: str) -> dict:
    return {"id": identifier, "url": f"http://radio.example/{identifier}", "name": identifier, "token": "1-1"}


def assignment(uid: str, epoch: int, *ids: str) -> dict:
    streams = [stream(identifier) for identifier in ids]
    return {"epoch": epoch, "leaderEpoch": 1, "hash": assignment_hash(uid, epoch, streams), "streams": streams}


class World:
    def __init__(
        self, *, found: Found | None = None, policy: Policy | None = None, pod: str = "pod-a", start: float = 1000.0
    ):
        self.boot, self.wall = start, 1_700_000_000.0
        self.lease: dict | None = None
        self.fingerworker: dict | None = None
        self.version = 10
        self.online = True
        self.lossy = False
        """Writes are stored, but their answers are lost."""
        self.acknowledged_at = start if found else 0.0
        """When the last request for the Lease that was answered well was sent."""
        self._sent_at = 0.0
        self.disk_error = ""
        self.unlink_error = False
        self.fence_error = ""
        self.lock_held: bool | None = None
        self.fence: Fence | None = found.fence if found else None
        self.file: Config | None = found.config if found else None
        self.log: list[str] = []
        self.history: list[str] = []
        """What happened to Lease, FingerWorker and config, in order."""
        self.sent: list[SendLease] = []
        self.serial = 0
        self.awaited: Config | None = None
        self.finished = False
        self._outstanding: tuple[SendLease, float] | None = None
        self.applied = found.applied if found else ""
        self.stored_at = -math.inf
        """When the Lease was last written by the sidecar."""
        self.policy = policy or Policy(timing=Timing())
        identity = Identity("w1", "default", "radio", pod, "n1", BOOT)
        self.sidecar = Sidecar(identity, self.policy, found or Found(), self.now)

    @property
    def now(self) -> Clock:
        return Clock(self.boot, self.wall)

    @property
    def streams(self) -> int:
        return self.file.streams if self.file else 0

    def annotation(self, key: str) -> str:
        return ((self.lease or {}).get("metadata", {}).get("annotations") or {}).get(f"fingerv7.io/{key}", "")

    def assign(self, epoch: int, *ids: str, uid: str = "uid-1", tell: bool = True, **status) -> None:
        self.version += 1
        self.fingerworker = {
            "metadata": {"name": "w1", "uid": uid, "resourceVersion": str(self.version)},
            "spec": {"poolRef": {"name": "radio"}},
            "status": {"assignment": assignment(uid, epoch, *ids), **status},
        }
        if tell and self.serial:
            self.do(WorkerSeen(self.serial, self.fingerworker))

    def hold(self, holder: str, *, seconds: int = 20, renew: str = "then", **annotations: str) -> None:
        """Somebody else writes the Lease."""
        self.version += 1
        self.lease = {
            "metadata": {
                "name": "w1",
                "resourceVersion": str(self.version),
                "labels": {"fingerv7.io/pool": "radio"},
                "annotations": {f"fingerv7.io/{key}": value for key, value in annotations.items()},
            },
            "spec": {
                "holderIdentity": holder,
                "renewTime": renew,
                "leaseDurationSeconds": seconds,
                "leaseTransitions": 3,
            },
        }

    def succeed(self) -> None:
        """An earlier pod has released the Lease, so that it is acquired at once and nobody else can be running."""
        self.hold("pod-0/n0", released="uid-1/pod-0/n0")

    def touch(self, **labels: str) -> None:
        """A stranger edits the Lease's labels."""
        self.version += 1
        assert self.lease
        self.lease = copy.deepcopy(self.lease)
        self.lease["metadata"]["labels"] = labels
        self.lease["metadata"]["resourceVersion"] = str(self.version)

    def restart(self) -> None:
        """Kill the sidecar; another process of the same pod goes on with what it left in the folder."""
        identity = self.sidecar.identity
        nonce = f"n{int(identity.nonce[1:]) + 1}"
        config = found_config(self.file.payload) if self.file else None
        found = Found(config, self.applied, self.fence, used=bool(config or self.applied or self.fence))
        self._outstanding, self.serial = None, 0
        self.sidecar = Sidecar(dataclasses.replace(identity, nonce=nonce), self.policy, found, self.now)

    def confirm(self) -> None:
        assert self.file
        self.applied = self.file.hash
        self.do(Confirmed(self.file.hash))

    def run(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass; what the world can answer, it answers."""
        end = self.boot + seconds
        while self.boot < end - 1e-9:
            self.move(min(step, end - self.boot))
            self.do(Tick())

    def move(self, seconds: float) -> None:
        self.boot += seconds
        self.wall += seconds

    def start(self) -> World:
        self.do(Tick())
        return self

    def do(self, event) -> None:
        if self._outstanding and not self.online and self.boot >= self._outstanding[1]:
            action = self._outstanding[0]
            self._outstanding = None
            self._handle(LeaseReply(action.serial, 0, reason="timeout"))
        elif self._outstanding and self.lossy and self.boot >= self._outstanding[1]:
            action, self._outstanding = self._outstanding[0], None
            self._handle(LeaseReply(action.serial, 0, reason="timeout"))
        elif self._outstanding and self.online and not self.lossy:
            action, self._outstanding = self._outstanding[0], None
            self._answer(action)
        self._handle(event)

    def _handle(self, event) -> None:
        events = [event]
        while events:
            for action in self.sidecar.handle(self.now, events.pop(0)):
                events += self._perform(action)

    def _perform(self, action) -> list:
        match action:
            case Note():
                self.log.append(action.event)
            case SendLease():
                assert self._outstanding is None, "two requests at a time"
                self.sent.append(action)
                self._sent_at = self.boot
                if self.lossy:
                    self._reply(action)
                if not self.online or self.lossy:
                    self._outstanding = (action, self.boot + action.timeout_s)
                    return []
                return [self._reply(action)]
            case ReadWorker():
                self.serial = action.serial
                self.history.append("read")
                return [WorkerSeen(action.serial, self.fingerworker)]
            case WriteConfig():
                if not self.disk_error:
                    self.file = action.config
                    self.history.append(f"config:{action.config.streams}")
                    return [ConfigWritten(action.serial, "written")]
                if action.unlink_on_failure and not self.unlink_error:
                    self.file = None
                    self.history.append("config:unlinked")
                    return [ConfigWritten(action.serial, "unlinked", self.disk_error)]
                return [ConfigWritten(action.serial, "failed", self.disk_error)]
            case WriteFence():
                if not self.fence_error:
                    self.fence = action.fence
                return [FenceWritten(self.fence_error)]
            case AwaitConfirmation():
                self.awaited = action.config
            case ProbeLock():
                self.history.append("probe")
                return [LockProbed(action.serial, bool(self.lock_held))]
            case Finish():
                self.finished = True
        return []

    def _answer(self, action: SendLease) -> None:
        self._handle(self._reply(action))

    def _reply(self, action: SendLease) -> LeaseReply:
        if action.method == "GET":
            return LeaseReply(action.serial, 200, self.lease) if self.lease else LeaseReply(action.serial, 404)
        assert action.body
        if action.method == "POST" and self.lease:
            return LeaseReply(action.serial, 409)
        if action.method == "PUT" and not self.lease:
            return LeaseReply(action.serial, 404)
        stored = self.lease["metadata"]["resourceVersion"] if self.lease else None
        if action.method == "PUT" and action.body["metadata"]["resourceVersion"] != stored:
            return LeaseReply(action.serial, 409)
        self.version += 1
        self.stored_at = self.boot
        self.lease = copy.deepcopy(dict(action.body))
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        said = ",".join(key for key in ("applied", "released", "drain") if self.annotation(key)) or "nothing"
        self.history.append(f"lease:{said}")
        if not self.lossy:
            self.acknowledged_at = self._sent_at
        return LeaseReply(action.serial, 200, self.lease)

    @property
    def fence_holds(self) -> bool:
        return bool(self.fence and self.fence.holds(now_s=self.boot, boot_id=BOOT))


@pytest.fixture
def world():
    """Makes a `World`."""
    return World


@pytest.fixture
def assigned():
    """The shape of `status.assignment`: (uid, epoch, *ids)."""
    return assignment


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest_asyncio.fixture
async def api(authority):
    """Running."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = ApiServer()
    await server.start(context)
    yield server
    await server.stop()


@pytest.fixture
def running(api, authority, tmp_path):
    """Starts a sidecar in this process: `async with running(**policy) as it`."""
    return functools.partial(running_sidecar, api, authority, tmp_path)
